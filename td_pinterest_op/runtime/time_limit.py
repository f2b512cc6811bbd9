"""A time limit around a call that may hang."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def call_within(seconds: float, function: Callable[[], _T]) -> _T:
    """Return `function()`, which runs in a thread of its own. Raises what it raises, and TimeoutError after `seconds`.

    After a TimeoutError, or an exception that a signal raises here, the thread goes on: nobody waits for it any more.
    """
    future: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def fill() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=fill, name="limited", daemon=True).start()
    try:
        return future.result(seconds)
    except concurrent.futures.TimeoutError:
        # Before Python 3.11 a class of its own; one that `function` raised is passed on.
        if future.done():
            raise
        raise TimeoutError from None
