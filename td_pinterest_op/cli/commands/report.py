"""`td-pinterest report`."""

import contextlib
import json
import re
from datetime import datetime, timezone
from pathlib import Path

import click

from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.connection import find_credentials, parse_id_option
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.entry import ReportEntry, build_entry
from td_pinterest_op.report.page_file import write_report_page
from td_pinterest_op.run_history.history_table import build_run_row
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.treasure_data.job import JobOrQuery
from td_pinterest_op.treasure_data.result import read_small_result

_TABLE_NAME_PATTERN = re.compile(r"(?P<database>[a-z0-9_]{3,255})\.(?P<table>[a-z0-9_]{3,255})")
# Two years of daily runs with their follow-ups, of several audiences.
_MOST_HISTORY_ROWS = 10_000

history_option = click.option(
    "--history",
    metavar="DATABASE.TABLE",
    help="The history that the workflows keep in Treasure Data, such as shop.pinterest_history.",
)


@options.command(
    """\b
Examples:
  td-pinterest report statistics.json --output today.html
  td-pinterest report --history shop.pinterest_history --audience 2542620905475
"""
)
@click.argument("statistics", metavar="[FILE]", required=False, type=options.PATH_TYPE)
@history_option
@click.option(
    "--audience", metavar="ID", help="The audience to report.  [default: that of the newest row in --history]"
)
@click.option(
    "--output", "-o", type=options.FILE_TYPE, default="report.html", show_default=True, help="The page to write."
)
@options.usual_options
def report(
    common: options.CommonOptions, statistics: Path | None, history: str | None, audience: str | None, output: Path
) -> None:
    """Write an HTML page about a run, or an audience's history.

    Reports the run whose statistics are in FILE, or the last run of an audience in --history. The page begins with a
    funnel, from the rows of the query to the people whom Pinterest matched. Charts, figures and the audience's history
    follow. If the history has several audiences, choose one with --audience.

    FILE is JSON, as `td-pinterest export --json` prints it or a workflow stores it as `pinterest`; - means standard
    input. The page loads nothing and contains no personal data. A file that is not such a page is never overwritten.
    """
    if (statistics is None) == (history is None):
        raise click.UsageError("give either a FILE with the statistics of a run, or --history DATABASE.TABLE")
    audience = parse_id_option(audience, "--audience") if audience else None
    if statistics is not None:
        runs = []
        text = files.read_file_or_stdin(statistics)
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):
            values = json.loads(text)
            values = values.get("pinterest", values)
            runs += [build_entry(build_run_row(values))] if "read" in values["rows"] else []
        if not runs:
            raise SettingsError(
                f"{statistics} does not hold the statistics of a run: give the JSON of the variable `pinterest`, or "
                "--history for rows of the history"
            )
    else:
        runs = read_history_entries(history or "", audience_id=audience, env_file=common.env_file)
    from td_pinterest_op.report.page import render_page  # whose library for charts takes time

    page = render_page(runs, audience_id=audience, now=datetime.now(timezone.utc))
    write_report_page(output, page)
    if common.as_json:
        screen.print_json({"file": str(output), "entries": len(runs)})
    common.print_note(f"Wrote {output}, from {format_count(len(runs), runs[0].kind, 'runs and status checks')}")


def read_history_entries(history: str, *, audience_id: str | None, env_file: Path | None) -> list[ReportEntry]:
    """Return the latest entries of a history, oldest first. `history`: its database and table.

    `audience_id`: only those of this audience, and erasures, which are about every audience. Raises click.UsageError
    for a wrong name.
    """
    named = _TABLE_NAME_PATTERN.fullmatch(history)
    if named is None:
        raise click.UsageError("--history must name a database and a table, such as shop.pinterest_history")
    table = named["table"]
    only = f" WHERE audience_id = '{audience_id}' OR action = 'erase'" if audience_id else ""
    # Tables of older versions have fewer columns.
    query = f"SELECT * FROM {table}{only} ORDER BY time DESC LIMIT {_MOST_HISTORY_ROWS}"  # noqa: S608
    source = JobOrQuery(query=query, database=named["database"], purpose="history")
    credentials = find_credentials(env_file)
    credentials.require_variables("TD_API_KEY")
    with credentials.without_pinterest().open_services() as services:
        return [build_entry(row) for row in reversed(read_small_result(services.treasure_data, source))]
