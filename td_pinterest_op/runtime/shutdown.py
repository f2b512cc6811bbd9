"""Whether the run was stopped: a flag that every wait and every loop looks at.

The signal's handler raises an exception in the main thread, but code in between may swallow an exception. The flag is
of the process, as signals are.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from td_pinterest_op.errors import StoppedError

_T = TypeVar("_T")

# How long the end waits: for a response that may bring a new refresh token, and for saving one that has come.
_RESPONSE_SECONDS, _SAVING_SECONDS = 1.0, 10.0
_POLL_SECONDS = 0.02

_reason: str | None = None
# What the end waits for, and for how many seconds at most.
_awaited: dict[object, float] = {}


def request(reason: str) -> None:
    """Tell the run to end; `reason` completes "the run was stopped (…)"."""
    global _reason
    _reason = _reason or reason


def is_requested() -> bool:
    """Whether the run was stopped."""
    return _reason is not None


def check() -> None:
    """Raise StoppedError if the run was stopped."""
    if _reason is not None:
        raise StoppedError(f"the run was stopped ({_reason})")


def reset() -> None:
    """Forget the request: another run may begin in this process."""
    global _reason
    _reason = None


def run_shielded(function: Callable[[], _T]) -> _T:
    """`function()` in a thread of its own, so that a signal, which is raised in the main thread, does not cut it short.

    The caller may be interrupted; `finish` then waits for the thread.
    """
    future: Future[_T] = Future()

    def fill() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        finally:
            _awaited.pop(future)

    _awaited[future] = _RESPONSE_SECONDS
    try:
        threading.Thread(target=fill, name="shielded", daemon=True).start()
    except RuntimeError:
        # No thread can be started: run unshielded.
        fill()
    return future.result()


@contextlib.contextmanager
def protect_saving() -> Iterator[None]:
    """Around what must be saved before the process ends."""
    key = object()
    _awaited[key] = _SAVING_SECONDS
    try:
        yield
    finally:
        _awaited.pop(key)


def finish() -> bool:
    """Wait for `run_shielded`, one second at most, and for `protect_saving`, ten at most.

    Returns false if something is still being saved.
    """
    begin = time.monotonic()
    while any(time.monotonic() - begin < most for most in tuple(_awaited.values())):
        time.sleep(_POLL_SECONDS)
    return _SAVING_SECONDS not in _awaited.values()
