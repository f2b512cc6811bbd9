"""The figures of a run next to those of the run before it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from td_pinterest_op.report import figures
from td_pinterest_op.report.entry import Entry

_MEASURES: tuple[tuple[str, str, str, Callable[[float | None], str]], ...] = (
    ("Rows", "rows_read", "read from the query", figures.number),
    ("Rows", "rows_valid", "valid identifiers", figures.number),
    ("Rows", "rows_invalid", "rejected", figures.number),
    ("Rows", "values_hashed", "valid values that were hashed already", figures.number),
    ("Rows", "mirror_unsure", "values that the warehouse cannot hash", figures.number),
    ("People", "records_unique", "different people", figures.number),
    ("People", "records_duplicate", "repeats, sent once", figures.number),
    ("People", "records_withheld_suppressed", "withheld: they opted out", figures.number),
    ("People", "records_withheld_without_consent", "withheld: without consent", figures.number),
    ("People", "records_withheld_control", "withheld: the control group", figures.number),
    ("People", "mirror_people", "in the audience after the run", figures.number),
    ("People", "mirror_members", "in the audience before the run", figures.number),
    ("People", "mirror_joined", "joined", figures.number),
    ("People", "mirror_left", "left", figures.number),
    ("People", "mirror_resent", "sent again", figures.number),
    ("People", "records_sent", "sent to Pinterest", figures.number),
    ("People", "records_refused", "refused by Pinterest and skipped", figures.number),
    ("People", "records_keys", "keys of these people", figures.number),
    ("Requests", "requests_sent", "writes to Pinterest, retries included", figures.number),
    ("Requests", "requests_retried", "retries", figures.number),
    ("Requests", "requests_failed", "failed writes", figures.number),
    ("Time", "seconds_reading", "waiting for Treasure Data, reading and hashing", figures.duration),
    ("Time", "seconds_sending", "sending to Pinterest", figures.duration),
    ("Time", "seconds_waiting", "waits for Pinterest's limit and before retries, of all requests", figures.duration),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A figure of a run and of the run before, and their difference, all as text."""

    group: str
    label: str
    now: str
    before: str
    change: str


def build_measures(run: Entry, previous: Entry | None) -> Iterator[Measure]:
    """Yield the figures of a run next to those of the run before, without those that are zero in both."""
    for group, name, label, as_text in _MEASURES:
        now, before = run.number(name), previous.number(name) if previous else None
        if now is None or not (now or before):
            continue
        change = figures.change(now, before) if as_text is figures.number else ""
        yield Measure(group=group, label=label, now=as_text(now), before=as_text(before), change=change)
