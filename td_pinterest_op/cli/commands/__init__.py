"""The commands of `td-pinterest`, a module each."""
