"""`td-pinterest report`: one HTML page from statistics, a log or the history."""

import re
from datetime import datetime, timezone
from pathlib import Path

import click

from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.connection import find_credentials, require_id
from td_pinterest_op.cli.options import FILE, CommonOptions
from td_pinterest_op.cli.report_sources import read_entries
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.entry import Entry, make_entry
from td_pinterest_op.report.page_file import PAGE_MODE
from td_pinterest_op.runtime.atomic_file import replace_file
from td_pinterest_op.stats import format_count
from td_pinterest_op.treasure_data.job import Source
from td_pinterest_op.treasure_data.result import read_small_result

_TABLE = re.compile(r"(?P<database>[a-z0-9_]{3,255})\.(?P<table>[a-z0-9_]{3,255})")
# Two years of daily runs with their follow-ups, of several audiences.
_MOST_ROWS = 10_000
_EXAMPLE = """\b
Examples:
  td-pinterest report statistics.json
  td-pinterest report task.log --output today.html
  td-pinterest report --history shop.pinterest_history --audience 2542620905475
"""

history_option = click.option(
    "--history",
    metavar="DATABASE.TABLE",
    help="The history that the workflows keep in Treasure Data, such as shop.pinterest_history.",
)


@click.command(cls=options.Command, epilog=_EXAMPLE)
@click.argument("paths", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@history_option
@click.option("--audience", metavar="ID", help="The audience to report, if there are several.")
@click.option("--output", "-o", type=FILE, default="report.html", show_default=True, help="The page to write.")
@options.combine_options(options.env_file, options.as_json, options.quiet)
@options.pass_common
def report(
    common: CommonOptions, paths: tuple[Path, ...], history: str | None, audience: str | None, output: Path
) -> None:
    """Write an HTML page about an audience's last run and history, from files or --history.

    It begins with a picture of the run: from the rows of the query to the people whom Pinterest matched. Several
    audiences share one page, with a line and a picture each; --audience adds charts, figures and the history of one.

    FILE is the JSON of the statistics, a task's log, rows of the history as JSON or CSV, or an earlier page; - is the
    standard input. The page is self-contained: it loads nothing and holds no personal data.
    """
    if not paths and history is None:
        raise click.UsageError("give a FILE with statistics, or --history DATABASE.TABLE")
    audience = require_id(audience, "--audience") if audience else None
    runs = [run for path in paths for run in read_entries(files.read_text(path), name=str(path))]
    if history is not None:
        runs += read_history_entries(history, audience_id=audience, env_file=common.env_file)
    if not runs:
        raise SettingsError(
            f"the history has no rows{f' of audience {audience}' if audience else ''}: run the workflow first"
        )
    _write_page(output, runs, audience)
    if common.as_json:
        screen.print_json({"file": str(output), "entries": len(runs)})
    elif not common.quiet:
        screen.print_line(f"Wrote {output}, from {format_count(len(runs), runs[0].kind, 'runs and status checks')}")


def _write_page(output: Path, runs: list[Entry], audience: str | None) -> None:
    """Write the HTML report about these runs to the file `output`. `audience`: id of the audience to show in detail."""
    try:
        from td_pinterest_op.report.page import render_page
    except ImportError as missing:
        raise SettingsError(
            f"the Python package {missing.name} is not installed: run `pip install 'td_pinterest_op[cli,report]'`"
        ) from None
    ordered = sorted(runs, key=lambda run: run.at.timestamp() if run.at else 0.0)
    html = render_page(ordered, audience_id=audience, now=datetime.now(timezone.utc))
    try:
        replace_file(output, html, mode=PAGE_MODE, errors="replace")
    except OSError as error:
        raise SettingsError(f"{output} cannot be written: {files.explain_error(error)}") from None


def read_history_entries(history: str, *, audience_id: str | None, env_file: Path | None) -> list[Entry]:
    """Return the latest entries of the table `history`, oldest first, for one audience or all (`audience_id` None).

    Raises click.UsageError for a wrong table name.
    """
    named = _TABLE.fullmatch(history)
    if named is None:
        raise click.UsageError("--history must name a database and a table, such as shop.pinterest_history")
    only = f" WHERE audience_id = '{audience_id}'" if audience_id else ""
    # A table that an older version made has fewer columns.
    query = f"SELECT * FROM {named['table']}{only} ORDER BY time DESC LIMIT {_MOST_ROWS}"  # noqa: S608
    source = Source(query=query, database=named["database"], purpose="history")
    credentials = find_credentials(env_file)
    credentials.require_variables("TD_API_KEY")
    with credentials.without_pinterest().open_services() as services:
        return [make_entry(row) for row in reversed(read_small_result(services.treasure_data, source))]
