"""The story of a run, for a reader who has never seen one: query, rows, sent, held."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime

from td_pinterest_op.report.entry import Entry, make_entry
from tests.emulators.pinterest import Audience, Pinterest
from tests.sandbox.screen import labelled

# The lines of an error that the operator, the emulated engine of queries and the engines of workflows print.
_ERROR = re.compile(
    r"Error messages from python: (.*?)(?: \(\w+\))?(?:\n\tfrom |\n\n|\Z)|^(Query \d+ failed: .*?)$"
    r"|^error:\s+(?:\* \S+:\s+)?(.+?)(?:\n\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
# The line in which the operator logs its figures, and the engine's message about a task that failed.
_STATISTICS = re.compile(
    r"^(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[^\n{]*statistics(?P<failed> of the failed run)?: (?P<json>\{[^\n]*\})$",
    re.MULTILINE,
)
_FAILURE = re.compile(r"Error messages from python: (.*?)(?: \(\w+\))?(?:\n\tfrom |\n\n|\Z)", re.DOTALL)
_WAIT = re.compile(r" INFO (waiting [^\n]+)\n\Z")
_LONGEST_QUERY = 3
_MOST_REASONS = 1


def export_lines(log: str, *, query_of: Callable[[Entry], str]) -> Iterator[str]:
    """Yield the lines about the exports of a log."""
    every = _find_runs(log)
    for export, error in every:
        query = labelled("query", _query_lines(query_of(export)))
        yield from query[:_LONGEST_QUERY]
        if len(query) > _LONGEST_QUERY:
            yield from labelled("", ["…"])
        if export.get_number("rows_read"):
            yield from labelled("rows", [_rows_text(export)])
        audience = export.get_text("audience_id") or export.get_text("audience_name")
        if error and len(every) > 1 and audience not in error:
            error = f"audience {audience}: {error}"
        yield from labelled("failed" if error else "sent", [error or export.get_text("summary")])


def exports(log: str) -> list[Entry]:
    """Return the runs of the operator in a log, in its order."""
    return [export for export, _ in _find_runs(log)]


def _find_runs(log: str) -> list[tuple[Entry, str]]:
    """Return the runs of the operator in a log, in its order, each with its whole error, "" for none.

    An entry's own error has no word of the engine of queries.
    """
    found = []
    for line in _STATISTICS.finditer(log):
        values = json.loads(line["json"])
        error = ""
        if line["failed"]:
            told = _FAILURE.search(log, line.end())
            error = told[1].strip() if told else "the log does not say why"
        at = datetime.fromisoformat(line["at"]).astimezone()
        found.append((make_entry(values | {"time": at.timestamp(), "error": error}), error))
    return found


def find_failure(log: str) -> tuple[str, bool]:
    """Return the engine's message about a run that failed, and whether the story of an export holds it."""
    messages = [next(filter(None, found)) for found in _ERROR.findall(log)]
    message = messages[-1] if messages else "\n".join(log.splitlines()[-5:])
    return message, message in {error for _, error in _find_runs(log)}


def wait_of(log: str) -> str:
    """Return what the operator waits for at the end of a log, after a colon; "" if it does not wait."""
    wait = _WAIT.search(log)
    return f": {wait[1]}" if wait else ""


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


def _rows_text(export: Entry) -> str:
    invalid = export.get_number("rows_invalid") or 0
    reasons = [f"{name} {count:,}" for name, count in export.invalid_by_reason.items()]
    shown = ", ".join(reasons[:_MOST_REASONS] + (["…"] if len(reasons) > _MOST_REASONS else []))
    return (
        f"{export.get_number('rows_read'):,} read, {invalid:,} invalid{f' ({shown})' if shown else ''}; "
        f"{export.get_number('records_unique') or 0:,} unique records"
    )


def _query_lines(query: str) -> list[str]:
    """Return a query in one line, or in its own lines if it has comments within."""
    lines = [line.rstrip() for line in query.splitlines() if line.strip() and not line.lstrip().startswith("--")]
    return lines if any("--" in line for line in lines) else [" ".join(" ".join(lines).split())]
