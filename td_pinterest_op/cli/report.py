"""`td-pinterest report`: one HTML page from statistics, a log or the history."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click

from td_pinterest_op.audiences.actions import OUTCOMES
from td_pinterest_op.cli import history as history_table
from td_pinterest_op.cli import options, screen, text_file
from td_pinterest_op.cli.connection import checked_id
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report import after_run
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.sources import entries

_EXAMPLE = """\b
Examples:
  td-pinterest report statistics.json
  td-pinterest report task.log --output today.html
  td-pinterest report --history shop.pinterest_history --audience 2542620905475
"""


@click.command(epilog=_EXAMPLE)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@history_table.option
@click.option("--audience", metavar="ID", help="The audience, where there are several.")
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    default=Path("report.html"),
    show_default=True,
    help="The page to write.",
)
@options.all_of(options.env_file, options.as_json, options.quiet)
def report(
    files: tuple[Path, ...],
    history: str | None,
    audience: str | None,
    output: Path,
    env_file: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write one HTML page about a run and the history of its audience.

    FILE is the JSON of the statistics, a task's log, rows of the history as JSON or CSV, or an earlier page; - is the
    standard input. The page stands alone: it loads nothing and holds no personal data.
    """
    if not files and history is None:
        raise click.UsageError("give a FILE with statistics, or --history DATABASE.TABLE")
    audience = checked_id(audience, "--audience") if audience else None
    runs = [run for file in files for run in entries(text_file.read(file), name=str(file))]
    if history is not None:
        runs += history_table.entries(history, audience_id=audience, env_file=env_file)
    if not runs:
        raise SettingsError("the history has no rows of this audience: run the workflow first")
    _write(output, runs, audience)
    if as_json:
        screen.say_json({"file": str(output), "entries": len(runs)})
    elif not quiet:
        screen.say(f"Wrote {output}, from {len(runs)} runs and follow-ups")


def _write(output: Path, runs: list[Entry], audience: str | None) -> None:
    try:
        from td_pinterest_op.report.page import page
    except ImportError as missing:
        raise SettingsError(
            f"the Python package {missing.name} is not installed: pip install 'td_pinterest_op[cli,report]'"
        ) from None
    ordered = sorted(runs, key=lambda run: run.at.timestamp() if run.at else 0.0)
    html = page(ordered, outcomes=OUTCOMES, audience_id=audience, now=datetime.now(timezone.utc))
    try:
        after_run.replace(output, html)
    except OSError as error:
        raise SettingsError(f"{output} cannot be written: {text_file.why(error)}") from None
