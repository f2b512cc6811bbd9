"""The process: clock, signals, threads, files."""
