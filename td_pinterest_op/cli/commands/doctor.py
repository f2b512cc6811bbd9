"""`td-pinterest doctor`."""

# To add a check:
# 1. Test it (tests/e2e/cli/test_doctor.py, and the golden file). Treasure Data's answer: tests/emulators/td/app.py.
# 2. Write it in cli/doctor/pinterest_checks.py or treasure_data_checks.py, and yield it in `_list_checks`.
# 3. A permission also belongs to docs/getting-started.md.
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.connection import PINTEREST_SECRETS_BY_VARIABLE, find_credentials, parse_id_option
from td_pinterest_op.cli.doctor import pinterest_checks, treasure_data_checks
from td_pinterest_op.cli.doctor.context import CheckResult, DoctorContext, ExportTarget
from td_pinterest_op.cli.export_task import build_source_params
from td_pinterest_op.cli.lint.rules import CheckedExport, check_workflow
from td_pinterest_op.errors import AccountError, ExportError, StoppedError
from td_pinterest_op.http.endpoints import find_proxy_url_and_address
from td_pinterest_op.pinterest.oauth import WRONG_APP_CODE
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import ExportSettings, StatusSettings
from td_pinterest_op.task_runtime.task import parse_endpoints

# A sign, its replacement on a terminal that has only ASCII, and a style.
_STATUS_SIGNS = {"ok": ("✓", "ok", "green"), "warning": ("!", "!", "yellow"), "error": ("✗", "x", "bold red")}


@options.command(
    """\b
Examples:
  td-pinterest doctor
  td-pinterest doctor --query people.sql --database shop
  td-pinterest doctor --job 2345678 --workflow pinterest_export.dig --json
"""
)
@options.ad_account
@options.audience
@click.option("--job", "job_id", metavar="ID", help="Check the result of this Treasure Data job too.")
@click.option("--query", metavar="SQL|FILE", help="Run this query (SQL, or a file with it), and check its rows.")
@click.option("--database", help="The database of --query.")
@click.option(
    "--workflow",
    type=options.FILE_TYPE,
    help="Check this .dig file too, the ad account and audience that it names, and the rows against its settings.",
)
@click.option("--project", metavar="NAME", help="Check the secrets of this project on hosted Treasure Workflow too.")
@options.env_file
@options.as_json
def doctor(common: options.CommonOptions, workflow: Path | None, project: str | None, **source: Any) -> int:
    """Check everything that an export needs, and say what to do about each problem. Writes nothing to Pinterest.

    A job or a query is read, and its first 1,000 rows are checked. The exit code is 1 if something is wrong.
    """
    if bool(source["query"]) != bool(source["database"]) or (source["query"] and source["job_id"]):
        raise click.UsageError("--query and --database must be given together, and without --job")
    credentials = find_credentials(common.env_file)
    dig, exports = check_workflow(workflow) if workflow else (None, [])
    audience = common.audience or credentials.environ.get("PINTEREST_AUDIENCE_ID") or ""
    named = ExportTarget(
        account_id=common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID") or "",
        audience_id=audience and parse_id_option(audience, "--audience or PINTEREST_AUDIENCE_ID"),
    )
    targets = dict.fromkeys(target for export in exports for target in _list_accounts_and_audiences(export, named))
    context = DoctorContext(
        credentials=credentials,
        targets=list(targets) or [named],
        query_params=build_source_params(source),
        workflow=dig,
        exports=exports,
        project=project,
    )
    is_plain = screen.make_console().options.ascii_only
    listed = []
    with context.stack:
        for name, check in _run_checks(context):
            listed.append({"name": name, "status": check.status} | asdict(check))
            if common.as_json:
                continue
            sign, plain, style = _STATUS_SIGNS[check.status]
            shown = (plain if is_plain else sign, style)
            screen.print_line(shown, " ", (f"{name}: ", "bold"), check.message, hanging_indent=2)
            if check.advice and check.status != "ok":
                screen.print_line(f"  {'->' if is_plain else '→'} {check.advice}", hanging_indent=4)
    counts = Counter(each["status"] for each in listed)
    is_ok = not counts["error"]
    if common.as_json:
        screen.print_json({"ok": is_ok, "checks": listed})
    else:
        ending = "Everything that was checked is in place." if is_ok else "An export would fail."
        screen.print_line(
            f"\n{ending} {counts['ok']} passed, {counts['warning']} with a warning, {counts['error']} failed"
        )
    return 0 if is_ok else 1


def _list_accounts_and_audiences(export: CheckedExport, default_target: ExportTarget) -> Iterator[ExportTarget]:
    """Yield the targets of an export. Ids that only a run knows are those of `default_target`."""
    settings = export.settings
    parsed = export.request.settings if export.request else None
    named = [value for name, value in settings.items() if name.startswith("audience_id")]
    ids: Sequence[str | None] = [str(value) for value in named if value]
    if "audience_id" not in export.table.by_name or not export.unresolved_names.isdisjoint(("action", "audience_name")):
        ids = [None]
    elif None in named:
        ids = [default_target.audience_id]
    elif isinstance(parsed, StatusSettings) and any(named):
        ids = parsed.audience_ids
    name = "" if ids else str(settings.get("audience_name") or "")
    must_be_new = isinstance(parsed, ExportSettings) and parsed.action.only_once and parsed.if_exists == "fail"
    expected = settings.get("expected_audience_name")
    for account_id in getattr(parsed, "ad_account_ids", None) or [
        settings.get("ad_account_id") or default_target.account_id
    ]:
        for audience_id in ids or [""]:
            yield ExportTarget(
                account_id=str(account_id),
                audience_id=audience_id,
                name=name,
                must_be_new=must_be_new,
                expected_name=str(expected).strip() if expected else None,
                changes_members=not isinstance(parsed, StatusSettings),
                is_from_workflow=True,
            )


def _run_checks(context: DoctorContext) -> Iterator[tuple[str, CheckResult]]:
    """Yield the name and the result of each check. One that needs a failed check is skipped."""
    failed: dict[str, str] = {}  # each with the check that failed first
    for name, run, needs in _list_checks(context):
        cause = next((failed[each] for each in needs if each in failed), None)
        if cause:
            failed[name] = cause
            yield name, CheckResult(f"not checked: see the check {cause}", "warning", "fix that first")
            continue
        try:
            check = run(context)
        except StoppedError:
            raise
        except ExportError as failure:
            advice = failure.advice
            if name == "endpoints":
                advice = "correct the variables, or unset them for the defaults"
            if isinstance(failure, AccountError) and failure.status == HTTPStatus.UNAUTHORIZED:
                advice = context.credentials.refused_token_advice
                if failure.error_code == WRONG_APP_CODE:
                    advice = (
                        "correct PINTEREST_CLIENT_ID or PINTEREST_CLIENT_SECRET (found: "
                        f"{context.credentials.describe_sources()}): both are on the app's page at "
                        "https://developers.pinterest.com/apps/"
                    )
            check = CheckResult(str(failure), "error", advice)
        if check is not None:
            if check.status == "error":
                failed[name] = name
            yield name, check


def _list_checks(
    context: DoctorContext,
) -> Iterator[tuple[str, Callable[[DoctorContext], CheckResult | None], tuple[str, ...]]]:
    """Yield each check's name, its function, and the checks that must succeed before."""
    yield "credentials", _check_pinterest_credentials_found, ()
    yield "proxy", lambda _: check_proxy(), ()
    yield "endpoints", _require_valid_endpoints, ()
    yield "token", pinterest_checks.check_token, ("credentials", "endpoints")
    yield "scopes", pinterest_checks.check_scopes, ("token",)
    yield "token_days", pinterest_checks.check_token_expiry, ("token",)
    yield "clock", pinterest_checks.check_clock, ("token",)
    yield "tier", lambda _: pinterest_checks.judge_access_tier(context.services.client.last_headers), ("token",)
    for target in context.targets:
        which = f" {target.audience_id or target.name or target.account_id}" if len(context.targets) > 1 else ""
        account = f"ad_account{which}"
        yield account, partial(pinterest_checks.check_ad_account, target=target), ("token", "scopes")
        yield f"role{which}", partial(pinterest_checks.check_role, target=target), (account,)
        if target.audience_id is not None:
            yield f"audience{which}", partial(pinterest_checks.check_audience, target=target), (account,)
    yield "treasure_data", treasure_data_checks.check_api_key, ("endpoints",)
    yield "permissions", treasure_data_checks.check_database_permissions, ("treasure_data",)
    yield "project", treasure_data_checks.check_project_secrets, ("treasure_data",)
    yield "rows", treasure_data_checks.check_sample_rows, ("treasure_data", "credentials")
    yield "workflow", _summarise_workflow_findings, ()


def _check_pinterest_credentials_found(context: DoctorContext) -> CheckResult:
    if missing := [name for name in PINTEREST_SECRETS_BY_VARIABLE if name not in context.credentials.sources]:
        message = f"{', '.join(missing)} not found in the environment, the local digdag secrets or --env-file"
        return CheckResult(message, "error", "run `td-pinterest authorize`, which gets and stores them")
    return CheckResult(context.credentials.describe_sources())


def check_proxy() -> CheckResult:
    """Return a result with the host and port of the proxy for Pinterest."""
    try:
        _, address = find_proxy_url_and_address("https://api.pinterest.com/")
    except ValueError:
        message = "HTTPS_PROXY or ALL_PROXY is not the address of an HTTP proxy; the operator uses no SOCKS proxy"
        return CheckResult(message, "error", "set it to http://HOST:PORT, or unset it")
    return CheckResult(address or "none is set")


def _require_valid_endpoints(context: DoctorContext) -> None:
    parse_endpoints(context.credentials.environ)


def _summarise_workflow_findings(context: DoctorContext) -> CheckResult | None:
    if context.workflow is None:
        return None
    path = context.workflow.path
    findings = context.workflow.findings
    if not findings:
        return CheckResult(f"{path.name} has no findings")
    first = min(findings, key=lambda finding: finding.level)  # an error before a warning
    message = f"{format_count(len(findings), 'finding')}; {first}"
    return CheckResult(message, first.level, f"run `td-pinterest check {path}` to see all findings")
