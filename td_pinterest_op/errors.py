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
    │   ├── RequestRefusedError      it refuses this request, however often it is sent
    │   ├── RecordsRefusedError      it refuses some records, in stop mode
    │   └── UnavailableError         it failed, or could not be reached, until the retries were used up
    ├── StoppedError                 nobody: a signal ended the run, or it ends for another error
    └── UnexpectedError              the authors of this operator

digdag prints message and traceback into the session log: a message says what happened, to which thing, and what to do,
and never holds a value that could be a person, a secret, or a template for digdag.
"""

from __future__ import annotations

import errno
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeVar

from td_pinterest_op.secret import mask
from td_pinterest_op.template import without_templates

# `missing`: the key is left out. `unknown`: there is no such key. `environment`: a variable is missing there.
ProblemCode = Literal["wrong", "missing", "unknown", "environment"]
_E = TypeVar("_E", bound="ExportError")


class ExportError(Exception):
    """Anything that ends an export. The message is fit for a log: credentials and what looks like a person are masked.

    `status` is the HTTP status of the response that caused it, None without one; `code` is Pinterest's own, in the
    response's body. `maybe_applied` is true if the request that failed may have been carried out.
    """

    status: int | None = None
    code: int | None = None
    maybe_applied: bool = False

    def __init__(self, message: str) -> None:
        super().__init__(without_templates(mask(message)))

    def extended(self: _E, text: str) -> _E:
        """This error with `text` added to its message."""
        self.args = (without_templates(f"{self.args[0]}{mask(text)}"),)
        return self


class WorkflowError(ExportError):
    """The workflow's author must act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a task. `key`: the setting or parameter, "" for none. `text`: fit for a log."""

    key: str
    code: ProblemCode
    text: str


class SettingsError(WorkflowError):
    """`result_settings` or the task's parameters are wrong; names every problem at once.

    `problems` has the same for programs.
    """

    def __init__(self, message: str, *, problems: Sequence[Problem] = (), key: str = "") -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (Problem(key=key, code="wrong", text=str(self)),)


class SettingsErrors:
    """One SettingsError for several checks: `with` keeps that of a block, `raise_any` raises them together."""

    def __init__(self) -> None:
        self._errors: list[SettingsError] = []

    def add(self, message: str, *, key: str) -> None:
        """Keep a problem of the setting or parameter `key`."""
        self._errors.append(SettingsError(message, key=key))

    def __enter__(self) -> None:
        """Begin a check."""

    def __exit__(self, _type: object, error: BaseException | None, _traceback: TracebackType | None) -> bool:
        if isinstance(error, SettingsError):
            self._errors.append(error)
            return True
        return False

    def raise_any(self) -> None:
        """Raises SettingsError with every message and every problem, if there is one."""
        if self._errors:
            problems = [problem for error in self._errors for problem in error.problems]
            raise SettingsError("\n".join(map(str, self._errors)), problems=problems)


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
    """Pinterest refuses this request, however often it is sent."""


class RecordsRefusedError(PinterestError):
    """Pinterest refuses some records, while `ignore_invalid_records` is false."""


class UnavailableError(PinterestError):
    """Pinterest failed, or could not be reached, until the retries were used up."""


class StoppedError(ExportError):
    """A signal ended the run, or a request was not made because the run ends for another error."""


class UnexpectedError(ExportError):
    """A mistake in this operator. Its message holds no text of the original exception, which could quote a row."""


def unexpected(error: Exception) -> ExportError:
    """The error to raise in place of one that no code expects.

    That one could quote a row: only its type and place are named.
    """
    known = _of_the_machine(error)
    if known:
        return WorkflowError(known)
    places = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}, in {places[-1].name}" if places else ""
    why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return UnexpectedError(
        f"{type(error).__name__}{why}{place}: a mistake in td_pinterest_op; please report it with this line"
    )


# What a machine lacks, by the number of the system's error; `{folder}` is the folder of temporary files.
_LACKING = {
    errno.ENOSPC: "the disk is full: {spool}; make room there, {elsewhere}",
    errno.EDQUOT: "the disk quota is used up: {spool}; make room there, {elsewhere}",
    errno.EFBIG: "the system does not allow files as large as this one: {spool}; raise `ulimit -f`, {elsewhere}",
    errno.EROFS: "{folder} is read-only: {spool}; make it writable, {elsewhere}",
    errno.EACCES: "the system does not permit writing to {folder}: {spool}; permit it, {elsewhere}",
    errno.EMFILE: "the process has too many files open: raise `ulimit -n`",
    errno.ENFILE: "the machine has too many files open: run this task again when less runs beside it",
}


def _of_the_machine(error: Exception) -> str | None:
    """What the machine lacks and what to do, None if the error is about something else."""
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return (
            "the system starts no more threads: raise the limit of processes (`ulimit -u`, or the container's), or set "
            "max_in_flight: 1"
        )
    if isinstance(error, MemoryError):
        return "the memory is used up: give the task's machine or container more, or run less beside it"
    if not isinstance(error, OSError):
        return None
    try:
        folder = tempfile.gettempdir()
    except OSError:
        return (
            "there is no folder for temporary files that can be written: let the environment variable TMPDIR name one; "
            "the operator needs 32 bytes there for each identifier"
        )
    return (
        _LACKING.get(error.errno or 0, "").format(
            folder=folder,
            spool=f"the operator needs 32 bytes for each identifier in {folder}",
            elsewhere="or let the environment variable TMPDIR name another folder",
        )
        or None
    )
