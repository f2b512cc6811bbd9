"""The counters of one export, and their JSON for the workflow store.

The counts add up: see `Stats.check_sums`. With several identifier columns, `rows.valid` and `rows.invalid` count
values: each non-null value of a row is an identifier.
"""

# To add a figure:
# 1. Test it where it is counted. Write the golden files again (`GOLDEN=write scripts/test tests/e2e/cli`).
# 2. Add a field to `Stats` or `RequestCounts`, and count there: rows in records/readers.py
#    (tests/e2e/test_rows.py), people of a mirror in mirroring/mirror_run.py (tests/mirror/test_mirror.py), records in
#    audiences/sender.py (tests/unit/audiences/test_sender.py), requests in pinterest/client.py
#    (tests/unit/pinterest/test_client.py).
# 3. Put it into `to_json`, where it is 0 if nothing was counted: digdag merges the statistics of a task key by key into
#    those of an earlier one. If it is a part of a sum, add it to `check_sums` (tests/unit/test_stats.py), to the sums
#    in docs/reference.md, and to report/funnel.py (tests/unit/report/test_funnel.py) if people drop out.
# 4. Add its column to run_history/history_table.py, and its name to the table in report/page.html.
# 5. Explain it in docs/reference.md ("Statistics").
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from td_pinterest_op import __version__
from td_pinterest_op.errors import UnexpectedError
from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS
from td_pinterest_op.redaction.secret import defuse_templates, escape_and_quote
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import WITHHOLDING_LIST_NAMES

SUPPRESSED = "suppressed"
WITHOUT_CONSENT = "without_consent"
IN_CONTROL_GROUP = "control"
WITHHELD_REASONS = (SUPPRESSED, WITHOUT_CONSENT, IN_CONTROL_GROUP)
"""Reasons why records are withheld; the first that applies counts."""


class SummaryByTense(NamedTuple):
    """What a run did (`past`) or would do (`infinitive`). `Stats.summary` fills in `{audience}` and `{records}`."""

    past: str
    infinitive: str


@dataclass(kw_only=True)
class _SharedCounters:
    """Counters to which several threads may add."""

    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **numbers: float) -> None:
        """Add numbers to the counters of these names."""
        with self._lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)


@dataclass(kw_only=True)
class RequestCounts(_SharedCounters):
    """Counts of the requests that write to Pinterest, and the seconds that all requests waited to be sent."""

    sent: int = 0  # repetitions included
    retried: int = 0  # repetitions of failed ones
    failed: int = 0  # without a successful response
    waiting_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MirrorFigures:
    """Counts of a mirror, which makes an audience equal to the query's people."""

    mode: str | None = None  # "replace" (all people are sent to a new list) or "difference"
    plan: int | None = None  # its number in the ledger
    people: int = 0  # the query's people who may be sent
    members: int = 0  # the audience's people before the run, by the ledger
    joined: int = 0  # people to add
    resent: int = 0  # people in the audience who are sent again
    left: int = 0  # people to remove
    unsure: int = 0  # values that the warehouse cannot hash

    @property
    def to_send_count(self) -> int:
        """The number of records to send."""
        return self.joined + self.resent + self.left


@dataclass(kw_only=True)
class Stats(_SharedCounters):
    """The counters and results of one run. Only `add` and `requests` may be used by several threads.

    A record is what is sent for a row. It has one or more keys: digests or an external id. Without an action, only rows
    are counted, such as those of an opt-out list.
    """

    action: str = ""
    ad_account_id: str = ""
    dry_run: bool = False
    for_this_run: tuple[str, ...] = ()  # names of settings
    summary_text: SummaryByTense | None = None
    audience_id: str | None = None
    audience_name: str | None = None
    customer_list_id: str | None = None
    previous_customer_list_id: str | None = None
    job_id: str | None = None
    audience_status: str | None = None
    audience_size: int | None = None
    members: int | None = None  # records in the audience; None unless this run knows all of them

    columns: int = 1  # columns of identifiers in the result; a column of arrays counts twice
    read: int = 0  # rows
    valid: int = 0  # valid values; if records have several keys, rows with a valid value
    invalid_by_reason: Counter[str] = field(default_factory=Counter)  # values that are not valid, by Reason
    invalid_rows: int = 0  # rows with one or more of these values
    first_invalid: list[int] = field(default_factory=list)  # the first of these rows, from 1
    unique: int = 0  # records without duplicates
    duplicate: int = 0  # records that are equal to an earlier one
    sent: int = 0  # records that Pinterest accepted
    refused: int = 0
    in_doubt: int = 0  # records of requests without a known outcome
    keys: int | None = None  # keys of the records that are not withheld; None if each record has a single key
    invalid_keys_by_reason: Counter[str] = field(default_factory=Counter)  # in rows that also have valid keys
    withheld: Counter[str] = field(default_factory=Counter)  # unique records, by reason
    list_jobs: dict[str, str] = field(default_factory=dict)  # the ids of the jobs of `suppress` and `consent`
    plain_values: int = 0  # valid values that were hashed here
    hashed_values: int = 0  # valid values that were hashed already
    mirror: MirrorFigures | None = None  # None unless the action is mirror
    failed: bool = False
    reading_seconds: float = 0.0
    sending_seconds: float = 0.0
    requests: RequestCounts = field(default_factory=RequestCounts)

    @property
    def allowed_count(self) -> int:
        """The number of unique records that are not withheld."""
        return self.unique - self.withheld.total()

    @property
    def to_send_count(self) -> int:
        """The number of records to send: all that are not withheld, but in a mirror only its `to_send_count`."""
        return self.allowed_count if self.mirror is None else self.mirror.to_send_count

    @property
    def withheld_text(self) -> str:
        """The number of withheld records and, in brackets, the number for each reason."""
        reasons = ", ".join(
            f"{reason} {self.withheld[reason]:,}" for reason in WITHHELD_REASONS if self.withheld[reason]
        )
        return f"{format_count(self.withheld.total(), 'record')} ({reasons})"

    @property
    def invalid_value_count(self) -> int:
        """The number of values that are not valid identifiers."""
        return self.invalid_by_reason.total()

    def check_sums(self, *, complete: bool) -> None:
        """Raise UnexpectedError if the counts do not add up. `complete`: whether the run has sent all records."""
        sums = {
            "rows.read = rows.valid + rows.invalid": self.columns != 1
            or self.read == self.valid + self.invalid_value_count,
            "identifiers = unique + duplicate": self.valid == self.unique + self.duplicate,
            "unique = sent + refused + withheld": not complete or self.to_send_count == self.sent + self.refused,
        }
        if broken := [name for name, holds in sums.items() if not holds]:
            raise UnexpectedError(
                f"the statistics do not add up ({'; '.join(broken)}): a bug in td_pinterest_op; please report it with "
                f"this line: {self.to_json()}"
            )

    @property
    def summary(self) -> str:
        """The outcome of the run in one sentence."""
        name = self.audience_name or self.audience_id
        audience = f"audience {escape_and_quote(name)}" if name else "an audience"
        to_send = format_count(self.to_send_count, "record")
        if self.failed or self.summary_text is None:
            sent = f", {self.sent:,} of {to_send} sent" if self.unique else ""
            outcome = f"Failed: {self.action} on {audience}{sent}"
        elif self.dry_run:
            would = self.summary_text.infinitive.format(audience=audience, records=to_send)
            outcome = f"Dry run: would {would}; nothing was written"
        else:
            done = self.summary_text.past.format(audience=audience, records=format_count(self.sent, "record"))
            outcome = done[0].upper() + done[1:]
        parts = [outcome]
        if self.invalid_value_count:
            parts.append(f"{format_count(self.invalid_value_count, 'invalid value')} left out")
        if self.withheld.total():
            parts.append(f"{self.withheld_text} withheld")
        if self.refused:
            parts.append(f"Pinterest refused {self.refused:,}")
        return f"{'; '.join(parts)}{self.run_only_settings_text}."

    @property
    def run_only_settings_text(self) -> str:
        """The end of a sentence that names the settings for this run only, or "" for none."""
        if not self.for_this_run:
            return ""
        return f"; set for this run and each retry of its attempt: {', '.join(self.for_this_run)}"

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as plain JSON types, in the order of the table in docs/reference.md.

        All reasons are keys, even with a count of zero: see "To add a figure", 3.
        """
        ids = ("audience_id", "audience_name", "customer_list_id", "previous_customer_list_id", "job_id")
        statistics: dict[str, Any] = {
            **{name: getattr(self, name) for name in ("action", "ad_account_id", *ids, "dry_run")},
            "audience": {"status": self.audience_status, "size": self.audience_size},
            "members": self.members,
            "summary": self.summary,
            "version": __version__,
            "rows": {
                "read": self.read,
                "valid": self.valid,
                "invalid": self.invalid_value_count,
                "invalid_by_reason": {reason: self.invalid_by_reason[reason] for reason in sorted(REASON_EXPLANATIONS)},
            },
            "records": {
                **{name: getattr(self, name) for name in ("unique", "duplicate", "sent", "refused")},
                "withheld": {reason: self.withheld[reason] for reason in WITHHELD_REASONS},
            },
            "values": {"plain": self.plain_values, "hashed": self.hashed_values},
            "mirror": asdict(self.mirror or MirrorFigures()),
            "lists": {name: self.list_jobs.get(name) for name in WITHHOLDING_LIST_NAMES},
            "requests": {name: getattr(self.requests, name) for name in ("sent", "retried", "failed")},
            "seconds": {
                "reading": round(self.reading_seconds, 3),
                "sending": round(self.sending_seconds, 3),
                "waiting": round(self.requests.waiting_seconds, 3),
            },
        }
        if self.keys is not None:
            statistics["records"] |= {"keys": self.keys, "invalid_keys": self.invalid_keys_by_reason.total()}
        return dict(defuse_templates(statistics))
