"""The process of a task: its log, which digdag collects from stderr, its end on signals, and its error."""

import contextlib
import contextvars
import logging
import sys
from collections.abc import Iterator
from types import TracebackType

from td_pinterest_op.errors import AccountError, ExportError
from td_pinterest_op.redaction.secret import escape, mask
from td_pinterest_op.runtime.shutdown import end_on_signals
from td_pinterest_op.task_runtime.task import try_resubmit

log = logging.getLogger("td_pinterest_op")

LOG_FORMAT = "%(asctime)s %(levelname)s %(label)s%(message)s"
# What each line of the log begins with, such as "vip: " for an entry of a list. Threads have that of their starter.
log_label = contextvars.ContextVar("log_label", default="")


class TaskProcess:
    """Context manager of a task's run. Sets up the log, ends the run on SIGTERM or SIGINT, and raises only ExportError.

    Any other exception could quote a row: the error that replaces it names only its type and place. The error's
    traceback, which digdag prints, has no frame of the run. A task whose refresh token is refused starts again if
    another task may have renewed the token.
    """

    def __enter__(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_write_session_log())
            stack.enter_context(end_on_signals())
            self._stack = stack.pop_all()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: TracebackType | None) -> bool:
        with self._stack:
            is_resubmitted = isinstance(error, AccountError) and try_resubmit(error)
            if is_resubmitted or not isinstance(error, Exception):
                return is_resubmitted
            failure = ExportError.from_exception(error)
            log.error("%s. Who must act: %s. %s", type(failure).__name__, failure.who, failure.advice)
        # digdag prints the message. Its runner raises the error once more, and Python would print it a second time.
        before = sys.excepthook
        sys.excepthook = lambda kind, raised, trace: None if raised is failure else before(kind, raised, trace)
        raise failure.with_traceback(None) from None


class SessionLog(logging.Handler):
    """Writes log lines to stderr, masked. The run goes on if that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(LOG_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line. Raises StoppedError if a signal arrives meanwhile."""
        vars(record)["label"] = log_label.get()
        try:
            text = mask(self.format(record))
        except (TypeError, ValueError) as error:
            # Not logging's own handling, which prints the arguments unmasked.
            text = f"a line of the log from {record.name} is left out ({type(error).__name__})"
        # Indented, so that no line of a message passes for a line of the log.
        lines = "\n    ".join(escape(line) for line in text.split("\n"))
        # No stream, a closed one, or one without a reader.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.write(f"{lines}\n")
            sys.stderr.flush()


@contextlib.contextmanager
def _write_session_log() -> Iterator[None]:
    """Within the block, write the operator's log of level INFO and above to stderr, and nowhere else."""
    handler = SessionLog()
    level = log.level
    propagate = log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False  # the root logger's handlers do not mask
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
        log.setLevel(level)
