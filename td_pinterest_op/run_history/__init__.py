"""The history: a table in the user's warehouse with a row about each run."""
