"""The funnel of a run, from the rows of the query to the people whom Pinterest matched."""

from collections.abc import Iterator
from dataclasses import dataclass

from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.figures import format_number, format_time
from td_pinterest_op.run_history.history_table import FAILED
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, WITHOUT_CONSENT

KEPT = "kept"
LOST = "lost"
MATCHED = "matched"

_WITHHELD = {SUPPRESSED: "Opted out", WITHOUT_CONSENT: "Without consent", CONTROL: "Control group"}
_REMOVE = "remove_people_from_current_audience"
_MOST_REASONS = 3  # more do not fit next to a bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of the funnel chart: the people who remain (`kind` KEPT), drop out (LOST), or are matched (MATCHED)."""

    kind: str
    label: str
    count: float | None  # None if it is not known yet
    note: str = ""


def build_funnel(run: Entry, *, size_entry: Entry | None) -> list[Bar]:
    """Return the bars of a run's funnel chart. `size_entry`: the newest audience size after the run, a history entry.

    LOST bars of zero are left out. If the run read no row, the list is empty.
    """
    if not run.get_number("rows_read"):
        return []
    bars = [bar for bar in (*_build_people_bars(run), *_build_result_bars(run)) if bar.kind == KEPT or bar.count]
    if run.outcome != FAILED and not run.dry_run and run.get_text("action") != _REMOVE:
        bars.append(_build_matched_bar(run, size_entry))
    return bars


def _build_people_bars(run: Entry) -> Iterator[Bar]:
    """Yield the first bars of a funnel: rows read, values rejected or valid, repeats, and people withheld."""
    read = run.get_number("rows_read") or 0
    invalid = run.get_number("rows_invalid") or 0
    unique = run.get_number("records_unique")
    valid = run.get_number("rows_valid")
    if valid is None:
        valid = read - invalid
    yield Bar(kind=KEPT, label="Rows read", count=read)
    if valid + invalid != read:
        # Several columns of identifiers.
        yield Bar(kind=KEPT, label="Identifiers in them", count=valid + invalid)
    yield Bar(kind=LOST, label="Rejected", count=invalid, note=_format_invalid_reasons(run))
    yield Bar(kind=KEPT, label="Valid", count=valid)
    if unique is not None:
        yield Bar(kind=LOST, label="Repeats", count=valid - unique)
        yield Bar(kind=KEPT, label="Different people", count=unique)
    for reason in WITHHELD:
        count = run.get_number(f"records_withheld_{reason}")
        yield Bar(kind=LOST, label=_WITHHELD[reason], count=count, note="withheld")


def _format_invalid_reasons(run: Entry) -> str:
    """Return the most frequent reasons why values of a run were rejected, with their counts, as text."""
    reasons = [f"{reason.replace('_', ' ')} {format_number(count)}" for reason, count in run.invalid_by_reason.items()]
    more = [f"{len(reasons) - _MOST_REASONS} other reasons"] if len(reasons) > _MOST_REASONS else []
    return ", ".join(reasons[:_MOST_REASONS] + more)


def _build_result_bars(run: Entry) -> Iterator[Bar]:
    """Yield the bars about the people who are not withheld: how many were sent, refused by Pinterest or not sent."""
    sent = run.get_number("records_sent") or 0
    allowed = run.allowed_count
    removes = run.get_text("action") == _REMOVE
    if run.is_mirror:
        names = {"mirror_joined": "joined", "mirror_left": "left", "mirror_resent": "sent again"}
        changes = [f"{format_number(count)} {word}" for name, word in names.items() if (count := run.get_number(name))]
        label = "Should be in the audience" if run.get_number("members") is None else "In the audience"
        yield Bar(kind=KEPT, label=label, count=allowed, note=", ".join(changes) or "nobody joined or left")
    elif run.dry_run:
        yield Bar(kind=KEPT, label="Would be taken out" if removes else "Would be sent", count=allowed)
    else:
        refused = run.get_number("records_refused") or 0
        yield Bar(kind=LOST, label="Refused by Pinterest", count=refused)
        missing = 0 if allowed is None else allowed - sent - refused
        note = "the run failed before" if run.outcome == FAILED else ""
        yield Bar(kind=LOST, label="Not sent", count=missing, note=note)
        yield Bar(kind=KEPT, label="Taken out" if removes else "Sent", count=sent)


def _build_matched_bar(run: Entry, size_entry: Entry | None) -> Bar:
    """Return the bar of the audience's matched people. `size_entry`: the history entry with their number, if any."""
    if size_entry is None or (count := size_entry.get_number("audience_size")) is None:
        return Bar(kind=MATCHED, label="Matched by Pinterest", count=None, note="not known yet")
    whole = "the whole audience, " if run.get_text("action").startswith("add_people_to_") else ""
    note = f"{whole}about, as of {format_time(size_entry.at)}"
    return Bar(kind=MATCHED, label="Matched by Pinterest", count=count, note=note)
