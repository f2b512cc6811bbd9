"""What tests let happen at requests, and the end of it with the test."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace

from tests.emulators.pinterest.calls import Call
from tests.emulators.pinterest.faults import When

Callback = Callable[[Call], object]

# How often a wait looks whether it is over, in real seconds.
_LOOK = 0.001


class Callbacks:
    """The callbacks of one test. Each call has a thread of its own, which its request waits for.

    The threads are daemons: one that never ends holds up neither the server nor the end of the process. `patience` is
    how long one may go on after its test, in real seconds.
    """

    patience = 10.0

    def __init__(self) -> None:
        self._added: list[tuple[When, Callback]] = []
        self._threads: list[tuple[threading.Thread, Callback]] = []
        self._test_ended = threading.Event()

    def add(self, callback: Callback, when: When) -> None:
        self._added.append((when, callback))

    def wait_while(self, is_early: Callable[[], bool]) -> None:
        """Return when `is_early` is false, or when the test has ended."""
        while is_early() and not self._test_ended.wait(_LOOK):
            pass

    async def call(self, call: Call, when: When) -> None:
        """Call those of this moment, one after the other. Raises what they raise."""
        for moment, callback in list(self._added):
            if moment is when:
                await asyncio.wrap_future(self._start(callback, replace(call)))

    def _start(self, callback: Callback, call: Call) -> "Future[object]":
        future: Future[object] = Future()

        def run() -> None:
            # A server that stops no longer waits for the future, and has cancelled it.
            with contextlib.suppress(InvalidStateError):
                try:
                    returned = callback(call)
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(returned)

        thread = threading.Thread(target=run, name="callback", daemon=True)
        self._threads.append((thread, callback))
        thread.start()
        return future

    def end(self) -> None:
        """End the test's callbacks: none is called again, and `wait_while` waits no longer.

        Raises AssertionError if one is still under way after `patience` seconds.
        """
        self._added.clear()
        self._test_ended.set()
        threads, self._threads = self._threads, []
        for thread, _ in threads:
            thread.join(self.patience)
        self._test_ended = threading.Event()
        waiting = sorted({_name(callback) for thread, callback in threads if thread.is_alive()})
        assert not waiting, f"the test has ended, and its callbacks still wait: {', '.join(waiting)}"


def _name(callback: Callback) -> str:
    return str(getattr(callback, "__qualname__", callback))
