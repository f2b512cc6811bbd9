"""The end of a run on a signal: one way for the operator and for every command.

The handler of SIGTERM and SIGINT raises an exception in the main thread. It also sets a flag, which every wait and loop
checks: other threads end by it, and so does code that swallowed the exception.
"""

import _thread
import concurrent.futures
import contextlib
import contextvars
import errno
import logging
import resource
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Any, TypeVar

from td_pinterest_op.errors import StoppedError

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# Seconds to wait for a response that may have a new refresh token, and for saving that.
_TOKEN_SAVING_SECONDS = 5.0

_SECONDS_BETWEEN_CHECKS = 0.2

_end_reason: str | None = None
_uninterrupted_calls: set[Future[Any]] = set()


@contextlib.contextmanager
def end_on_signals() -> Iterator[list[int]]:
    """Within the `with` block, let the first SIGTERM or SIGINT raise StoppedError in the main thread.

    Yields a list, to which each signal's number is added. The end of the block waits up to five seconds for calls of
    `run_uninterrupted`. Must be entered in the main thread. From then on, a crash of the process leaves no core dump.
    """
    # A core dump is the memory of the process, plain identifiers among it. The limit stays: values outlive the block.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    received: list[int] = []

    def handle_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        is_first = not is_requested()
        request_end(signal.Signals(number).name)
        if is_first:
            raise_if_requested()

    before = {number: signal.signal(number, handle_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        # Also after `clear_request`: only a signal leaves something here.
        if concurrent.futures.wait(tuple(_uninterrupted_calls), _TOKEN_SAVING_SECONDS).not_done:
            log.warning("a new refresh token may not be saved: if the stored one is refused, authorise the app again")
        for number, handler in before.items():
            signal.signal(number, handler)
        clear_request()


@contextlib.contextmanager
def ignore_signals() -> Iterator[None]:
    """Within the `with` block, ignore SIGTERM and SIGINT. For what takes a moment, and must not be half done."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def request_end(reason: str) -> None:
    """Ask the run to end. Its error names the `reason`, such as the signal "SIGTERM"."""
    global _end_reason
    _end_reason = _end_reason or reason


def is_requested() -> bool:
    """Whether the run was asked to end."""
    return _end_reason is not None


def raise_if_requested() -> None:
    """Raise StoppedError if the run was asked to end."""
    if _end_reason is not None:
        raise StoppedError(f"the run was stopped ({_end_reason})")


def clear_request() -> None:
    """Forget the request to end, so that another run can begin."""
    global _end_reason
    _end_reason = None


def sleep(seconds: float) -> None:
    """Sleep for `seconds`, or until the run is asked to end, in any thread: a signal interrupts only the main one."""
    before = is_requested()
    end = time.monotonic() + seconds
    while is_requested() == before and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _SECONDS_BETWEEN_CHECKS))


def run_uninterrupted(function: Callable[[], _T]) -> _T:
    """Call `function` in a thread that no signal interrupts, and return its result.

    The end of the process waits for it. Raises OSError if no thread starts.
    """
    return wait_for(start_thread(function, may_be_cut_off=False))


def wait_for(future: Future[_T]) -> _T:
    """Return a future's result, or raise its exception. In the main thread, a signal ends the wait."""
    # In steps: Python would not notice a signal that arrives just as a wait without end begins.
    while concurrent.futures.wait((future,), _SECONDS_BETWEEN_CHECKS).not_done:
        pass
    return future.result()


def start_thread(function: Callable[[], _T], *, may_be_cut_off: bool = True) -> Future[_T]:
    """Call `function` in a new thread with this thread's context variables. Return a future of its result.

    The end of the process waits for the thread only if `may_be_cut_off` is false. Raises OSError if no thread starts.
    """
    future: Future[_T] = Future()
    if not may_be_cut_off:
        _uninterrupted_calls.add(future)
        future.add_done_callback(_uninterrupted_calls.discard)

    def complete_future() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    # Not by `threading`, whose `start` waits without end for a thread that dies for lack of memory as it begins.
    try:
        _thread.start_new_thread(contextvars.copy_context().run, (complete_future,))
    except RuntimeError:
        raise OSError(errno.EAGAIN, "no thread starts") from None
    return future
