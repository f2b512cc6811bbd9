"""Exports: one, or those of a list of audiences, in threads."""
