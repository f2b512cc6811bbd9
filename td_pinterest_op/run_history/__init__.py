"""The run history: a table in the user's warehouse with a row for each run of an operator."""
