"""HTTP: one request at a time, over connections with time limits."""
