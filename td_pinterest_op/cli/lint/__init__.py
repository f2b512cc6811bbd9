"""The linter of `td-pinterest check`: a .dig file's tasks, and what is wrong with them."""
