"""Treasure Data: runs queries as jobs, and downloads the jobs' results, over HTTP."""
