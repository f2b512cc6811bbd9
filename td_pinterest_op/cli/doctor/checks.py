"""The checks of the doctor, in their order."""

import contextlib
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from td_pinterest_op.audiences.actions import parse_export
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.connection import PINTEREST_SECRETS, Credentials
from td_pinterest_op.cli.doctor import pinterest_checks, treasure_data_checks
from td_pinterest_op.cli.doctor.check import ERROR, OK, WARNING, CheckResult, DoctorContext, skip_check
from td_pinterest_op.errors import AccountError, ExportError, StoppedError
from td_pinterest_op.pinterest.oauth import WRONG_APP_CODE
from td_pinterest_op.stats import format_count

# The HTTP status of a response that refuses a credential.
_REFUSED = 401
# What to do about an error of these checks, in place of the error's own advice.
_ADVICE = {
    "settings": "correct the file of --settings: an export would stop with the same error",
    "endpoints": "correct the variables, or unset them for the defaults",
    "workflow": "name an existing .dig file",
}


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """Definition of a check of the doctor. `run` returns the check's result, or None if there is nothing to report.

    `depends_on`: the checks that must succeed first.
    """

    name: str
    run: Callable[[DoctorContext], CheckResult | None]
    depends_on: tuple[str, ...] = ()
    applies: Callable[[DoctorContext], bool] = lambda _: True


def run_checks(context: DoctorContext) -> Iterator[tuple[str, CheckResult]]:
    """Run the checks that apply, and yield each name and result. A check that depends on a failed check is skipped."""
    failed: dict[str, str] = {}  # each with the check that failed first
    for spec in CHECKS:
        if not spec.applies(context):
            continue
        cause = next((failed[name] for name in spec.depends_on if name in failed), None)
        try:
            check = skip_check(f"see the check {cause}") if cause else spec.run(context)
        except StoppedError:
            raise
        except ExportError as failure:
            advice = _ADVICE.get(spec.name) or _find_advice(failure, context.credentials)
            check = CheckResult(ERROR, str(failure), advice)
        if check is not None:
            if check.status == ERROR or not check.was_run:
                failed[spec.name] = cause or spec.name
            yield spec.name, check


def _find_advice(failure: ExportError, credentials: Credentials) -> str:
    """Return advice on an error. If a credential was refused, the advice depends on where the credential was found."""
    if isinstance(failure, AccountError) and failure.status == _REFUSED:
        return credentials.app_advice if failure.code == WRONG_APP_CODE else credentials.token_advice
    return failure.advice


def _check_credentials(context: DoctorContext) -> CheckResult:
    """Check that Pinterest's credentials are available. Treasure Data's key has a check of its own."""
    if missing := [name for name in PINTEREST_SECRETS if name in context.credentials.missing_variables]:
        message = f"{', '.join(missing)} not found in the environment, the local digdag secrets or --env-file"
        return CheckResult(ERROR, message, "run `td-pinterest authorize`, which gets and stores them")
    return CheckResult(OK, f"found in {context.credentials.describe_sources()}")


def check_proxy(environ: Mapping[str, str]) -> CheckResult:
    """Check the proxy that the environment sets. The result shows the proxy's address without the password."""
    names = [name for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if environ.get(name)]
    if not names:
        return CheckResult(OK, "none is set")
    with contextlib.suppress(ValueError):  # such as a port beyond 65535
        parts = urllib.parse.urlsplit(environ[names[0]])
        if parts.scheme in ("http", "https", "socks5", "socks5h") and parts.hostname and parts.port:
            return CheckResult(OK, f"{names[0]} is {parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    return CheckResult(
        ERROR, f"{names[0]} is not the address of a proxy", f"set {names[0]} to http://HOST:PORT, or unset it"
    )


def _check_endpoints(context: DoctorContext) -> None:
    """Raise SettingsError if the environment names an endpoint to which secrets must not be sent."""
    _ = context.credentials.build_task().endpoints


def _check_settings(context: DoctorContext) -> CheckResult:
    """Check the settings in the file of --settings, as an export does. Raises SettingsError with every problem."""
    warnings = parse_export(context.settings, environ=context.credentials.environ).warnings
    if warnings:
        return CheckResult(WARNING, "; ".join(warnings), "correct the file of --settings")
    return CheckResult(OK, "the file of --settings has no problems")


def _name_unchecked_parameters(context: DoctorContext) -> CheckResult:
    """Return a check result that lists what the file of --settings contains, but no check uses."""
    names = " and ".join(context.unchecked)
    return skip_check(f"{names} in the file of --settings", "`td-pinterest export --settings FILE --dry-run` runs them")


def _check_workflow(context: DoctorContext) -> CheckResult | None:
    """Return the most severe finding of `td-pinterest check` about the workflow, or None if no workflow is named."""
    path = context.workflow
    if path is None:
        return None
    findings = check_file(path)
    if not findings:
        return CheckResult(OK, f"{path.name} has no findings")
    first = next((finding for finding in findings if finding.level == ERROR), findings[0])
    message = f"{format_count(len(findings), 'finding')}; {path.name}:{first.line}: {first.message}"
    return CheckResult(first.level, message, f"run `td-pinterest check {path}` to see all findings")


CHECKS = (
    CheckSpec("credentials", _check_credentials),
    CheckSpec("proxy", lambda context: check_proxy(context.credentials.environ)),
    CheckSpec("endpoints", _check_endpoints),
    CheckSpec("token", pinterest_checks.check_token, ("credentials", "endpoints")),
    CheckSpec("scopes", pinterest_checks.check_scopes, ("token",)),
    CheckSpec("token_days", pinterest_checks.check_token_expiry, ("token",)),
    CheckSpec("clock", pinterest_checks.check_clock, ("token",)),
    CheckSpec("ad_account", pinterest_checks.check_ad_account, ("token",)),
    CheckSpec("tier", lambda context: pinterest_checks.judge_tier(context.services.client.last_headers), ("token",)),
    CheckSpec("role", lambda context: pinterest_checks.judge_role(context.account), ("ad_account",)),
    CheckSpec("audience", pinterest_checks.check_audience, ("ad_account",)),
    CheckSpec("settings", _check_settings, ("credentials",), lambda context: context.settings is not None),
    CheckSpec("task", _name_unchecked_parameters, applies=lambda context: bool(context.unchecked)),
    CheckSpec("treasure_data", treasure_data_checks.check_api_key, ("endpoints",)),
    CheckSpec("history", treasure_data_checks.check_history, ("treasure_data",)),
    CheckSpec(
        "rows",
        treasure_data_checks.check_rows,
        ("treasure_data", "credentials", "settings"),
        lambda context: bool(context.params),
    ),
    CheckSpec("workflow", _check_workflow),
)
