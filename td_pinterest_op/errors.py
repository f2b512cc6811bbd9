"""Every exception of the operator, named for whoever must act.

    ExportError
    ├── WorkflowError                the workflow's author
    │   ├── SettingsError            result_settings or the task's parameters are wrong
    │   ├── JobError                 the job failed, was killed, or has no result or no column of identifiers
    │   ├── InvalidRowsError         rows with invalid identifiers, in stop mode
    │   ├── LimitError               a limit that the author set (min_records, max_invalid_ratio, …) stopped the export
    │   └── AudienceError            the audience is missing, of another kind, or exists already
    ├── AccountError                 the owner of the Pinterest account or app
    ├── TreasureDataError            Treasure Data did not deliver what it should
    ├── PinterestError               Pinterest did not do what it should
    │   ├── RequestRefusedError      it rejects this request, however often it is sent
    │   ├── RecordsRefusedError      it rejects some records, in stop mode
    │   └── UnavailableError         it failed, or could not be reached, until the retries were used up
    │       ├── MaybeAppliedError    the response got lost
    │       └── ConnectionBrokenError     the connection breaks at every size of batch
    ├── StoppedError                 a signal ended the run, or it ends for another error
    └── UnexpectedError              the authors of this operator

digdag prints message and traceback into the session log: a message says what happened, to which thing, and what to do,
and never contains a value that could be a person, a secret, or a template for digdag. `td-pinterest explain`, the
README and the log show the first paragraph of a class's docstring, and its attributes.
"""

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from td_pinterest_op.redaction.format import break_templates
from td_pinterest_op.redaction.secret import mask

# `missing`: the key is left out. `unknown`: there is no such key. `environment`: a variable is missing there.
ProblemCode = Literal["wrong", "missing", "unknown", "environment"]
_E = TypeVar("_E", bound="ExportError")
_AUTHORS = "the authors of this operator"


class ExportError(Exception):
    """An export ended. The base of all other errors.

    In the message, credentials and what looks like an identifier of a person are masked. `status` is the HTTP status of
    the response that caused it, None without one; `code` is Pinterest's error code. `maybe_applied` is true if the
    request that failed may have been carried out.
    """

    who: ClassVar[str] = "depends on the type of the error"
    example: ClassVar[str] = "any of the other examples"
    advice: ClassVar[str] = "Read the first sentence of the message: it says what happened, to what, and what to do."

    def __init__(
        self, message: str, *, status: int | None = None, code: int | None = None, maybe_applied: bool = False
    ) -> None:
        super().__init__(break_templates(mask(message)))
        self.status, self.code, self.maybe_applied = status, code, maybe_applied

    def extend(self: _E, text: str) -> _E:
        """Add `text` to the message, and return the error."""
        self.args = (break_templates(f"{self.args[0]}{mask(text)}"),)
        return self

    @classmethod
    def meaning(cls) -> str:
        """Return the first paragraph of the docstring as one line."""
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())


@contextlib.contextmanager
def extend_errors(text: str) -> Iterator[None]:
    """Add `text` to the message of an ExportError that leaves the `with` block."""
    try:
        yield
    except ExportError as error:
        raise error.extend(text) from None


class WorkflowError(ExportError):
    """The task's environment is misconfigured: Treasure Data's key or its rights, or what the machine lacks."""

    who = "the workflow's author"
    example = (
        "Treasure Data refused the API key: check the secret td.apikey, and that TD_API_SERVER is the key's region"
    )
    advice = "Check the key, its region and its rights, or give the machine what it lacks, as the message says."


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of a task. `key`: the setting or parameter, "" for none. `text` is masked."""

    key: str
    code: ProblemCode
    text: str


class SettingsError(WorkflowError):
    """`result_settings`, or the parameters of the task, are wrong. Nothing was sent.

    The message names every problem; `problems` has the same for programs.
    """

    example = "result_settings has 1 problem: - audience_name: missing, and create_new_audience needs it"
    advice = "Correct what the message lists. `td-pinterest check FILE.dig` finds the same before a run, with lines."

    def __init__(self, message: str, *, problems: Sequence[Problem] = (), key: str = "") -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (Problem(key=key, code="wrong", text=str(self)),)


class SettingsErrorCollector:
    """Collects SettingsErrors. Each `with` block catches one, and `raise_any` raises all of them as a single error."""

    def __init__(self) -> None:
        self._errors: list[SettingsError] = []

    def add(self, message: str, *, key: str) -> None:
        """Add a problem with the setting or parameter `key`."""
        self._errors.append(SettingsError(message, key=key))

    def __enter__(self) -> None:
        """Begin a check."""

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        if isinstance(error, SettingsError):
            self._errors.append(error)
        return isinstance(error, SettingsError)

    def raise_any(self) -> None:
        """Raise one SettingsError with every message and every problem, if there are any."""
        if self._errors:
            problems = [problem for error in self._errors for problem in error.problems]
            raise SettingsError("\n".join(map(str, self._errors)), problems=problems)


class JobError(WorkflowError):
    """The Treasure Data job failed, was killed, or has no result or no column of identifiers. Nothing was sent."""

    example = 'the result of job 2345678 (columns: mail varchar) cannot be exported: column "mail" is not an identifier'
    advice = (
        "Open the job in Treasure Data's console. Select a column named for its identifiers, such as email, or name "
        "yours in `columns`. Treasure Data keeps a result for seven days: run an older query again."
    )


class InvalidRowsError(WorkflowError):
    """Rows hold values that Pinterest cannot match, and `ignore_invalid_records` is false. Nothing was sent."""

    example = "12 of 1,000 rows are invalid (not_an_email 12); the first are in rows 17, 23"
    advice = (
        "Correct the query, or set ignore_invalid_records: true to skip and count such rows. "
        "`td-pinterest explain not_an_email` has SQL that finds them."
    )


class LimitError(WorkflowError):
    """A limit of the settings stopped the export, or there is no record at all. Nothing was sent."""

    example = "there is no valid record to send (0 rows read, 0 invalid)"
    advice = (
        "Look at the query's result first: min_records, max_records and max_invalid_ratio are there to catch a query "
        "that went wrong. Change the limit only if the result is right."
    )


class AudienceError(WorkflowError):
    """The audience is missing, removed, of another type or ad account, or its name is taken."""

    example = "there is no audience 2542620905475 in ad account 549755885175: check both ids"
    advice = "`td-pinterest audiences` lists the audiences that exist, with their ids."


class AccountError(ExportError):
    """Pinterest rejects the token, or the token lacks a scope or a role.

    `refused_token` is the fingerprint of the task's refresh token if Pinterest rejected a refresh token.
    """

    refused_token: str | None = None
    who = "the owner of the Pinterest account or app"
    example = "Pinterest answered 401 (code 2) to the request to exchange the refresh token for an access token"
    advice = "`td-pinterest authorize` gets a new token. The owner of the ad account gives a role, in Business Manager."


class TreasureDataError(ExportError):
    """Treasure Data did not deliver the whole result, or did not respond."""

    who = "no one (retry)"
    example = "the result of job 2345678 is truncated: 900 of 1000 rows came; nothing was sent. Run this task again"
    advice = "Run the task again. If it happens again, look at Treasure Data's status page."


class PinterestError(ExportError):
    """Pinterest responded, but did not do what the response says, or the response is invalid."""

    who = "depends on the message"
    example = (
        "Pinterest answered 200 to the request to switch audience 2542620905475 to another customer "
        "list, but the answer has no id"
    )
    advice = (
        "Run the task again: it reads first, and does nothing twice. Keep the x-pinterest-rid for Pinterest's support."
    )


class RequestRefusedError(PinterestError):
    """Pinterest rejects this request, however often it is sent."""

    who = _AUTHORS
    example = 'Pinterest answered 400 (code 400) "Invalid parameters" to the request to create audience "Shoppers"'
    advice = "Read Pinterest's text in the message. If the settings are right, report it with the x-pinterest-rid."


class RecordsRefusedError(PinterestError):
    """Pinterest rejects some of the records, and `ignore_invalid_records` is false."""

    who = f"the workflow's author, or {_AUTHORS}"
    example = "Pinterest refused 2 of the 10000 records of a batch (400)"
    advice = (
        "Set ignore_invalid_records: true to skip and count them. The message says how many of the others were sent."
    )


class UnavailableError(PinterestError):
    """Pinterest failed, or could not be reached, until the retries were used up."""

    who = "no one (retry later)"
    example = "Pinterest answered 503 to the request to add 10000 records to customer list 5497558851750; tried 8 times"
    advice = "Run the task again later. Records that were sent stay in the audience, and are not counted twice."


class MaybeAppliedError(UnavailableError):
    """The response to a request that must not be sent twice got lost: Pinterest may have carried it out."""

    who = "no one (retry)"
    example = (
        "no response from Pinterest (no byte of the response for read_timeout_secs) to the request to "
        'create customer list "Shoppers"'
    )
    advice = "Run the task again: it looks for what it has created, and creates nothing twice."


class ConnectionBrokenError(UnavailableError):
    """The connection broke at every size of batch until the retries were used up."""

    example = "no response from Pinterest (the connection broke) to the request to add 1250 records; tried 8 times"
    advice = "Run the task again later. If it happens each time, ask who runs the proxy for its largest body."


class StoppedError(ExportError):
    """The run was stopped (SIGTERM, Ctrl-C). The message says how many records were sent."""

    who = "no one (retry)"
    example = "the run was stopped (SIGTERM)"
    advice = "Run the task again: the same session continues where it stopped."


class UnexpectedError(ExportError):
    """A bug in this operator, with its place in the code.

    The message does not contain that of the original exception, which could quote a row.
    """

    who = _AUTHORS
    example = "KeyError at parse.py:120, in _settings: a bug in td_pinterest_op; please report it with this line"
    advice = "Report the line. It contains no data of yours."


def _walk_subclasses(error: type[ExportError]) -> Iterator[type[ExportError]]:
    """Yield an error class and all of its subclasses."""
    yield error
    for subclass in error.__subclasses__():
        yield from _walk_subclasses(subclass)


ERRORS: Mapping[str, type[ExportError]] = {error.__name__: error for error in _walk_subclasses(ExportError)}
