"""The file of a report page: the setting `report` adds each run to the page, which carries the data of earlier runs."""

import csv
import errno
import html
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from td_pinterest_op.errors import ExportError, SettingsError
from td_pinterest_op.report.entry import Entry, make_entry
from td_pinterest_op.runtime.atomic_file import replace_file

log = logging.getLogger(__name__)

PAGE_MODE = 0o666
"""The mode of a page's file, less the process's umask: a page is for everybody."""
_BEGIN, _END = '<template id="td-pinterest-report">', "</template>"


def add_run_to_page(path: Path, statistics: Mapping[str, Any], *, error: str, now: datetime) -> None:
    """Add a run to the report page in the file `path`. Never raises: an error is logged as a warning.

    A relative `path` is relative to the working folder, which for a task is the project. `error`: why the run failed.
    """
    try:
        from td_pinterest_op.report.page import render_page

        run = make_entry(statistics, at=now, error=error)
        page = render_page([*_read_earlier_entries(path), run], now=now)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, page, mode=PAGE_MODE, errors="replace")
    except ImportError as missing:
        log.warning(
            "no report was written: the Python package %s is not installed. Install td_pinterest_op[report]",
            missing.name,
        )
    except OSError as problem:
        log.warning("no report was written to %s: %s", path, problem.strerror)
    except Exception as problem:
        log.warning("no report was written: %s", ExportError.from_exception(problem))
    else:
        log.info("report: %s", path.resolve())


def _read_earlier_entries(path: Path) -> list[Entry]:
    """Return the entries stored in the page `path`, or [] if there is no file. Raises OSError, SettingsError."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    if (entries := read_page_entries(text)) is None:
        raise FileExistsError(
            errno.EEXIST,
            "the file already exists, but is not a report of td_pinterest_op: choose another file, or move this one",
        )
    return collect_entries(entries, name=str(path))


def read_page_entries(page: str) -> Iterator[Entry] | None:
    """Return the entries stored in a report page, or None if the text is not a page of this program."""
    _, begin, rest = page.partition(_BEGIN)
    data, end, _ = rest.partition(_END)
    return _parse_entries(html.unescape(data)) if begin and end else None


def _parse_entries(data: str) -> Iterator[Entry]:
    """Yield the entries of the JSON list that a report page contains."""
    yield from map(make_entry, json.loads(data))


def collect_entries(entries: Iterable[Entry], *, name: str) -> list[Entry]:
    """Return the history entries of the lazy iterator `entries`, sorted oldest first. `name`: the file, for messages.

    Raises SettingsError, whose message has the `name`, if the file cannot be parsed, or has no entry.
    """
    try:
        read = list(entries)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        raise SettingsError(
            f"{name} cannot be read as export statistics ({type(error).__name__}): check that it is the right file"
        ) from None
    if not read:
        raise SettingsError(
            f"{name} contains no export statistics. A report is made from the JSON of the variable `pinterest`, a "
            "task's log, rows of the history table (JSON or CSV), or an earlier report"
        )
    return sorted(read, key=lambda entry: entry.at.timestamp() if entry.at else 0.0)
