"""The request to end a run: a flag of the process, which every wait and every loop checks.

The signal's handler raises an exception in the main thread as well, but code in between may swallow that.
"""

import contextlib
import threading
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
# The threads that are starting another one: an exception of a signal's handler would break both.
_starting: set[int] = set()


def request_end(reason: str) -> None:
    """Ask the run to end. The error that ends the run names the `reason`, such as the signal "SIGTERM"."""
    global _reason
    _reason = _reason or reason


def is_requested() -> bool:
    """Whether the run was asked to end."""
    return _reason is not None


def raise_if_requested() -> None:
    """Raise StoppedError if the run was asked to end. A thread that is starting another thread gets the error later."""
    if _reason is not None and threading.get_ident() not in _starting:
        raise StoppedError(f"the run was stopped ({_reason})")


def clear_request() -> None:
    """Forget the request to end, so that another run can begin in this process."""
    global _reason
    _reason = None


def run_uninterrupted(function: Callable[[], _T]) -> _T:
    """Return `function()`, called in a thread that no signal interrupts. A process that must end waits for the call."""
    awaited = contextlib.ExitStack()
    awaited.enter_context(protect_saving(_RESPONSE_SECONDS))

    def call_protected() -> _T:
        """Call `function`, and return its result. A process that must end waits up to a second for it."""
        with awaited:
            return function()

    try:
        future = start_thread(call_protected)
    except RuntimeError:  # no thread can be started
        return call_protected()
    return future.result()


@contextlib.contextmanager
def protect_saving(seconds: float = _SAVING_SECONDS) -> Iterator[None]:
    """Protect a `with` block that saves data: a process that must end waits for it, `seconds` at most."""
    key = object()
    _awaited[key] = seconds
    try:
        yield
    finally:
        _awaited.pop(key)


def wait_for_protected_work() -> bool:
    """Before the process ends, wait for work that must not be cut off, within limits. False if data is not saved."""
    begin = time.monotonic()
    while any(time.monotonic() - begin < most for most in tuple(_awaited.values())):
        time.sleep(_POLL_SECONDS)
    return _SAVING_SECONDS not in _awaited.values()


def start_thread(function: Callable[[], _T]) -> Future[_T]:
    """Call `function` in a new daemon thread, and return a future with its result or exception.

    Raises RuntimeError if no thread starts, and StoppedError if the run was asked to end meanwhile.
    """
    future: Future[_T] = Future()

    def complete_future() -> None:
        """Call the `function` of `start_thread` in the new thread. Its result or exception completes the future."""
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    was_requested = is_requested()
    _starting.add(threading.get_ident())
    try:
        threading.Thread(target=complete_future, daemon=True).start()
    finally:
        _starting.discard(threading.get_ident())
    if not was_requested:
        raise_if_requested()
    return future
