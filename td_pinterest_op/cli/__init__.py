"""The command line, `td-pinterest`: a module or a folder for each command. It implements no rule of the operator."""
