"""The command line, `td-pinterest`: a module or a folder for each command. It has no rule of its own."""
