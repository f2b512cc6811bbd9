"""`td-pinterest doctor`: a line for each thing that an export needs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from td_pinterest_op.audiences.actions import find_action
from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.connection import find_credentials
from td_pinterest_op.cli.doctor.check import ERROR, OK, WARNING, CheckResult, DoctorContext
from td_pinterest_op.cli.doctor.checks import run_checks
from td_pinterest_op.cli.export import build_query_params, complete_settings
from td_pinterest_op.cli.lint import dig_file
from td_pinterest_op.cli.lint.settings import find_export_settings, find_history
from td_pinterest_op.cli.options import FILE, CommonOptions
from td_pinterest_op.stats import LISTS

# The settings that decide whether rows stop an export, and all by which rows are judged.
_LIMITS = ("ignore_invalid_records", "ignore_error", "allow_empty", "max_invalid_ratio", "min_records", "max_records")
_OF_ROWS = ("columns", "records", "default_country", "expect_values", "control", *_LIMITS)
# The settings, with their aliases, without which an export stops at rows that it would accept with them.
_LENIENT = (("ignore_invalid_records", "ignore_error"), ("allow_empty",))
# The sign of each status, its replacement on a terminal that has only ASCII, and its style.
_SIGNS = {OK: ("✓", "ok", "green"), WARNING: ("!", "!", "yellow"), ERROR: ("✗", "x", "bold red")}

_EXAMPLE = """\b
Examples:
  td-pinterest doctor
  td-pinterest doctor --query people.sql --database shop
  td-pinterest doctor --job 2345678 --workflow pinterest_export.dig --json
"""


@click.command(cls=options.Command, epilog=_EXAMPLE)
@options.combine_options(options.ad_account, options.audience)
@click.option("--job", "job_id", metavar="ID", help="Check the result of this Treasure Data job too.")
@click.option("--query", metavar="SQL|FILE", help="Run this query (SQL, or a file with it), and check its rows.")
@click.option("--database", help="The database of --query.")
@click.option(
    "--settings",
    "settings_file",
    type=FILE,
    help="Check these result_settings, a YAML or JSON file, and the rows against them.  [default: the rows against "
    "those in --workflow]",
)
@click.option("--workflow", type=FILE, help="Check this .dig file too.")
@options.combine_options(options.env_file, options.as_json)
@options.pass_common
def doctor(common: CommonOptions, /, settings_file: Path | None, workflow: Path | None, **source: Any) -> int:
    """Check everything that an export needs, and say what to do about each problem. Writes nothing to Pinterest.

    A job or a query is read, and its first 1,000 rows are checked. The exit code is 1 if something is wrong.
    """
    if bool(source["query"]) != bool(source["database"]) or (source["query"] and source["job_id"]):
        raise click.UsageError("--query and --database must be given together, and without --job")
    credentials = find_credentials(common.env_file)
    file_settings, params = files.read_task_file(settings_file) if settings_file else (None, {})
    settings, history, has_lists = _find_row_settings(file_settings, params, workflow)
    rows = build_query_params(source)
    context = DoctorContext(
        credentials=credentials,
        account_id=common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID"),
        audience_id=common.audience or credentials.environ.get("PINTEREST_AUDIENCE_ID"),
        settings=None if file_settings is None else complete_settings(file_settings, credentials, common),
        params=rows and {**rows, "result_settings": settings},
        has_lists=has_lists,
        workflow=workflow,
        unchecked=[name for name in params if name in LISTS or (name in ("query", "job_id") and not rows)],
        history=history,
    )
    checks: dict[str, CheckResult] = {}
    with context.stack:
        for name, check in run_checks(context):
            checks[name] = check
            if not common.as_json:
                _print_check_result(name, check)
    return _print_summary(checks, as_json=common.as_json)


def _find_row_settings(
    file_settings: Mapping[str, object] | None, params: Mapping[str, Any], workflow: Path | None
) -> tuple[Mapping[str, object], tuple[str | None, object], bool]:
    """Return the settings that decide on rows, (database, table) of the history, and whether there are lists of people.

    Each is read from the settings file, or from the workflow if the file does not have it. `params`: the parameters of
    the task in the settings file.
    """
    settings, has_lists = file_settings or {}, not params.keys().isdisjoint(LISTS)
    history = (params.get("database"), settings.get("history"))
    if workflow and workflow.is_file():
        dig = dig_file.read_workflow(workflow)
        if file_settings is None:
            settings = _find_workflow_settings(dig)
            has_lists = any(not each.mapping.keys().isdisjoint(LISTS) for each in (dig.root.walk() if dig.root else ()))
        history = history if history[1] else find_history(dig)
    of_rows = {name: settings[name] for name in _OF_ROWS if name in settings}
    for names in _LENIENT if file_settings is None else ():
        if not settings or None in (settings.get(name, "") for name in names):  # nobody knows the value
            of_rows |= dict.fromkeys(names, True)
    action = find_action(settings)
    if action and action.least_records and settings.get("min_records", "") is not None:  # for its default of it
        of_rows["action"] = action.name
    return of_rows, history, has_lists


def _find_workflow_settings(dig: dig_file.DigFile) -> dict[str, object]:
    """Return the settings of a workflow's first export. None: nobody knows the value, or other exports have another."""
    actions = [(find_action(each), each) for each in find_export_settings(dig)]
    exports = [each for action, each in actions if action is None or action.reads_rows]
    settings = dict(exports[0]) if exports else {}
    for name in (*_LIMITS, "action"):
        if len({str(each.get(name, "")) for each in exports}) > 1:
            settings[name] = None
    return settings


def _print_check_result(name: str, check: CheckResult) -> None:
    """Print the sign, the name and the message of a check, with advice if the check did not succeed."""
    sign, plain, style = _SIGNS[check.status]
    is_plain = screen.make_console().options.ascii_only
    screen.print_line(
        Text.assemble((plain if is_plain else sign, style), " ", (f"{name}: ", "bold"), check.message), indent=2
    )
    if check.advice and check.status != OK:
        screen.print_line(f"  {'->' if is_plain else '→'} {check.advice}", indent=4)


def _print_summary(checks: Mapping[str, CheckResult], *, as_json: bool) -> int:
    """Print how many checks succeeded and failed. Return the exit code, 1 if a check failed."""
    counts = Counter(check.status for check in checks.values())
    is_ok = not counts[ERROR]
    if as_json:
        screen.print_json({"ok": is_ok, "checks": [{"name": name, **asdict(check)} for name, check in checks.items()]})
    else:
        wrong = {name for name, check in checks.items() if check.status == ERROR}
        whole = "Everything that was checked" if "task" in checks else "Everything that an export needs"
        ending = f"{whole} is in place." if is_ok else "An export would fail."
        ending = "An export would run, but would leave no row in the history." if wrong == {"history"} else ending
        screen.print_line(f"\n{ending} {counts[OK]} passed, {counts[WARNING]} with a warning, {counts[ERROR]} failed")
        if is_ok and not Path("rehearsal.json").exists():
            screen.print_note(
                "`td-pinterest rehearse` finds the largest batch that your ad account accepts: it can make exports "
                "up to ten times faster"
            )
    return 0 if is_ok else 1
