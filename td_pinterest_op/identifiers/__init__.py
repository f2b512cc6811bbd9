"""Identifiers of people: the types, their rules, and the reasons for which values are rejected. No I/O."""
