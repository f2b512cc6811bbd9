"""What identifies a person: the types, what is valid, and what becomes of a value. Pure."""
