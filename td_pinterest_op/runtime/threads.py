"""Calls in a thread of their own: with a time limit, or unaffected by signals."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


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
    if not concurrent.futures.wait([future], seconds).done:
        raise TimeoutError
    return future.result()
