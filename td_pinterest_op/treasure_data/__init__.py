"""Treasure Data: jobs and their results, over HTTP."""
