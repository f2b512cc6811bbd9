"""Measures the cost of an export next to a bare hash loop and a pandas script: `scripts/bench`.

Each program runs as a child process between the same two emulators, which have their own process.
"""
