"""Checks of Treasure Data: the key, permissions, a project's secrets, and the first rows of a result."""

import shlex
from dataclasses import replace
from itertools import chain, islice

from td_pinterest_op.audiences.actions import parse_export_settings
from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.cli.doctor.context import CheckResult, DoctorContext
from td_pinterest_op.cli.secret_target import request_status_and_project_id
from td_pinterest_op.errors import WorkflowError, extend_errors
from td_pinterest_op.records.limits import TOLERATED_UNEXPECTED_SHARE, check_export_limits, format_reason_counts
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import DISABLED_ROW_LIMITS, ExportSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.digdag_secrets import find_hosted_server
from td_pinterest_op.task_runtime.task import parse_endpoints, read_row_source
from td_pinterest_op.treasure_data.result import open_job_rows
from td_pinterest_op.withholding.people import WithholdingListDigests
from td_pinterest_op.withholding.readers import open_record_reader

_SAMPLE_ROWS = 1_000
_NO_ROWS_ADVICE = "check the conditions (WHERE) of the query"
# What an export needs besides the settings about its rows.
_PLACEHOLDER_EXPORT_SETTINGS = {
    "type": "pinterest",
    "ad_account_id": "1",
    "audience_type": "customer_list",
    "action": "add_people_to_current_audience",
    "audience_id": "1",
}


def check_api_key(context: DoctorContext) -> CheckResult:
    """Check that the configured region of Treasure Data accepts the API key."""
    if "TD_API_KEY" not in context.credentials.sources:
        message = f"TD_API_KEY not found (as a secret it is {SECRETS_BY_VARIABLE['TD_API_KEY']})"
        return CheckResult(message, "error", "set it, or store it with `digdag secrets --local --set td.apikey`")
    with extend_errors(f" [the key is from {context.credentials.sources['TD_API_KEY']}]"):
        context.services_without_pinterest.treasure_data.call("GET", "/v3/database/list")
    return CheckResult(f"the key is accepted by {parse_endpoints(context.credentials.environ).treasure_data}")


def check_database_permissions(context: DoctorContext) -> CheckResult | None:
    """Check the permissions of the key's user on the databases of the exports. Return None without a database."""
    read = {context.query_params.get("database")}
    written = set()
    for request in filter(None, (export.request for export in context.exports)):
        settings = request.settings
        named = [source.database for source in (request.source, *request.lists.values()) if source and source.database]
        read.update(named)
        tables = [settings.history]
        if isinstance(settings, ExportSettings):
            tables += [settings.rejected, settings.ledger if settings.action.needs_query else None]
        own = next(iter(named), str(request.task.td.get("database") or ""))
        written.update([table.database or own for table in tables if table])
    needed = sorted(filter(None, read | written))
    if not needed:
        return None
    api = context.services_without_pinterest.treasure_data
    _, content = api.call("GET", "/v3/database/list?require_permissions=true")
    databases = {each.get("name"): each for each in content.get("databases") or ()}
    problems = []
    for name in needed:
        if name not in databases:
            problems.append(f"there is no database {name}, or the user may not see it")
            continue
        # An account without policies shows only the older `permission`.
        granted = databases[name].get("database_permissions")
        if granted is None:
            older = databases[name].get("permission")
            may_read = older != "import_only"
            granted = {"query": may_read, "download": may_read, "edit": may_read and older != "query_only"}
        rights = ("download", "edit", "query") if name in written else ("download", "query")
        missing = [right.capitalize() for right in rights if not granted.get(right)]
        if missing:
            problems.append(f"the user of the key lacks {' and '.join(missing)} on database {name}")
    if problems:
        advice = (
            "ask the owner of the account for these permissions. Without Download a result is refused, or ends after "
            "50 rows; without Edit the operator can keep no table, such as the history or a mirror's ledger"
        )
        return CheckResult("; ".join(problems), "error", advice)
    return CheckResult(f"enough on {', '.join(needed)}")


def check_project_secrets(context: DoctorContext) -> CheckResult | None:
    """Check that the project has all secrets. Return None without a project."""
    if context.project is None:
        return None
    name = context.project
    server = find_hosted_server(context.credentials.environ)
    status, project_id = request_status_and_project_id(server, name)
    found = server.list_secret_names(project_id) if project_id else status
    if isinstance(found, int):
        message = f"the workflow server answered {found} about project {name} and its secrets"
        advice = (
            "correct the name, or give the user of td.apikey the workflow permissions View and Edit on this project: "
            "with them a renewed refresh token is stored"
        )
        return CheckResult(message, "error", advice)
    if missing := [secret for secret in SECRETS_BY_VARIABLE.values() if secret not in found]:
        advice = f"set it with `td wf secrets --project {shlex.quote(name)} --set {missing[0]}`"
        return CheckResult(f"project {name} lacks the secrets {', '.join(missing)}", "error", advice)
    return CheckResult(f"project {name} has all secrets; storing a renewed token needs Edit, too")


def check_sample_rows(context: DoctorContext) -> CheckResult | None:
    """Check that the first rows are valid under the export's settings. Return None without a job or a query."""
    if not context.query_params:
        return None
    settings = _choose_row_settings(context)
    source = read_row_source(context.credentials.build_task(**context.query_params))
    rows = open_job_rows(context.services.treasure_data, source)
    stats = Stats()
    with open_record_reader(rows.job, settings, stats, lists=WithholdingListDigests()) as reader:
        sample = list(islice(chain.from_iterable(zip(*block, strict=True) for block in rows), _SAMPLE_ROWS))
        reader.read([list(zip(*sample, strict=True))] if sample else [])
    label = f"job {rows.job.id} ({', '.join(column.name for column in reader.columns)})"
    advice = [
        f"`td-pinterest explain {reason}` explains the invalid rows, with SQL that finds them"
        for reason, _ in stats.invalid_by_reason.most_common(1)
    ]
    try:
        # If a full sample has no valid row, later ones may be valid.
        if stats.valid or stats.read < _SAMPLE_ROWS or not settings.ignore_invalid_records:
            check_export_limits(settings, stats)
    except WorkflowError as error:
        cure = "; ".join(advice) or (error.advice if stats.read else _NO_ROWS_ADVICE)
        checked = f"{format_count(stats.read, 'row')} checked"
        return CheckResult(f"{label}, {checked}: an export would stop: {error}", "error", cure)
    if not stats.read:
        return CheckResult(f"{label} has no rows", "warning", _NO_ROWS_ADVICE)
    message = f"{label}: invalid rows among the first {stats.read:,}: {stats.invalid_rows:,}"
    if reasons := format_reason_counts(stats.invalid_by_reason):
        message += f" ({reasons})"
    if stats.hashed_values > TOLERATED_UNEXPECTED_SHARE * stats.valid and settings.expect_values == "any":
        message += f"; {stats.hashed_values:,} values look hashed already"
        advice.append(
            "a policy of Treasure Data may mask the column: digests of masked values match nobody. "
            "Set expect_values: plain to stop an export of such values, or hashed if the column does contain digests"
        )
    return CheckResult(message, "warning" if advice else "ok", "; ".join(advice))


def _choose_row_settings(context: DoctorContext) -> ExportSettings:
    """Return the settings of the workflow's export. Without one or with several, they allow invalid rows.

    Limits on the numbers of records are left to a dry run, which reads all rows.
    """
    found = [
        (each.request.settings, each.unresolved_names)
        for each in context.exports
        if each.request and each.request.source and isinstance(each.request.settings, ExportSettings)
    ]
    if found:
        settings = found[0][0]
    else:
        settings = parse_export_settings(_PLACEHOLDER_EXPORT_SETTINGS, environ=context.credentials.environ)
    if len(found) != 1 or not found[0][1].isdisjoint(("ignore_invalid_records", "allow_empty")):
        settings = replace(settings, ignore_invalid_records=True, allow_empty=True)
    return replace(settings, **DISABLED_ROW_LIMITS)
