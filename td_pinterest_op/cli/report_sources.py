"""Reads a report's entries from JSON, a log, an export of the history table (JSON, lines of JSON, CSV), or a page."""

import csv
import io
import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, cast

from td_pinterest_op.report.entry import Entry, make_entry
from td_pinterest_op.report.page_file import collect_entries, read_page_entries
from td_pinterest_op.run_history.table import FAILED, build_follow_up_row

# The time of the process that wrote a line of a log, and the operator's own words before the figures.
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_STATISTICS = re.compile(r"statistics(?P<failed> of the failed run)?: (?=\{)")
# A log may begin with a bracket as well: [INFO] …
_JSON = re.compile(r"\s*(?:\{|\[\s*[\[{\]])")
_SPACE = re.compile(r"\s*")
# Before the statistics of an entry of `audiences`, whose error the log has in another line with the same beginning.
_LABEL = re.compile(r"[\d ,:-]{19,23} ERROR (?P<label>.*: )")
_ENTRY_ERROR = re.compile(r"(?P<text>(?:[^\n]|\n    )*?) \(\w+\)\. Who must act: ")
_LONGEST_GAP = 50_000  # characters between the two; the lines of other entries may be there
_ERROR = re.compile(r"Error messages from python: (?P<text>.*?)(?: \(\w+\))?(?:\n\tfrom |\n\n|$)", re.DOTALL)


def read_entries(text: str, *, name: str) -> list[Entry]:
    """Return the runs and audience checks in a report page, log, JSON or CSV, oldest first. `name`: for errors.

    A check is that of an audience's status, or a comparison with the control group. Raises the errors of
    `collect_entries`.
    """
    return collect_entries(_parse_entries(text), name=name)


def _parse_entries(text: str) -> Iterator[Entry]:
    """Yield the runs and audience checks in the text of a report page, JSON, a task's log, or the history as CSV."""
    if (entries := read_page_entries(text)) is not None:
        yield from entries
    elif _JSON.match(text):
        for values in _split_json(text):
            yield from _find_json_entries(values)
    elif logged := [*_parse_log_entries(text)]:
        yield from logged
    else:
        rows = csv.DictReader(io.StringIO(text))
        if "kind" in (rows.fieldnames or ()):
            yield from (make_entry({name: value or None for name, value in row.items()}) for row in rows)


def _split_json(text: str) -> Iterator[Any]:
    """Yield each JSON value of a text that consists of one or more JSON values."""
    decoder, position = json.JSONDecoder(), 0
    while (position := cast("re.Match[str]", _SPACE.match(text, position)).end()) < len(text):
        value, position = decoder.raw_decode(text, position)
        yield value


def _find_json_entries(parsed: Any) -> Iterator[Entry]:
    """Yield the history entries (runs, and checks of audiences after a run) at any depth of parsed JSON."""
    if isinstance(parsed, list):
        for member in parsed:
            yield from _find_json_entries(member)
    elif "audiences" in parsed:
        for state in parsed["audiences"]:
            yield make_entry({"checked_at": parsed.get("checked_at"), **build_follow_up_row(state)})
    elif not {"rows", "kind"} & set(parsed):
        for member in parsed.values():
            if isinstance(member, Mapping):
                yield from _find_json_entries(member)
    else:
        yield make_entry(parsed)


def _parse_log_entries(text: str) -> Iterator[Entry]:
    """Yield a run for each line of a task's log that contains the statistics of an export."""
    errors = [*_ERROR.finditer(text)]
    places = [error.start() for error in errors]
    end = -1
    for line in text.split("\n"):
        end += len(line) + 1
        logged, last = _STATISTICS.search(line), line.rfind("}")
        if not logged or last < logged.end():
            continue
        values, error = json.loads(line[logged.end() : last + 1]), ""
        if logged["failed"]:
            place = bisect_left(places, end)
            error = errors[place]["text"].strip() if place < len(places) else "the log does not say why"
            if label := _LABEL.fullmatch(line, 0, logged.start()):
                error = _find_entry_error(text, label["label"], end) or error
            values |= {"outcome": FAILED}
        # logging writes local time without its zone.
        at = _TIME.match(line)
        yield make_entry(values, at=datetime.fromisoformat(at[0]).astimezone() if at else None, error=error)


def _find_entry_error(text: str, label: str, start: int) -> str:
    """Return the error in the first line of a log after `start` that begins with an entry's `label`, or ""."""
    begin = f" ERROR {label}"
    if (place := text.find(begin, start, start + _LONGEST_GAP)) < 0:
        return ""
    error = _ENTRY_ERROR.match(text, place + len(begin), place + _LONGEST_GAP)
    return error["text"].replace("\n    ", "\n") if error else ""
