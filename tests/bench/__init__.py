"""Measures the cost of an export next to a bare hash loop: `scripts/bench`.

Each program runs as a child process between the same two emulators, which have their own process.
"""
