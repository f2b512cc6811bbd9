"""What identifies a person: the types, what is valid, and what happens to a value. Pure."""
