"""The process of a task: its log, which digdag collects from stderr, its handling of signals, and its error."""

import contextlib
import logging
import os
import re
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType

from td_pinterest_op.errors import AccountError, ExportError
from td_pinterest_op.redaction.secret import break_templates, mask
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.workflow.task import try_resubmit

log = logging.getLogger("td_pinterest_op")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A process that has not ended this many seconds after a signal is ended by the watchdog.
_PATIENCE = 1.7
# Once the run was stopped, a stuck reader of the log gets this many seconds for all lines together.
_LAST_SECONDS = 0.3
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_POLL_SECONDS = 0.01
# Characters that move a cursor or colour a line, except the end of a line.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class TaskProcess:
    """Context manager of a task's run. Sets up the log, ends the run on SIGTERM or SIGINT, and raises only ExportError.

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
            stack.enter_context(_watch_shutdown())
            for number in _SIGNALS:
                stack.callback(signal.signal, number, signal.signal(number, _handle_signal))
            self._stack = stack.pop_all()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: TracebackType | None) -> bool:
        if shutdown.is_requested() and not shutdown.wait_for_protected_work():
            log.warning("a new refresh token may not be saved: if the stored one is refused, authorise the app again")
        with self._stack:
            is_resubmitted = isinstance(error, AccountError) and try_resubmit(error)
            if is_resubmitted or not isinstance(error, Exception):
                return is_resubmitted
            failure = ExportError.from_exception(error)
            log.error("%s. Who must act: %s. %s", type(failure).__name__, failure.who, failure.advice)
        _silence_excepthook(failure)
        raise failure.with_traceback(None) from None


class SessionLog(logging.Handler):
    """Writes masked log lines to stderr without a lock, so that a slow reader of stderr blocks only one thread."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(LOG_FORMAT))
        self._left = _LAST_SECONDS

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record as one line. Raises StoppedError if a signal arrives during the write."""
        try:
            text = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), mask(self.format(record)))
            # Indented, so that no line of a message passes for a line of the log.
            line = break_templates(text.replace("\n", "\n    "))
        except ExportError:
            raise
        except Exception as error:
            # Not logging's own handling, which prints the arguments unmasked.
            line = f"a line of the log from {record.name} is left out ({type(error).__name__})"
        self._write_line(line)
        return True

    def _write_line(self, line: str) -> None:
        """Write a line to stderr. Errors are ignored: the run continues without a log."""
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        try:
            descriptor = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # None, closed before Python began, or no file, as in a notebook
            with contextlib.suppress(AttributeError, OSError, ValueError):
                sys.stderr.write(data.decode())
                sys.stderr.flush()
            return
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                if shutdown.is_requested() and self._left <= 0:
                    return
                self._left -= _POLL_SECONDS if shutdown.is_requested() else 0.0
                time.sleep(_POLL_SECONDS)
            except OSError:  # closed, or without a reader
                return


def _handle_signal(number: int, _frame: FrameType | None) -> None:
    """Ask the run to end, and make stdout and stderr non-blocking, so that no stuck reader of them delays the end."""
    is_first = not shutdown.is_requested()
    shutdown.request_end(signal.Signals(number).name)
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISFIFO(os.fstat(stream).st_mode):
                os.set_blocking(stream, False)
    # A second signal must not interrupt what the first one lets finish.
    if is_first:
        shutdown.raise_if_requested()


@contextlib.contextmanager
def _watch_shutdown() -> Iterator[None]:
    """Context manager: end the process if the `with` block still runs `_PATIENCE` seconds after SIGTERM or SIGINT.

    Python calls a signal's handler between two steps of the main thread, which may be stuck looking up a host or
    writing. The system writes the signal's number to the wake-up pipe at once, and a thread reads the number there.
    """
    ended = threading.Event()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def end_process_after_signal() -> None:
        """Wait for a signal. Then end the process if the `with` block of `_watch_shutdown` runs for too long."""
        while (number := os.read(reader, 1)) and number[0] not in _SIGNALS:
            pass
        if not number or ended.wait(_PATIENCE):
            return
        shutdown.wait_for_protected_work()
        if not ended.is_set():
            os._exit(128 + number[0])

    thread = threading.Thread(target=end_process_after_signal, name="watch", daemon=True)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    # If no thread can start, the handler works alone.
    with contextlib.suppress(RuntimeError):
        thread.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(writer)
        if thread.ident is not None:
            thread.join()
        os.close(reader)


def _silence_excepthook(failure: ExportError) -> None:
    """Keep Python from printing `failure` when the process exits: digdag has printed its message already."""
    before = sys.excepthook

    def print_unless_reported(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """Pass an uncaught error to the previous `sys.excepthook`, except the error that digdag has printed."""
        if error is not failure:
            before(kind, error, traceback)

    sys.excepthook = print_unless_reported
