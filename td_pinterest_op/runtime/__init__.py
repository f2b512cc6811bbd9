"""The process: clock, signals, threads, files, unexpected errors."""
