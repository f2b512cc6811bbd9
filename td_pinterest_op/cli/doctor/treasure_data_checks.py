"""Checks of Treasure Data: the key, the history's table, and the first rows of a job."""

import json
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from td_pinterest_op.audiences.actions import parse_export
from td_pinterest_op.cli.connection import SECRETS
from td_pinterest_op.cli.doctor.check import ERROR, OK, WARNING, CheckResult, DoctorContext
from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.records.plan import TOLERATED_SHARE, format_reasons
from td_pinterest_op.records.plan import check_rows as check_rows_of_export
from td_pinterest_op.run_history.table import NAMES
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.settings.types import TABLE, WrongValueError, is_left_out, show_value
from td_pinterest_op.stats import Stats, format_count
from td_pinterest_op.treasure_data.job import wait_for_job
from td_pinterest_op.treasure_data.result import JobResult
from td_pinterest_op.treasure_data.td_api import TreasureData, build_path
from td_pinterest_op.withholding.people import Lists
from td_pinterest_op.withholding.preparation import open_reader
from td_pinterest_op.workflow import task as workflow_task

_SAMPLE = 1_000
_NO_ROWS_ADVICE = "check the conditions (WHERE) of the query"
# The permissions of Treasure Data with which a user cannot make a table and insert rows.
_READ_ONLY = frozenset({"query_only", "import_only"})
# What the settings of an export need besides those about its rows.
_ANY_EXPORT = {
    "type": "pinterest",
    "ad_account_id": "1",
    "audience_type": "customer_list",
    "action": "add_people_to_current_audience",
    "audience_id": "1",
}


def check_api_key(context: DoctorContext) -> CheckResult:
    """Check that the configured region of Treasure Data accepts the API key."""
    if "TD_API_KEY" in context.credentials.missing_variables:
        message = f"TD_API_KEY not found (as a secret it is {SECRETS['TD_API_KEY']})"
        return CheckResult(ERROR, message, "set it, or store it with `digdag secrets --local --set td.apikey`")
    with context.credentials.without_pinterest().open_services() as services:
        services.treasure_data.call("GET", "/v3/database/list")
    host = urllib.parse.urlsplit(context.credentials.build_task().endpoints.treasure_data).hostname
    return CheckResult(OK, f"the key is accepted by {host}")


def check_history(context: DoctorContext) -> CheckResult | None:
    """Check that the history table exists or can be created, and that the API key may write to it."""
    database, written = context.history
    if is_left_out(written):
        return None
    try:
        named = TABLE.read(written, show_value)
    except WrongValueError as error:
        return CheckResult(ERROR, f"history: {error}", f"write {TABLE.allowed}")
    database = named.database or database
    if not database:
        return CheckResult(
            ERROR,
            f"the setting `history` names the table {named.table} without a database",
            f"write history: database.{named.table}",
        )
    with context.credentials.without_pinterest().open_services() as services:
        return _check_table(services.treasure_data, database, named.table)


def _check_table(td: TreasureData, database: str, table: str) -> CheckResult:
    """Check that the API key may write to the history table. The result shows whether the table exists."""
    _, content = td.call("GET", build_path("database", "list"))
    permissions = {each.get("name"): each.get("permission") for each in content.get("databases") or ()}
    if database not in permissions:
        advice = "create that database, or name another one in the setting: history: database.table"
        return CheckResult(
            ERROR, f'there is no database "{database}" for the history, or the key has no access to it', advice
        )
    if (permission := permissions[database]) in _READ_ONLY:
        message = f"the key has only the permission {permission} on database {database}: no row would be written"
        return CheckResult(ERROR, message, "give the user of the key full access to this database, or name another one")
    _, content = td.call("GET", build_path("table", "list", database))
    schema = next((each.get("schema") for each in content.get("tables") or () if each.get("name") == table), None)
    if schema is None:
        return CheckResult(OK, f"the first run creates the table {database}.{table}")
    missing = NAMES - {"time", *(column[0] for column in json.loads(schema or "[]"))}
    more = f"; the next run adds the {format_count(len(missing), 'column')} that it lacks" if missing else ""
    return CheckResult(OK, f"the table {database}.{table} exists{more}")


def check_rows(context: DoctorContext) -> CheckResult:
    """Check that the first rows of the job's result are valid under the task's `result_settings`."""
    params, credentials, td = context.params, context.credentials, context.services.treasure_data
    settings = parse_export({**_ANY_EXPORT, **params["result_settings"]}, environ=credentials.environ)
    job = wait_for_job(td, workflow_task.read_source(credentials.build_task(**params)))
    if context.has_lists:  # they may leave fewer records
        settings = replace(settings, max_records=None)
    stats = Stats(action="", ad_account_id="", dry_run=True)
    with open_reader(job, settings, stats, lists=Lists()) as reader:
        reader.read(_take_sample(iter(JobResult(td, job))), progress=lambda _: None)
    label = f"job {job.id} ({', '.join(column.name for column in reader.settings.columns)})"
    result = _judge_rows(label, settings, stats, first_invalid=reader.first_invalid)
    is_hopeless = stats.invalid_rows and not stats.valid and context.settings is None
    return replace(result, status=ERROR) if is_hopeless else result


def _judge_rows(label: str, settings: Settings, stats: Stats, *, first_invalid: Sequence[int]) -> CheckResult:
    """Return the check result for the sample of rows that `stats` has counted. `label` names the job in messages.

    The result is an error if these rows would stop an export. Limits that depend on the rows after the sample are not
    checked. `first_invalid`: the numbers of the first invalid rows.
    """
    advice = [
        f"`td-pinterest explain {reason}` explains the invalid rows, with SQL that finds them"
        for reason, _ in stats.invalid_by_reason.most_common(1)
    ]
    is_sample = stats.read >= _SAMPLE
    if is_sample:
        settings = replace(settings, allow_empty=True, max_invalid_ratio=1.0, min_records=None)
    try:
        if stats.valid or not is_sample or not settings.ignore_invalid_records:  # the other rows may be valid
            check_rows_of_export(settings, stats, first_invalid=first_invalid)
    except WorkflowError as error:
        cure = "; ".join(advice) or (error.advice if stats.read else _NO_ROWS_ADVICE)
        checked = f"{format_count(stats.read, 'row')} checked"
        return CheckResult(ERROR, f"{label}, {checked}: an export would stop: {error}", cure)
    if not stats.read:
        return CheckResult(WARNING, f"{label} has no rows", _NO_ROWS_ADVICE)
    message = f"{label}: invalid rows among the first {stats.read:,}: {stats.invalid_rows:,}"
    if reasons := format_reasons(stats.invalid_by_reason):
        message += f" ({reasons})"
    if stats.hashed_values > TOLERATED_SHARE * stats.valid and settings.expect_values == "any":
        message += f"; {stats.hashed_values:,} values look hashed already"
        advice.append(
            "a policy of Treasure Data may mask the column: digests of masked values match nobody. "
            "Set expect_values: plain to stop an export of such values, or hashed if the column does contain digests"
        )
    if not advice:
        return CheckResult(OK, message)
    return CheckResult(WARNING, message, "; ".join(advice))


def _take_sample(blocks: Iterator[list[list[Any]]]) -> Iterator[list[list[Any]]]:
    """Yield blocks of rows up to the number that the doctor checks. The last block is shortened if necessary."""
    left = _SAMPLE
    for block in blocks:
        yield [column[:left] for column in block]
        left -= len(block[0])
        if left <= 0:
            return
