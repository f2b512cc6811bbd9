"""`td-pinterest export`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.audiences.actions import find_action_spec
from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.connection import PINTEREST_SECRETS_BY_VARIABLE, Credentials, find_credentials
from td_pinterest_op.cli.export_task import build_source_params, run_export_task
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.settings_file import read_settings_file
from td_pinterest_op.run_history.history_table import flatten
from td_pinterest_op.runtime.clock import SYSTEM_TIMING
from td_pinterest_op.settings.table import WITHHOLDING_LIST_NAMES
from td_pinterest_op.settings.types import is_left_out
from td_pinterest_op.task_runtime.task import read_sql_or_file


@options.command(
    """\b
Examples:
  td-pinterest export --settings export.yml --query people.sql --database shop --dry-run
  td-pinterest export --settings export.yml --job 2345678 --yes --json
"""
)
@click.option(
    "--settings",
    type=options.FILE_TYPE,
    required=True,
    help="A YAML or JSON file with the result_settings of a workflow, such as config/export.yml.",
)
@click.option("--job", "job_id", metavar="ID", help="Export the result of this Treasure Data job.")
@click.option("--query", metavar="SQL|FILE", help="Export the result of this query, or of the one in a file.")
@click.option("--suppress", metavar="SQL|FILE", help="Do not send the people whom this query finds.")
@click.option("--consent", metavar="SQL|FILE", help="Send only the people whom this query finds.")
@click.option("--database", help="The database of --query, --suppress, --consent and the history.")
@click.option("--engine", type=click.Choice(["presto", "trino", "hive"]), help="The engine of these queries.")
@click.option("--dry-run", is_flag=True, help="Do everything up to the plan; write nothing to Pinterest.")
@options.yes
@options.ad_account
@options.audience
@options.usual_options
def export(common: CommonOptions, settings: Path, dry_run: bool, **source: Any) -> int:
    """Export the result of a job or a query once, from this terminal.

    Shows the plan and asks before the first write to Pinterest. The settings are those of a workflow, but type and
    audience_type may be left out, and ids that the file lacks come from --ad-account and --audience. The same command
    on the same day (in UTC) continues where a stopped or killed one left off.
    """
    credentials = find_credentials(common.env_file)
    in_file = read_settings_file(settings)
    raw = fill_in_account_and_audience({**in_file, **_read_withholding_queries(source, in_file)}, credentials, common)
    if dry_run and not is_left_out(raw.get("dry_run", True)):  # a blank one in the file is an error
        raw["dry_run"] = True
    action = find_action_spec(raw)
    reads_rows = action is None or action.reads_rows
    if reads_rows and bool(source["job_id"]) == bool(source["query"]):
        raise click.UsageError("give either --job ID, or --query FILE --database DB")
    if not reads_rows and (source["job_id"] or source["query"]):
        raise click.UsageError("the action in the settings reads no rows: leave out --job and --query")
    params = build_source_params(source)
    is_asked = "query" in params or not raw.keys().isdisjoint(WITHHOLDING_LIST_NAMES)
    for name, is_used in (("engine", is_asked), ("database", is_asked or not is_left_out(raw.get("history")))):
        if source[name] and not is_used:
            raise click.UsageError(f"--{name} has no effect without --query, --suppress or --consent: leave it out")
    credentials.require_variables(*PINTEREST_SECRETS_BY_VARIABLE, *(["TD_API_KEY"] if reads_rows else []))
    common.print_note(f"Credentials: {credentials.describe_sources()}")
    session = json.dumps([f"{SYSTEM_TIMING.get_utc_time():%Y-%m-%d}", raw, params], sort_keys=True, default=str)
    task = credentials.build_task(session=session, result_settings=raw, **params)
    statistics = run_export_task(task, credentials, common)
    if common.as_json:
        screen.print_json(statistics)
    else:
        _print_statistics(statistics)
    return 0


def fill_in_account_and_audience(
    in_file: Mapping[str, object], credentials: Credentials, common: CommonOptions
) -> dict[str, object]:
    """Return the settings of a file, overridden by options and completed from the environment.

    Raises click.UsageError for --audience with an action that creates an audience.
    """
    raw = {"type": "pinterest", "audience_type": "customer_list", **in_file}
    if common.ad_account or not raw.get("ad_account_id"):
        raw["ad_account_id"] = common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID")
    of_audience = {name for name in raw if name.startswith("audience_id")}
    action = find_action_spec(raw)
    is_named = of_audience or (action and action.finds_by_name and raw.get("audience_name"))
    if common.audience and action and not action.audience_id:
        raise click.UsageError(f"--audience has no effect, since the action {action.name} creates one: leave it out")
    known = common.audience or (not is_named and credentials.environ.get("PINTEREST_AUDIENCE_ID"))
    if known and action and action.audience_id:
        raw = {name: value for name, value in raw.items() if name not in of_audience} | {"audience_id": known}
    return raw


def _read_withholding_queries(source: Mapping[str, Any], in_file: Mapping[str, Any]) -> dict[str, str]:
    lists = {}
    for name in WITHHOLDING_LIST_NAMES:
        if source[name] and name in in_file:
            raise click.UsageError(f"--{name}: the file of --settings has {name}, too: leave one of them out")
        if source[name]:
            lists[name] = files.read_sql_option(source[name], f"--{name}")
        elif not is_left_out(in_file.get(name)):  # a blank one is an error, which the run names
            lists[name] = read_sql_or_file(str(in_file[name]), key=name)
    return lists


def _print_statistics(statistics: Mapping[str, Any]) -> None:
    others = () if statistics["mirror"]["mode"] else ("mirror.",)
    figures = {
        name.replace("rows.invalid_by_reason.", "invalid: "): value
        for name, value in flatten(statistics, separator=".", nested_names=()).items()
        # Reasons that did not occur are left out.
        if value is not None and name != "summary" and (value or "by_reason." not in name)
        if not name.startswith(others)
    }
    screen.print_properties(figures)
    screen.print_line(f"\n{statistics['summary']}")
