"""What an export costs, next to a bare hash loop, the usual pandas script, and the published client: `scripts/bench`.

All that is compared runs as a child process between the same two emulators, which run in a process of their own.
"""
