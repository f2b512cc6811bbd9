"""The process of a task: its signals, its log, and what comes out of it when it fails."""

from __future__ import annotations

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
from td_pinterest_op.runtime.unexpected import to_export_error
from td_pinterest_op.workflow.resubmit import try_resubmit
from td_pinterest_op.workflow.session_log import SessionLog

log = logging.getLogger("td_pinterest_op")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A process that was stopped and has not ended after this many seconds is ended from outside Python's main thread.
_PATIENCE = 1.7


class task_process:  # noqa: N801 - used like a function
    """Around a whole run: log to the session's log, end on SIGTERM and SIGINT, let nothing out but an ExportError.

    Any other exception could quote a row: the error that replaces it names only its type and place. The error comes out
    without the traceback of the run, which digdag would print: of the run's frames it shows this class's alone.
    A refresh token that another task may have renewed is no error: the task starts again.
    """

    def __enter__(self) -> None:
        self._level, self._propagate = log.level, log.propagate
        self._handler = SessionLog()
        log.addHandler(self._handler)
        log.setLevel(logging.INFO)
        # The root logger's handlers do not mask.
        log.propagate = False
        self._watch = _ShutdownWatchdog()
        self._before = {number: signal.signal(number, _stop) for number in _SIGNALS}

    def __exit__(self, _type: object, error: BaseException | None, _traceback: TracebackType | None) -> bool:
        if shutdown.is_requested():
            shutdown.finish()
        if isinstance(error, AccountError) and try_resubmit(error):
            self._end()
            return True
        failure = error if isinstance(error, ExportError) else None
        if failure is None and isinstance(error, Exception):
            failure = to_export_error(error)
        if failure is not None:
            log.error("%s. Who must act: %s. %s", type(failure).__name__, failure.who, failure.advice)
        self._end()
        if failure is not None:
            _print_once(failure)
            raise failure.with_traceback(None) from None
        return False

    def _end(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        # While the request to end and the watchdog are in force: it writes, and the reader of the log may be stuck.
        self._handler.close()
        self._watch.close()
        shutdown.reset()
        log.removeHandler(self._handler)
        log.setLevel(self._level)
        log.propagate = self._propagate


def _stop(number: int, _frame: FrameType | None) -> None:
    first = not shutdown.is_requested()
    shutdown.request(signal.Signals(number).name)
    # The log's reader may hang: stop waiting for it.
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(stream).st_mode):
                os.set_blocking(stream, False)
    # Once: a second one would interrupt what the first one lets finish.
    if first:
        shutdown.check()


class _ShutdownWatchdog:
    """Ends the process if it does not end by itself after a signal.

    Python calls a signal's handler between two steps of the main thread, which may be stuck in a look-up of a host or
    in a write. The system writes the signal's number to the wake-up pipe at once, and a thread reads it there.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._wait, name="watch", daemon=True)
        # If no thread can start, the handler works alone.
        with contextlib.suppress(RuntimeError):
            self._thread.start()

    def _wait(self) -> None:
        while (number := os.read(self._reader, 1)) and number[0] not in _SIGNALS:
            pass
        if not number or self._ended.wait(_PATIENCE):
            return
        shutdown.finish()
        if not self._ended.is_set():
            os._exit(128 + number[0])

    def close(self) -> None:
        self._ended.set()
        signal.set_wakeup_fd(self._before)
        os.close(self._writer)
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._reader)


def _print_once(failure: ExportError) -> None:
    """Let Python not print `failure` at its end: digdag prints its message already."""
    before = sys.excepthook

    def others(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if error is not failure:
            before(kind, error, traceback)

    sys.excepthook = others
