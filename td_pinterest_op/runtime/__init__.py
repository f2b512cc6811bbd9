"""The process around everything else: clock, signals, files, unexpected errors."""
