"""A row about each run, in the user's warehouse."""
