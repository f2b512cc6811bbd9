"""The operator's own report: after a run, into the file that the setting `report` names.

The page carries its data, so the next run finds there the runs before it. A report that cannot be written is a warning:
the export is done.
"""

import errno
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from td_pinterest_op.errors import ExportError
from td_pinterest_op.report.entry import Entry, make_entry
from td_pinterest_op.report.page_data import collect_entries, read_page_entries
from td_pinterest_op.report.verdict import ReportText
from td_pinterest_op.runtime.atomic_file import replace
from td_pinterest_op.runtime.unexpected import to_export_error

log = logging.getLogger(__name__)

# A page is for everybody, as far as the process lets its files be read.
READABLE = 0o666


def write_report(
    path: Path, statistics: Mapping[str, Any], *, report_texts: Mapping[str, ReportText], error: str, now: datetime
) -> None:
    """Add a run to the report in a file. Never raises: an error is logged as a warning.

    A relative `path` is relative to the working folder, which for a task is the project. `error`: why the run failed.
    """
    try:
        from td_pinterest_op.report.page import render_page

        run = make_entry(statistics, at=now, error=error)
        html = render_page([*_read_earlier_entries(path), run], report_texts=report_texts, now=now)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, html, mode=READABLE)
    except ImportError as missing:
        log.warning(
            "no report was written: the Python package %s is not installed. Install td_pinterest_op[report]",
            missing.name,
        )
    except ExportError as problem:
        log.warning("no report was written: %s", problem)
    except OSError as problem:
        log.warning("no report was written to %s: %s", path, problem.strerror)
    except Exception as problem:
        log.warning("no report was written: %s", to_export_error(problem))
    else:
        log.info("report: %s", path.resolve())


def _read_earlier_entries(path: Path) -> list[Entry]:
    """Return the entries in an earlier report; none without that file. Raises OSError, SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        text = ""
    if (entries := read_page_entries(text)) is None:
        raise FileExistsError(errno.EEXIST, "the file exists already and is not a report of td_pinterest_op")
    return collect_entries(entries, name=str(path))
