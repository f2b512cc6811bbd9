"""The process of a task: its log, signals, and what gets out when it fails."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from td_pinterest_op.errors import ExportError, StoppedError, unexpected
from td_pinterest_op.secret import mask

log = logging.getLogger("td_pinterest_op")


class _Masked(logging.Formatter):
    """The last line of defence: nothing leaves with a credential or what looks like a person in it."""

    def format(self, record: logging.LogRecord) -> str:
        # On a terminal, in place of the progress bar.
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        return clear + mask(super().format(record))


@contextlib.contextmanager
def task_process() -> Iterator[None]:
    """Around a whole run: log to the session's log, end on SIGTERM, and let nothing out but an ExportError.

    Any other exception could quote a row: of it only type and place are told.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked("%(asctime)s %(levelname)s %(message)s"))
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except ExportError as error:
        raise error from None
    except Exception as error:
        raise unexpected(error) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        log.removeHandler(handler)
        log.level, log.propagate = level, propagate


def _stop(_signum: int, _frame: FrameType | None) -> None:
    raise StoppedError("the run was told to end (SIGTERM)")
