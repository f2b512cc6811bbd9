"""Calls in threads of their own: with a time limit, several at once, or unaffected by signals."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

_T = TypeVar("_T")
_Job = TypeVar("_Job")

# Seconds between two calls of `poll` in `run_concurrently`.
_POLL_SECONDS = 1.0


def start_thread(function: Callable[[], _T], *, name: str) -> concurrent.futures.Future[_T]:
    """Run `function()` in a daemon thread; return a future of its result. Raises RuntimeError if it cannot start."""
    future: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def complete_future() -> None:
        """Put the function's result, or its exception, into the future."""
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=complete_future, name=name, daemon=True).start()
    return future


def call_within(seconds: float, function: Callable[[], _T]) -> _T:
    """Return `function()`. Raises what it raises, and TimeoutError after `seconds`.

    After a TimeoutError, or an exception that a signal raises here, its thread goes on and its result is lost.
    """
    future = start_thread(function, name="limited")
    try:
        return future.result(seconds)
    except concurrent.futures.TimeoutError:
        # Before Python 3.11 a class of its own; one that `function` raised is passed on.
        if future.done():
            raise
        raise TimeoutError from None


def run_concurrently(
    work: Callable[[_Job], _T], jobs: Iterator[_Job], *, limit: Callable[[], int], poll: Callable[[], None]
) -> Iterator[_T]:
    """Call `work` for each job in a thread, at most `limit()` at once. Yields the results as they arrive.

    Calls `poll` every second while no job ends. Raises RuntimeError if a thread cannot be started.
    """
    # Daemon threads: a run that is stopped must not wait for a response that may take minutes.
    running: set[concurrent.futures.Future[_T]] = set()
    while True:
        while len(running) < limit() and (job := next(jobs, None)) is not None:
            running.add(start_thread(partial(work, job), name="concurrent"))
        if not running:
            return
        first = concurrent.futures.FIRST_COMPLETED
        ended, running = concurrent.futures.wait(running, timeout=_POLL_SECONDS, return_when=first)
        if not ended:
            poll()
        for future in ended:
            yield future.result()
