"""`td-pinterest doctor`."""

# To add a check:
# 1. Test it (tests/e2e/cli/test_doctor.py, and the golden file). Treasure Data's answer: tests/emulators/td/app.py.
# 2. Write it in cli/doctor/pinterest_checks.py or treasure_data_checks.py, and yield it in `_list_checks`.
# 3. A permission also belongs to docs/getting-started.md.
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http import HTTPStatus

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.connection import PINTEREST_SECRETS_BY_VARIABLE, find_credentials, parse_id_option
from td_pinterest_op.cli.doctor import pinterest_checks, treasure_data_checks
from td_pinterest_op.cli.doctor.context import CheckResult, DoctorContext
from td_pinterest_op.errors import AccountError, ExportError, StoppedError
from td_pinterest_op.http.endpoints import find_proxy_url_and_address
from td_pinterest_op.pinterest.oauth import WRONG_APP_CODE
from td_pinterest_op.task_runtime.task import parse_endpoints

# A sign, its replacement on a terminal that has only ASCII, and a style.
_STATUS_SIGNS = {"ok": ("✓", "ok", "green"), "warning": ("!", "!", "yellow"), "error": ("✗", "x", "bold red")}


@options.command(
    "\b\nExamples:\n  td-pinterest doctor\n  td-pinterest doctor --audience 2542620905475 --project audiences --json"
)
@options.ad_account
@options.audience
@click.option("--project", metavar="NAME", help="Check the secrets of this project on hosted Treasure Workflow, too.")
@options.env_file
@options.as_json
def doctor(common: options.CommonOptions, project: str | None) -> int:
    """Check what every export needs, and say how to mend it.

    Nothing is written to Pinterest. The exit code is 1 if something is wrong. A dry run (`td-pinterest export
    --dry-run`) judges a query's rows and a workflow's settings.
    """
    credentials = find_credentials(common.env_file)
    audience = common.audience or credentials.environ.get("PINTEREST_AUDIENCE_ID") or ""
    context = DoctorContext(
        credentials=credentials,
        account_id=common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID") or "",
        audience_id=audience and parse_id_option(audience, "--audience or PINTEREST_AUDIENCE_ID"),
        project=project,
    )
    is_plain = screen.build_console().options.ascii_only
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
        ending = "Everything that was checked is in place." if is_ok else "Correct what is marked first."
        screen.print_line(
            f"\n{ending} {counts['ok']} passed, {counts['warning']} with a warning, {counts['error']} failed"
        )
    return 0 if is_ok else 1


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
            advice = failure.general_advice
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
    yield "ad_account", pinterest_checks.check_ad_account, ("token", "scopes")
    yield "role", pinterest_checks.check_role, ("ad_account",)
    yield "audience", pinterest_checks.check_audience, ("ad_account",)
    yield "treasure_data", treasure_data_checks.check_api_key, ("endpoints",)
    yield "project", treasure_data_checks.check_project_secrets, ("treasure_data",)


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
