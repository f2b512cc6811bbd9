"""The entries that a page carries, for the next report and for other programs."""

import csv
import html
import json
from collections.abc import Iterable, Iterator

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.entry import Entry, make_entry

_BEGIN, _END = '<template id="td-pinterest-report">', "</template>"


def read_page_entries(page: str) -> Iterator[Entry] | None:
    """Return the entries stored in a report page; None for a text that is not a page of this program."""
    _, begin, rest = page.partition(_BEGIN)
    data, end, _ = rest.partition(_END)
    return _parse_data(html.unescape(data)) if begin and end else None


def _parse_data(data: str) -> Iterator[Entry]:
    """Yield the entries in the JSON data of a page."""
    yield from map(make_entry, json.loads(data))


def collect_entries(entries: Iterable[Entry], *, name: str) -> list[Entry]:
    """Return the entries that were read from a text, oldest first.

    Raises SettingsError, with the `name` of the text, if it cannot be read, or has no entry.
    """
    try:
        read = list(entries)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        raise SettingsError(f"{name} cannot be read as statistics: {type(error).__name__}") from None
    if not read:
        raise SettingsError(
            f"{name} contains no export statistics. A report is made from the JSON of the variable `pinterest`, a "
            "task's log, rows of the history table (JSON or CSV), or an earlier report"
        )
    return sorted(read, key=lambda entry: entry.at.timestamp() if entry.at else 0.0)
