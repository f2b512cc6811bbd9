"""The process of a task: its log, its handling of signals, and its error."""

import contextlib
import logging
import os
import signal
import stat
import sys
import threading
from types import FrameType, TracebackType

from td_pinterest_op.errors import AccountError, ExportError
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.workflow.resubmit import try_resubmit
from td_pinterest_op.workflow.session_log import SessionLog

log = logging.getLogger("td_pinterest_op")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A process that has not ended this many seconds after a signal is ended by the watchdog.
_PATIENCE = 1.7


class TaskProcess:
    """Context manager for a task's run: sets up its log, ends it on SIGTERM and SIGINT, raises only ExportError.

    Any other exception could quote a row: the error that replaces it names only its type and place. The error's
    traceback, which digdag prints, has no frame of the run. A task whose refresh token is refused starts again if
    another task may have renewed the token.
    """

    def __enter__(self) -> None:
        with contextlib.ExitStack() as stack:
            handler = SessionLog()
            stack.callback(log.setLevel, log.level)
            log.setLevel(logging.INFO)
            # The root logger's handlers do not mask.
            stack.callback(setattr, log, "propagate", log.propagate)
            log.propagate = False
            log.addHandler(handler)
            stack.callback(log.removeHandler, handler)
            stack.callback(shutdown.clear_request)
            stack.enter_context(contextlib.closing(_ShutdownWatchdog()))
            # Before the watchdog and the request to end go: it writes, and the reader of the log may be stuck.
            stack.callback(handler.close)
            for number in _SIGNALS:
                stack.callback(signal.signal, number, signal.signal(number, _handle_signal))
            self._stack = stack.pop_all()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: TracebackType | None) -> bool:
        if shutdown.is_requested():
            shutdown.wait_for_protected_work()
        with self._stack:
            is_resubmitted = isinstance(error, AccountError) and try_resubmit(error)
            if is_resubmitted or not isinstance(error, Exception):
                return is_resubmitted
            failure = ExportError.from_exception(error)
            log.error("%s. Who must act: %s. %s", type(failure).__name__, failure.who, failure.advice)
        _silence_excepthook(failure)
        raise failure.with_traceback(None) from None


def _handle_signal(number: int, _frame: FrameType | None) -> None:
    """Handle a signal: ask the run to end, and stop waiting for a reader of the log that may hang."""
    is_first = not shutdown.is_requested()
    shutdown.request_end(signal.Signals(number).name)
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(stream).st_mode):
                os.set_blocking(stream, False)
    # A second signal must not interrupt what the first one lets finish.
    if is_first:
        shutdown.raise_if_requested()


class _ShutdownWatchdog:
    """Ends the process if the run has not ended within `_PATIENCE` seconds after a signal.

    Python calls a signal's handler between two steps of the main thread, which may be stuck looking up a host or
    writing. The system writes the signal's number to the wake-up pipe at once, and a thread reads the number there.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._wait_for_signal, name="watch", daemon=True)
        # If no thread can start, the handler works alone.
        with contextlib.suppress(RuntimeError):
            self._thread.start()

    def _wait_for_signal(self) -> None:
        """Wait for a signal, then for the run to end, and end the process if the run does not end in time."""
        while (number := os.read(self._reader, 1)) and number[0] not in _SIGNALS:
            pass
        if not number or self._ended.wait(_PATIENCE):
            return
        shutdown.wait_for_protected_work()
        if not self._ended.is_set():
            os._exit(128 + number[0])

    def close(self) -> None:
        """End the thread of the watchdog."""
        self._ended.set()
        signal.set_wakeup_fd(self._before)
        os.close(self._writer)
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._reader)


def _silence_excepthook(failure: ExportError) -> None:
    """Keep Python from printing `failure` when the process exits: digdag has printed its message already."""
    before = sys.excepthook

    def print_other_errors(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """Print an uncaught error as Python does, except the run's own failure, which was reported already."""
        if error is not failure:
            before(kind, error, traceback)

    sys.excepthook = print_other_errors
