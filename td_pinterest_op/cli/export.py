"""`td-pinterest export`: the operator without a workflow."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any, cast

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from td_pinterest_op import stop
from td_pinterest_op.audiences.actions import action_of
from td_pinterest_op.cli import options, screen, text_file
from td_pinterest_op.cli.connection import check_complete, keeper, settings_of, task_of
from td_pinterest_op.cli.credentials import PINTEREST_SECRETS, Credentials
from td_pinterest_op.cli.csv_rows import csv_rows
from td_pinterest_op.errors import StoppedError
from td_pinterest_op.export import export as run_export
from td_pinterest_op.report.entry import flat
from td_pinterest_op.settings.structures import COLUMNS
from td_pinterest_op.settings.types import WrongValueError
from td_pinterest_op.timing import SYSTEM
from td_pinterest_op.treasure_data.result import Rows
from td_pinterest_op.workflow.progress import Outlook

# How far the facts of the plan stand from the left.
_FACTS = 12
_EXAMPLE = """\b
Examples:
  td-pinterest export --settings export.yml --csv people.csv --dry-run
  td-pinterest export --settings export.yml --query people.sql --database shop
  td-pinterest export --settings export.yml --job 2345678 --yes --json
"""


@click.command(epilog=_EXAMPLE)
@click.option(
    "--settings",
    "settings_file",
    type=options.FILE,
    required=True,
    help="The result_settings of a workflow, as a YAML or JSON file.",
)
@click.option("--job", "job_id", metavar="ID", help="Export the result of this Treasure Data job.")
@click.option("--query", type=options.FILE, help="Export the result of this SQL file.")
@click.option("--database", help="The database of --query.")
@click.option("--engine", type=click.Choice(["presto", "trino", "hive"]), help="The engine of --query.")
@click.option("--csv", "csv_file", type=options.FILE, help="Export a CSV file (or .gz).")
@click.option("--dry-run", is_flag=True, help="Do everything up to the plan; write nothing to Pinterest.")
@options.yes
@options.all_of(options.ad_account, options.audience, options.env_file, options.as_json, options.quiet)
def export(
    settings_file: Path,
    ad_account: str | None,
    audience: str | None,
    env_file: Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    quiet: bool,
    **source: Any,
) -> int:
    """Run an export once, from this terminal: a job, a query or a CSV file.

    Shows the plan and asks before the first write to Pinterest. The settings are those of a workflow; type and
    audience_type may be left out, and the ids come from --ad-account and --audience where the file has none. The same
    command on the same day (in UTC) goes on where one that was stopped or killed left off.
    """
    credentials = Credentials.find(env_file)
    raw = _settings(settings_file, credentials, ad_account=ad_account, audience=audience, dry_run=dry_run)
    action = action_of(raw)
    reads_rows = action is None or action.reads_rows
    _check_source(source, reads_rows=reads_rows)
    check_complete(credentials, *PINTEREST_SECRETS, *(["TD_API_KEY"] if reads_rows and not source["csv_file"] else []))
    if not quiet:
        screen.note(f"Credentials: {credentials.described()}")
    is_dry = str(raw.get("dry_run", "")).lower() == "true"
    watcher = TerminalWatcher(ask=not (yes or is_dry), quiet=quiet)
    with stopping(), _rows(source["csv_file"], raw) as rows:
        statistics = run_export(
            task_of(credentials, session=_session(raw, source), result_settings=raw, **_params(source)),
            SYSTEM,
            rows=rows,
            watcher=watcher,
            on_new_refresh_token=keeper(credentials, settings_of(credentials)),
        )
    if as_json:
        screen.say_json(statistics)
    else:
        _show(statistics)
    return 0


def _settings(
    path: Path, credentials: Credentials, *, ad_account: str | None, audience: str | None, dry_run: bool
) -> dict[str, object]:
    """The settings of a file, completed from the command line and the environment."""
    given = {"type": "pinterest", "audience_type": "customer_list"} | text_file.settings(path)
    account = ad_account or (None if given.get("ad_account_id") else credentials.environ.get("PINTEREST_AD_ACCOUNT_ID"))
    if account:
        given["ad_account_id"] = account
    has_id = any(str(name).startswith("audience_id") for name in given)
    known = audience or (None if has_id else credentials.environ.get("PINTEREST_AUDIENCE_ID"))
    if known and (action := action_of(given)) and action.audience_id:
        given = {name: value for name, value in given.items() if not str(name).startswith("audience_id")}
        given["audience_id"] = known
    return given | ({"dry_run": True} if dry_run else {})


def _check_source(source: Mapping[str, Any], *, reads_rows: bool) -> None:
    named = [option for option in ("job_id", "query", "csv_file") if source[option]]
    if reads_rows and len(named) != 1:
        raise click.UsageError("give one of --job ID, --query FILE --database DB, and --csv FILE")
    if not reads_rows and named:
        raise click.UsageError("the action of the settings reads no rows: leave out --job, --query and --csv")
    if bool(source["query"]) != bool(source["database"]):
        raise click.UsageError("--query and --database go together")


def _params(source: Mapping[str, Any]) -> dict[str, object]:
    if source["job_id"]:
        return {"job_id": source["job_id"]}
    if not source["query"]:
        return {}
    return {
        "query": text_file.read(source["query"], "--query"),
        "database": source["database"],
        "engine": source["engine"],
    }


def _session(settings: Mapping[str, object], source: Mapping[str, Any]) -> str | None:
    """The same for the same command on the same day: it goes on where a try that was killed stopped.

    None for rows that can be read only once.
    """
    rows = _params(source)
    if path := source["csv_file"]:
        try:
            rows["csv"] = _digest(path) if path.is_file() else None
        except OSError:
            return None  # the export says why it cannot be read
        if rows["csv"] is None:
            return None
    day = datetime.datetime.fromtimestamp(SYSTEM.wall(), tz=datetime.timezone.utc).date()
    return json.dumps([str(day), settings, rows], sort_keys=True, default=str)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _rows(path: Path | None, settings: Mapping[str, object]) -> contextlib.AbstractContextManager[Rows | None]:
    if path is None:
        return contextlib.nullcontext()
    columns: object = {}
    with contextlib.suppress(WrongValueError):  # it is named with the other problems of the settings
        columns = COLUMNS.read(settings.get("columns"), repr)
    return csv_rows(path, columns=cast("Mapping[str, str]", columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalWatcher:
    """Shows the plan and asks; shows bars on a terminal."""

    ask: bool
    quiet: bool

    def plan(self, text: str) -> None:
        """Raises StoppedError when the answer is no."""
        if not self.quiet or self.ask:
            first, *facts = text.splitlines()
            screen.note(first[0].upper() + first[1:])
            for fact in facts:
                screen.note(fact, indent=_FACTS)
        if self.ask and not screen.confirm("Write this to Pinterest?"):
            raise StoppedError("you answered no")

    @contextlib.contextmanager
    def progress(
        self, *, phase: str, unit: str, total: int | None, pace: float | None = None
    ) -> Iterator[Callable[[int], None]]:
        """A bar on a terminal, nothing elsewhere."""
        console = Console(stderr=True)
        if self.quiet or not console.is_terminal:
            yield lambda _: None
            return
        columns = (
            TextColumn(f"{phase:7}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[left]}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task, outlook = bar.add_task(phase, total=total, left=""), Outlook(total=total, pace=pace, now=monotonic())
            yield lambda done: bar.update(task, completed=done, left=outlook.text(done, now=monotonic()))


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """Ctrl-C and SIGTERM end a command with its own message: that of an export says how many records are in."""
    received: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        stop.request(signal.Signals(number).name)
        if len(received) == 1:  # a second one would interrupt what the first one lets finish
            stop.check()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except StoppedError as error:
        if not received:
            raise
        stop.finish()
        screen.fail(str(error))
        raise click.exceptions.Exit(128 + received[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.reset()


def _show(statistics: Mapping[str, Any]) -> None:
    figures = {
        name.replace("rows.invalid_by_reason.", "invalid: "): value
        for name, value in flat(statistics, separator=".", kept=()).items()
        # Reasons that did not occur are left out.
        if value is not None and name != "summary" and (value or "by_reason." not in name)
    }
    screen.properties(figures)
    screen.say(f"\n{statistics['summary']}")
