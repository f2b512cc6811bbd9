"""Treasure Data over HTTP: jobs and their results."""
