"""Reports the running tests whenever nothing has been printed for ten seconds."""

import os
import threading
import time

import pytest

_COLLECTING, _ENDING = "collecting tests", "gathering the results"


def add_option(parser: pytest.Parser) -> None:
    """Make `--silence` known to pytest."""
    parser.addoption("--silence", type=float, default=10.0, metavar="SECONDS", help="the longest time without a line")


class RunningTests:
    """A plugin of the reporting process that prints a line about the running tests after some seconds of silence."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._longest: float = config.getoption("--silence")
        self._phase = _COLLECTING
        self._begun: dict[str, float] = {}
        self._began = self._shown = time.monotonic()
        self._is_in_line = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="silence", daemon=True)

    def pytest_sessionstart(self) -> None:
        # While a test runs in this process, its standard output is captured.
        self._output = os.dup(1)
        self._thread.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._begun[nodeid] = time.monotonic()

    def pytest_runtest_logreport(self) -> None:
        self._shown, self._is_in_line = time.monotonic(), True

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._begun.pop(nodeid, None)
        self._phase, self._began = _ENDING, time.monotonic()

    def pytest_unconfigure(self) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._output)

    def _watch(self) -> None:
        while not self._ended.wait(max(self._shown + self._longest - time.monotonic(), 0)):
            if time.monotonic() - self._shown >= self._longest:
                self._shown = time.monotonic()
                self._show(self._text())

    def _text(self) -> str:
        now, begun = time.monotonic(), self._begun.copy() or {self._phase: self._began}
        return "still running: " + ", ".join(f"{name} ({now - began:.0f} s)" for name, began in begun.items())

    def _show(self, text: str) -> None:
        begin = "\n" if self._is_in_line and self._config.get_terminal_writer().width_of_current_line else ""
        self._is_in_line = False
        os.write(self._output, f"{begin}{text}\n".encode())
