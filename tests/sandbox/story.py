"""The story of a run, for a reader who has never seen one: query, rows, sent, held."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime

from td_pinterest_op.report.entry import ReportEntry, build_entry
from td_pinterest_op.run_history.history_table import build_run_row
from tests.emulators.pinterest import Audience, Pinterest
from tests.sandbox.screen import labelled

# The line in which the operator logs its figures, and the engine's message about a task that failed.
_STATISTICS = re.compile(
    r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[^\n{]*statistics(?P<failed> of the failed run)?: (?P<json>\{[^\n]*\})$",
    re.MULTILINE,
)
_FAILURE = re.compile(r"Error messages from python: (.*?)(?: \(\w+\))?(?:\n\tfrom |\n\n|\Z)", re.DOTALL)
_LONGEST_QUERY = 3  # lines
_LONGEST_ERROR = 6


def find_exports(log: str) -> list[tuple[ReportEntry, str]]:
    """Return the runs of the operator in a log, in its order, each with its whole error, "" for none.

    An entry's own error has no word of the engine of queries.
    """
    found = []
    for line in _STATISTICS.finditer(log):
        error = ""
        if line["failed"]:
            told = _FAILURE.search(log, line.end())
            error = told[1].strip() if told else "the log does not say why"
        at = datetime.fromisoformat(line["at"]).astimezone()
        run = build_run_row(json.loads(line["json"]))
        found.append((build_entry({**run, "time": at.timestamp(), "error": error}), error))
    return found


def find_failure(log: str) -> list[str]:
    """Return the lines of the operator's error in a log, or else the last lines of the log."""
    told = _FAILURE.search(log)
    return (told[1] if told else log).strip().splitlines()[-_LONGEST_ERROR:]


def export_lines(export: ReportEntry, error: str, *, query_of: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines about an export. `query_of` returns the query of a job."""
    if job_id := export.get_text("job_id"):
        yield from labelled("query", _query_lines(query_of(job_id)))[:_LONGEST_QUERY]
    if export.get_number("rows_read"):
        yield from labelled("rows", [_rows_text(export)])
    yield from labelled("failed" if error else "sent", [error or export.get_text("summary")])


def audience_lines(pinterest: Pinterest) -> Iterator[str]:
    """Yield the lines about what Pinterest holds: one for each audience, and one for the lists that none uses."""
    audiences = list(pinterest.audiences.values())
    for audience in audiences:
        yield from labelled("audience", [f'{audience.id} "{audience.name}" {_content(audience, pinterest)}'])
    used = {audience.rule.get("customer_list_id") for audience in audiences if not audience.removed}
    unused = len(pinterest.lists.keys() - used)
    if unused:
        yield from labelled("lists", [f"{unused} customer list{'s' if unused > 1 else ''} without an audience"])
    if not audiences:
        yield from labelled("audience", ["Pinterest holds no audience"])


def _content(audience: Audience, pinterest: Pinterest) -> str:
    if audience.removed:
        return "is removed"
    if "customer_list_id" not in audience.rule:
        return f"is of type {audience.audience_type}"
    return f"holds {len(pinterest.members_of_audience(audience.id)):,} identifiers"


def _rows_text(export: ReportEntry) -> str:
    reasons = ", ".join(f"{name} {count:,}" for name, count in export.invalid_by_reason.items())
    return (
        f"{export.get_number('rows_read'):,} read, {export.get_number('rows_invalid') or 0:,} invalid"
        f"{f' ({reasons})' if reasons else ''}; {export.get_number('records_unique') or 0:,} unique records"
    )


def _query_lines(query: str) -> list[str]:
    """Return a query in one line, or in its own lines if it has comments within."""
    lines = [line.rstrip() for line in query.splitlines() if line.strip() and not line.lstrip().startswith("--")]
    return lines if any("--" in line for line in lines) else [" ".join(" ".join(lines).split())]
