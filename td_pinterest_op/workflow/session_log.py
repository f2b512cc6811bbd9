"""The session log, which digdag collects from stderr: masked, with similar warnings counted, never blocking a run."""

import contextlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from td_pinterest_op.errors import ExportError
from td_pinterest_op.redaction.secret import break_templates, mask
from td_pinterest_op.runtime import shutdown

ALIKE_SECONDS = 60.0
"""Seconds during which warnings that differ only in figures are counted instead of written."""
# Once the run was stopped, a stuck reader of the log gets this many seconds for all lines together.
_LAST_SECONDS = 0.3
_POLL_SECONDS = 0.01
_FIGURES = re.compile(r"\[x-pinterest-rid [^][]*\]|[0-9]+(?:[.,:][0-9]+)*")
# Characters that move a cursor or colour a line, except the end of a line.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class SessionLog(logging.Handler):
    """Writes log lines to stderr without a lock, so that a slow reader of stderr blocks only one thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._clock = clock
        self._alike: dict[str, _SimilarWarnings] = {}
        self._alike_lock = threading.Lock()
        self._left = _LAST_SECONDS

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record as one line, without the lock that logging's own `handle` takes."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line. Raises StoppedError if a signal arrives during the write."""
        try:
            message = record.getMessage()
            again = self._count_similar(record, message) if record.levelno == logging.WARNING else 0
            if again is not None:
                self._write_line(self._format_line(record) + (f" ({again} more like this)" if again else ""))
        except ExportError:
            raise
        except Exception as error:
            # Not logging's own handling, which prints the arguments unmasked.
            self._write_line(f"a line of the log from {record.name} is left out ({type(error).__name__})")

    def _format_line(self, record: logging.LogRecord) -> str:
        """Return the line for a record: masked, with control characters and templates escaped."""
        text = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), mask(self.format(record)))
        # Indented, so that no line of a message passes for a line of the log.
        return break_templates(text.replace("\n", "\n    "))

    def _count_similar(self, record: logging.LogRecord, message: str) -> int | None:
        """Return how many similar warnings were left out before this one, or None if this one is left out too."""
        now = self._clock()
        with self._alike_lock:
            alike = self._alike.setdefault(_FIGURES.sub("#", message), _SimilarWarnings())
            if alike.written_at is not None and now - alike.written_at < ALIKE_SECONDS:
                alike.left_out, alike.last = alike.left_out + 1, record
                return None
            left_out, alike.written_at, alike.left_out = alike.left_out, now, 0
            return left_out

    def close(self) -> None:
        """Write, of each group of similar warnings, the last one that was left out, with the number of the others."""
        # Threads that send may still write warnings.
        with self._alike_lock:
            groups, self._alike = self._alike.values(), {}
        for alike in groups:
            if alike.last is not None and alike.left_out:
                more = f" ({alike.left_out - 1} more like this)" if alike.left_out > 1 else ""
                self._write_line(self._format_line(alike.last) + more)
        super().close()

    def _write_line(self, line: str) -> None:
        """Write a line to stderr. Errors are ignored: the run continues without a log."""
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        try:
            descriptor = sys.stderr.fileno()
        except AttributeError:  # None: closed before Python began
            return
        except (OSError, ValueError):  # no file, as in a notebook
            with contextlib.suppress(OSError, ValueError):
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


@dataclass(slots=True, kw_only=True)
class _SimilarWarnings:
    """A group of warnings that differ only in figures. `written_at`: when one of them was last written."""

    written_at: float | None = None
    left_out: int = 0
    last: logging.LogRecord | None = None
