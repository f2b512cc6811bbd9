"""The file of a report page."""

import errno
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from td_pinterest_op.errors import ExportError
from td_pinterest_op.report.entry import build_entry
from td_pinterest_op.run_history.history_table import build_run_row
from td_pinterest_op.runtime.atomic_file import write_result

log = logging.getLogger(__name__)

_REPORT_PAGE_MARK = '<meta name="generator" content="td_pinterest_op">'  # a line of every page


def write_run_report(path: Path, statistics: Mapping[str, Any], *, error: str, now: datetime) -> None:
    """Write the page about a run. Never raises: an error is logged as a warning. `error`: why the run failed, or ""."""
    if path.exists() and not path.is_file():  # a run would wait for whoever reads a pipe
        log.warning("no report was written to %s: it is not a regular file; choose another file", path)
        return
    try:
        from td_pinterest_op.report.page import render_page

        run = build_entry({**build_run_row(statistics), "time": now.timestamp(), "error": error})
        write_report_page(path, render_page([run], now=now))
    except ImportError as missing:
        log.warning(
            "no report was written: the Python package %s is not installed. Install td_pinterest_op[report]",
            missing.name,
        )
    except Exception as problem:
        why = problem.strerror if isinstance(problem, OSError) else ExportError.from_exception(problem)
        log.warning("no report was written to %s: %s", path, why)
    else:
        log.info("report: %s", path.resolve())


def write_report_page(path: Path, page: str) -> None:
    """Write a page to a file, in place of an earlier page.

    Raises OSError if the file cannot be written, FileExistsError if it holds anything else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only a regular file: reading a pipe would wait for somebody who writes.
    if path.is_file() and _REPORT_PAGE_MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(
            errno.EEXIST,
            "the file exists and is not a report of td_pinterest_op: choose another file, or move it away",
            path,
        )
    # A lone surrogate, as in a name, becomes a question mark.
    write_result(path, page.encode(errors="replace").decode())
