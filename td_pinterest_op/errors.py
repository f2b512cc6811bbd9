"""Every exception of the operator, sorted by who must act.

    ExportError
    ├── WorkflowError        the workflow's author
    │   └── SettingsError, JobError, InvalidRowsError, LimitError, MirrorError, AudienceError,
    │       EntriesError
    ├── AccountError         the owner of the Pinterest account or app
    ├── TreasureDataError    no one: Treasure Data did not deliver what it should
    ├── PinterestError       depends: Pinterest did not do what it should
    │   ├── RequestRefusedError, RecordsRefusedError
    │   └── UnavailableError: MaybeAppliedError
    ├── StoppedError         no one: a signal ended the run, or it ends for another error
    └── UnexpectedError      the authors of this operator

An error is data: what happened, to which subjects, what was sent, and what to do. `ExportError.describe` alone puts
that into words, and no program reads the words back. digdag prints message and traceback into the session log: a
message never contains a value that could be a person, a secret, or a template for digdag. `td-pinterest explain` shows
the first paragraph of a class's docstring, `who` must act, an `example` of a message, and the `general_advice`.
"""

# To add an error:
# 1. Test that it is raised, where the code is tested that raises it. One for an answer of Pinterest:
#    pinterest/retry_policy.py.
# 2. Add a class below, with the class attributes that `explain` shows, and its name to the tree above.
# 3. Run `.venv/bin/python -m tests.readme`, which adds its row to docs/reference.md.
import contextlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from td_pinterest_op.redaction.secret import defuse_templates, escape_for_message, mask_sensitive_data

# `missing`: the key is left out. `unknown`: there is no such key. `value`: the value is not allowed, whatever the other
# settings are. `environment`: a variable is missing. `misplaced`: it is beside result_settings. `columns`: a query
# selects wrong ones. `wrong`: any other. Warnings: `unused`: the action does not use it. `digits`: an id may lack some.
ProblemCode = Literal["wrong", "missing", "unknown", "value", "environment", "misplaced", "unused", "digits"]
Subject = tuple[str, str | None]
"""What an error is about: a label such as "audience", and its id or name, or None for an unknown one."""

NOTHING_SENT = "Nothing was sent"
NOTHING_CHANGED = "Nothing was changed"
_ResultT = TypeVar("_ResultT")
_ErrorT = TypeVar("_ErrorT", bound="ExportError")
_OPERATOR_AUTHORS = "the authors of this operator"
_MACHINE_ADVICE = (
    "Give the machine or container what it lacks, such as memory, threads, open files, or room on its disk (TMPDIR "
    "names another folder for temporary files)"
)


class ExportError(Exception):
    """An export ended with an error. The base class of all errors here.

    `what` happened, such as "there is no audience 7 in ad account 549755885175". `quote` follows it: text of another
    program, such as ": the engine's last lines: …", which no table or report keeps. `sent` says what was sent until
    then, `advice` what to do. Each is without a full stop, and "" if there is nothing to say. `subjects` are those that
    `what` names. `status` is the HTTP status of the response that caused the error, `error_code` is Pinterest's.
    `maybe_applied`: whether the failed request may have been carried out.

    Credentials, and what looks like an identifier of a person, are masked in all texts.
    """

    who: ClassVar[str] = "depends on the type of the error"
    general_advice: ClassVar[str] = "Read the message: it says what happened, what was sent, and what to do."
    example: ClassVar[str] = "any of the other examples"

    def __init__(
        self,
        what: str,
        *,
        quote: str = "",
        sent: str = "",
        advice: str = "",
        subjects: Iterable[Subject] = (),
        status: int | None = None,
        error_code: int | None = None,
        maybe_applied: bool = False,
    ) -> None:
        self.what = _clean(what)
        super().__init__(self.what)
        self.quote = _clean(quote)
        self.sent = _clean(sent)
        self.advice = _clean(advice)
        self.subjects = list(subjects)
        self.status = status
        self.error_code = error_code
        self.maybe_applied = maybe_applied
        self._unnamed_subjects: list[Subject] = []

    def __str__(self) -> str:
        return self.describe()

    def describe(self, *, quotes: bool = True, advises: bool = True) -> str:
        """Return the message. `quotes`, `advises`: whether it contains the `quote` and the `advice`."""
        sentences = [self.what + (self.quote if quotes else ""), self.sent, self.advice if advises else ""]
        unnamed = ", ".join(f"{label} {escape_for_message(name or '')}" for label, name in self._unnamed_subjects)
        return _clean(". ".join(filter(None, sentences)) + (f" ({unnamed})" if unnamed else ""))

    def add_subjects(self, subjects: Iterable[Subject]) -> None:
        """Have the message name the known ones of these subjects too, except those that `what` names."""
        named = {name for _label, name in self.subjects}
        added = [(label, name) for label, name in subjects if name and name not in named]
        self._unnamed_subjects += added
        self.subjects += added

    def convert_to(self, kind: type[_ErrorT]) -> _ErrorT:
        """Return an error of another kind with the fields of this one."""
        converted = kind(
            self.what,
            quote=self.quote,
            sent=self.sent,
            advice=self.advice,
            subjects=self.subjects,
            status=self.status,
            error_code=self.error_code,
            maybe_applied=self.maybe_applied,
        )
        converted._unnamed_subjects = self._unnamed_subjects
        return converted

    @staticmethod
    def from_exception(error: Exception) -> "ExportError":
        """Return `error` itself if it is an ExportError, else one that names its type and source line.

        The original message is left out, since it could quote a row. Known causes, such as a lack of memory or disk
        space, become a WorkflowError.
        """
        if isinstance(error, ExportError):
            return error
        places = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}, in {places[-1].name}" if places else ""
        why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        what = f"{type(error).__name__}{why}{place}"
        if isinstance(error, OSError) and error.filename:
            return WorkflowError(f"{error.filename} cannot be read or written: {error.strerror}")
        if isinstance(error, (OSError, MemoryError)):
            return WorkflowError(what, advice=_MACHINE_ADVICE)
        return UnexpectedError(f"{what}: a bug in td_pinterest_op", advice="Please report it with this line")


def _clean(text: str) -> str:
    return str(defuse_templates(mask_sensitive_data(text)))


@contextlib.contextmanager
def add_to_errors(*, what: str = "", sent: str = "", advice: str = "") -> Iterator[None]:
    """Within the `with` block, add texts to the fields of an ExportError that is raised: see `ExportError`.

    `what` is appended as it is. `sent` and `advice` take the place of earlier texts.
    """
    try:
        yield
    except ExportError as error:
        error.what += what
        error.sent = sent or error.sent
        error.advice = advice or error.advice
        raise error from None


class WorkflowError(ExportError):
    """The task's environment is wrong: Treasure Data refuses the API key, for example, or the disk is full."""

    who = "the workflow's author"
    general_advice = "Check the key, its region and its rights, or give the machine what it lacks, as the message says."
    example = f"OSError (No space left on device) at spool.py:46, in write. {_MACHINE_ADVICE}"


@dataclass(frozen=True, kw_only=True)
class SettingProblem:
    """A problem with a setting or a parameter."""

    key: str  # "" for none or several
    code: ProblemCode
    text: str
    others: tuple[str, ...] = ()  # keys that may be given in place of a missing one


class SettingsError(WorkflowError):
    """`result_settings`, or the parameters of the task, are wrong. Nothing was sent."""

    general_advice = (
        "Correct what the message lists. `td-pinterest check FILE.dig` finds the same before a run, with line numbers."
    )
    example = "result_settings has 1 problem: - audience_name: missing, and create_new_audience needs it"

    def __init__(
        self, message: str, *, problems: Sequence[SettingProblem] = (), key: str = "", code: ProblemCode = "wrong"
    ) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (SettingProblem(key=key, code=code, text=self.what),)


class SettingsErrorCollector(list[SettingsError]):
    """Collects the SettingsErrors of several calls, to raise all of them as one."""

    def call_and_collect(self, function: Callable[..., _ResultT], *args: Any, **kwargs: Any) -> _ResultT | None:
        """Return the function's result. If it raises SettingsError, keep the error and return None."""
        try:
            return function(*args, **kwargs)
        except SettingsError as error:
            self.append(error)
            return None

    def raise_collected(self) -> None:
        """Raise one SettingsError with all collected messages and problems, if there are any."""
        if self:
            problems = [problem for error in self for problem in error.problems]
            # The query and its lists may report the same, such as a wrong `engine`.
            raise SettingsError("\n".join(dict.fromkeys(error.what for error in self)), problems=problems)


class JobError(WorkflowError):
    """The Treasure Data job failed, was killed, or has no result or no column of identifiers. Nothing was sent."""

    general_advice = (
        "Open the job in Treasure Data's console. Select a column named for its identifiers, such as email, or name "
        "yours in `columns`. Treasure Data keeps a result for seven days: run an older query again."
    )
    example = 'the result of job 2345678 (columns: mail varchar) cannot be exported: column "mail" is not an identifier'


class InvalidRowsError(WorkflowError):
    """Rows hold values that Pinterest cannot match, and `ignore_invalid_records` is false. Nothing was sent."""

    general_advice = (
        "Correct the query, or set ignore_invalid_records: true to skip and count such rows. "
        "`td-pinterest explain not_an_email` has SQL that finds them."
    )
    example = "12 of 1,000 values in 1,000 rows invalid (not_an_email 12); the first in rows 17, 23"


class LimitError(WorkflowError):
    """A limit of the settings stopped the export, or there is no record at all. Nothing was sent."""

    general_advice = (
        "Look at the query's result first: limits are there to catch a query that went wrong. Change the limit only if "
        "the result is right."
    )
    example = "there is no valid record to send (0 rows read, 0 invalid)"


class MirrorError(WorkflowError):
    """A mirror cannot go on from its ledger: a newer run has made a plan, or somebody changed the audience's list.

    The ledger is the table that records who is in the audience. It may also lack rows, or have rows by others.
    """

    who = "no one (retry), or the workflow's author"
    general_advice = (
        "Run the task again: each run compares the query with the ledger again, and the newest plan counts. If the "
        "message names something that was changed, correct that, or set rebuild: true for one run."
    )
    example = "plan 1795564860000 of audience 7 was superseded: another run has since made plan 1795564901500"


class AudienceError(WorkflowError):
    """The audience is missing, removed, of another type or ad account, or its name is taken."""

    general_advice = "`td-pinterest audiences` lists the audiences that exist, with their ids."
    example = "there is no audience 2542620905475 in ad account 549755885175. Check both ids"


class EntriesError(WorkflowError):
    """Some exports of the list `audiences` failed. The message names each of them, with its error."""

    who = "depends on the error of each export"
    general_advice = "The log says for each export who must act, and what to do. Then run the whole attempt again."
    example = "1 of 4 audiences failed. newsletter: there is no audience 7 in ad account 549755885175"


class AccountError(ExportError):
    """Pinterest rejects the token, or the token lacks a scope or a role.

    `refused_token` is the fingerprint of the task's refresh token if Pinterest rejected a refresh token.
    """

    refused_token: str | None = None
    who = "the owner of the Pinterest account or app"
    general_advice = (
        "`td-pinterest authorize` gets a new token. The owner of the ad account gives a role, in Business Manager."
    )
    example = "Pinterest answered 401 (code 2) to the request to exchange the refresh token for an access token"


class TreasureDataError(ExportError):
    """Treasure Data did not deliver the whole result, or did not respond."""

    who = "no one (retry)"
    general_advice = "Run the task again. If it happens again, look at Treasure Data's status page."
    example = "the result of job 2345678 is truncated: 900 of 1000 rows arrived. Nothing was sent"


class PinterestError(ExportError):
    """Pinterest accepted a request but did not carry it out completely, or sent no valid response."""

    who = "depends on the message"
    general_advice = (
        "Run the task again: it reads first, and does nothing twice. Keep the x-pinterest-rid for Pinterest's support."
    )
    example = (
        "Pinterest answered 200 to the request to switch audience 2542620905475 to another customer list, but the "
        "answer has no id"
    )


class RequestRefusedError(PinterestError):
    """Pinterest rejects this request, however often it is sent."""

    is_read = False  # whether the request only reads
    who = _OPERATOR_AUTHORS
    general_advice = (
        "Read Pinterest's text in the message, which is left out where it could quote a record. If the settings are "
        "right, report it with the x-pinterest-rid."
    )
    example = 'Pinterest answered 400 (code 400) "Invalid parameters" to the request to create audience "Shoppers"'


class RecordsRefusedError(PinterestError):
    """Pinterest rejects some of the records, and `ignore_invalid_records` is false."""

    who = f"the workflow's author, or {_OPERATOR_AUTHORS}"
    general_advice = (
        "Set ignore_invalid_records: true to skip and count them. The message says how many of the others were sent."
    )
    example = "Pinterest refused 2 of the 10000 records of a batch (400)"


class UnavailableError(PinterestError):
    """Pinterest failed, or could not be reached, until the retries were used up."""

    who = "no one (retry later)"
    general_advice = "Run the task again later. Records that were sent stay in the audience, and are not counted twice."
    example = (
        "Pinterest answered 503 to the request to add 10,000 records to customer list 5497558851750; tried 8 times"
    )


class MaybeAppliedError(UnavailableError):
    """The response to a request that must not be sent twice got lost: Pinterest may have carried it out."""

    who = "no one (retry)"
    general_advice = "Run the task again: it looks for what it has created, and creates nothing twice."
    example = (
        "no response from Pinterest (no byte of the response within the read timeout) to the request to create "
        'customer list "Shoppers"'
    )


class StoppedError(ExportError):
    """The run was stopped (SIGTERM, Ctrl-C). The message says how many records were sent."""

    who = "no one (retry)"
    general_advice = "Run the task again: the same session continues where it stopped."
    example = "the run was stopped (SIGTERM)"


class UnexpectedError(ExportError):
    """A bug in this operator, with its place in the code."""

    who = _OPERATOR_AUTHORS
    general_advice = "Report the line. It contains no data of yours."
    example = "KeyError at parse.py:120, in _settings: a bug in td_pinterest_op. Please report it with this line"
