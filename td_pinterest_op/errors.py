"""Every exception of the operator, named for who must act.

    ExportError
    ├── WorkflowError                the workflow's author
    │   ├── SettingsError            result_settings or the task's parameters are wrong
    │   ├── JobError                 the job failed, was killed, has no result, or lacks the column
    │   ├── InvalidRowsError         rows with invalid identifiers, in stop mode
    │   ├── LimitError               a limit that the author set (min_records, max_invalid_ratio, …) stopped the export
    │   └── AudienceError            the audience is missing, of another kind, or exists already
    ├── AccountError                 the owner of the Pinterest account or app
    ├── TreasureDataError            Treasure Data did not deliver what it should
    ├── PinterestError               Pinterest did not do what it should
    │   ├── RequestRefusedError      it will not take this request, however often it is sent
    │   ├── RecordsRefusedError      it will not take some records, in stop mode
    │   └── UnavailableError         it failed, or could not be reached, until the retries were used up
    ├── StoppedError                 nobody: the run was told to end (SIGTERM), or ends for another error
    └── UnexpectedError              the authors of this operator

digdag prints message and traceback into the session log: a message says what happened, to which thing, and what to do,
and never holds a value that could be a person or a secret.
"""

from __future__ import annotations

import errno
import tempfile
import traceback
from pathlib import Path
from typing import TypeVar

from td_pinterest_op.secret import mask

_E = TypeVar("_E", bound="ExportError")


class ExportError(Exception):
    """Anything that ends an export. The message is fit for a log: credentials and what looks like a person are masked.

    `status` is the HTTP status of the answer that it comes from, None without one; `code` is Pinterest's own, in the
    answer's body. `maybe_applied` is true if the
    request that failed may have been carried out.
    """

    status: int | None = None
    code: int | None = None
    maybe_applied: bool = False

    def __init__(self, message: str) -> None:
        super().__init__(mask(message))

    def extended(self: _E, text: str) -> _E:
        """This error, saying `text` as well."""
        self.args = (f"{self.args[0]}{mask(text)}",)
        return self


class WorkflowError(ExportError):
    """The workflow's author must act."""


class SettingsError(WorkflowError):
    """`result_settings` or the task's parameters are wrong; names every problem at once."""


class JobError(WorkflowError):
    """The job failed, was killed, has no result, or its result lacks the column."""


class InvalidRowsError(WorkflowError):
    """Rows with invalid identifiers, while `ignore_invalid_records` is false."""


class LimitError(WorkflowError):
    """A limit that the author set stopped the export before anything was sent."""


class AudienceError(WorkflowError):
    """The audience is missing, removed, of another kind or account, or exists already."""


class AccountError(ExportError):
    """The owner of the Pinterest account or app must act: token, scope, role."""


class TreasureDataError(ExportError):
    """Treasure Data did not deliver what it should."""


class PinterestError(ExportError):
    """Pinterest did not do what it should."""


class RequestRefusedError(PinterestError):
    """Pinterest will not take this request, however often it is sent."""


class RecordsRefusedError(PinterestError):
    """Pinterest will not take some records, while `ignore_invalid_records` is false."""


class UnavailableError(PinterestError):
    """Pinterest failed, or could not be reached, until the retries were used up."""


class StoppedError(ExportError):
    """The run was told to end, or a request was not made because the run ends for another error."""


class UnexpectedError(ExportError):
    """A mistake in this operator. Its message holds no text of the original exception, which could quote a row."""


def unexpected(error: Exception) -> ExportError:
    """What to make of an exception that nobody expected. It could quote a row: only its type and place are told."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorkflowError(
            f"the disk is full: the operator needs 32 bytes for each identifier in {tempfile.gettempdir()}; "
            "make room there, or let the environment variable TMPDIR name another folder"
        )
    place = traceback.extract_tb(error.__traceback__)[-1]
    why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return UnexpectedError(
        f"{type(error).__name__}{why} at {Path(place.filename).name}:{place.lineno}, in {place.name}: "
        "a mistake in td_pinterest_op; please report it with this line"
    )
