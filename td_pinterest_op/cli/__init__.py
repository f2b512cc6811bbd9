"""`td-pinterest`, for people: one module a command. Another door to the same rooms, with no rule of its own."""
