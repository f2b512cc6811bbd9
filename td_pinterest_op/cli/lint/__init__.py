"""The linter of `td-pinterest check`: a .dig file → its tasks, with lines, and what is wrong with them."""
