"""Reports the running tests every ten seconds."""

import os
import threading
import time


class RunningTests:
    """A plugin of the reporting process."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def pytest_sessionstart(self) -> None:
        # While a test runs in this process, its standard output is captured.
        self._output = os.dup(1)
        self._thread.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._begun[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._begun.pop(nodeid, None)

    def pytest_unconfigure(self) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._output)

    def _watch(self) -> None:
        while not self._ended.wait(10):
            now = time.monotonic()
            names = [f"{name} ({now - begun:.0f} s)" for name, begun in self._begun.copy().items()]
            os.write(
                self._output, f"\nstill running: {', '.join(names) or 'collecting, or gathering results'}\n".encode()
            )
