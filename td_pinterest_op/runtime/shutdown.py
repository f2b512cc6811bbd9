"""The request to end a run: a flag of the process, which every wait and every loop checks.

The signal's handler raises an exception in the main thread as well, but code in between may swallow that.
"""

import _thread
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from td_pinterest_op.errors import StoppedError

_T = TypeVar("_T")

# How many seconds the end waits for a response that may have a new refresh token, and for saving one.
_RESPONSE_SECONDS, _SAVING_SECONDS = 1.0, 10.0
_POLL_SECONDS = 0.02

_reason: str | None = None
# What the end waits for, and for how many seconds at most.
_awaited: dict[object, float] = {}


def request_end(reason: str) -> None:
    """Ask the run to end. The error that ends it says "the run was stopped (…)", with `reason`."""
    global _reason
    _reason = _reason or reason


def is_requested() -> bool:
    """Whether the run was asked to end."""
    return _reason is not None


def raise_if_requested() -> None:
    """Raise StoppedError if the run was asked to end."""
    if _reason is not None:
        raise StoppedError(f"the run was stopped ({_reason})")


def clear_request() -> None:
    """Forget the request to end, so that another run can begin in this process."""
    global _reason
    _reason = None


def run_shielded(function: Callable[[], _T]) -> _T:
    """Call `function` in a thread, where no signal interrupts it, and return its result.

    The caller may be interrupted; `wait_for_protected_work` then waits for the thread.
    """
    key = object()
    _awaited[key] = _RESPONSE_SECONDS

    def call_awaited() -> _T:
        """Return `function()`; afterwards the end of the process no longer waits for it."""
        try:
            return function()
        finally:
            _awaited.pop(key)

    try:
        future = start_thread(call_awaited)
    except RuntimeError:  # no thread can be started
        return call_awaited()
    return future.result()


@contextlib.contextmanager
def protect_saving() -> Iterator[None]:
    """Protect a block that saves data: before the process ends, `wait_for_protected_work` waits for the block."""
    key = object()
    _awaited[key] = _SAVING_SECONDS
    try:
        yield
    finally:
        _awaited.pop(key)


def wait_for_protected_work() -> bool:
    """Wait for the functions of `run_shielded` (at most 1 s) and the blocks of `protect_saving` (at most 10 s).

    Returns False if something is still being saved.
    """
    begin = time.monotonic()
    while any(time.monotonic() - begin < most for most in tuple(_awaited.values())):
        time.sleep(_POLL_SECONDS)
    return _SAVING_SECONDS not in _awaited.values()


def start_thread(function: Callable[[], _T]) -> Future[_T]:
    """Call `function` in a daemon thread; return a future of its result. Raises RuntimeError if no thread starts."""
    future: Future[_T] = Future()

    def complete_future() -> None:
        """Put the function's result, or its exception, into the future."""
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    # Not by threading.Thread: an exception of a signal's handler within its `start` makes the new thread fail as well.
    _thread.start_new_thread(complete_future, ())
    return future
