"""Exports Treasure Data query results to Pinterest audiences, as a custom operator of a Treasure Workflow (digdag)."""
