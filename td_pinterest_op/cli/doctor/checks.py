"""The checks of the doctor, in their order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from td_pinterest_op.audiences.actions import parse_export
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.connection import PINTEREST_SECRETS, Credentials
from td_pinterest_op.cli.doctor import pinterest_checks, treasure_data_checks
from td_pinterest_op.cli.doctor.check import ERROR, OK, WARNING, CheckResult, DoctorContext, skip_check
from td_pinterest_op.errors import AccountError, ExportError, StoppedError
from td_pinterest_op.http.endpoints import find_proxy
from td_pinterest_op.pinterest.oauth import WRONG_APP_CODE
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.task_runtime.task import parse_endpoints

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
    """A check of the doctor. `run` returns its result, or None if there is nothing to report.

    `depends_on`: the checks that must succeed first.
    """

    name: str
    run: Callable[[DoctorContext], CheckResult | None]
    depends_on: tuple[str, ...] = ()


def run_checks(context: DoctorContext) -> Iterator[tuple[str, CheckResult]]:
    """Run the checks, and yield each name and result. A check that depends on a failed check is skipped."""
    failed: dict[str, str] = {}  # each with the check that failed first
    for spec in _list_checks(context):
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
        return credentials.advice_for_the_app if failure.code == WRONG_APP_CODE else credentials.advice_for_the_token
    return failure.advice


def _check_credentials(context: DoctorContext) -> CheckResult:
    """Check that Pinterest's credentials are available. Treasure Data's key has a check of its own."""
    if missing := [name for name in PINTEREST_SECRETS if name in context.credentials.missing_variables]:
        message = f"{', '.join(missing)} not found in the environment, the local digdag secrets or --env-file"
        return CheckResult(ERROR, message, "run `td-pinterest authorize`, which gets and stores them")
    return CheckResult(OK, f"found in {context.credentials.describe_sources()}")


def check_proxy() -> CheckResult:
    """Check the proxy that the environment sets for Pinterest. The result shows its host and port."""
    try:
        _, address = find_proxy("https://api.pinterest.com/")
    except ValueError:
        message = "HTTPS_PROXY or ALL_PROXY is not the address of an HTTP proxy; the operator uses no SOCKS proxy"
        return CheckResult(ERROR, message, "set it to http://HOST:PORT, or unset it")
    return CheckResult(OK, address or "none is set")


def _check_endpoints(context: DoctorContext) -> None:
    """Raise SettingsError if the environment names an endpoint to which secrets must not be sent."""
    parse_endpoints(context.credentials.build_task().environ)


def _check_settings(context: DoctorContext) -> CheckResult | None:
    """Check the settings in the file of --settings, as an export does. Raises SettingsError with every problem."""
    if context.settings is None:
        return None
    warnings = parse_export(context.settings, environ=context.credentials.environ).warnings
    if warnings:
        return CheckResult(WARNING, "; ".join(warnings), "correct the file of --settings")
    return CheckResult(OK, "the file of --settings has no problems")


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


def _list_checks(context: DoctorContext) -> Iterator[CheckSpec]:
    """Yield the checks in their order. Those of an audience and its ad account are repeated for each of a workflow."""
    yield CheckSpec("credentials", _check_credentials)
    yield CheckSpec("proxy", lambda _: check_proxy())
    yield CheckSpec("endpoints", _check_endpoints)
    yield CheckSpec("token", pinterest_checks.check_token, ("credentials", "endpoints"))
    yield CheckSpec("scopes", pinterest_checks.check_scopes, ("token",))
    yield CheckSpec("token_days", pinterest_checks.check_token_expiry, ("token",))
    yield CheckSpec("clock", pinterest_checks.check_clock, ("token",))
    yield CheckSpec("tier", pinterest_checks.check_tier, ("token",))
    for target in context.targets:
        which = f" {target.audience_id or target.name or target.account_id}" if len(context.targets) > 1 else ""
        account = f"ad_account{which}"
        yield CheckSpec(account, partial(pinterest_checks.check_ad_account, target=target), ("token",))
        yield CheckSpec(f"role{which}", partial(pinterest_checks.check_role, target=target), (account,))
        yield CheckSpec(f"audience{which}", partial(pinterest_checks.check_audience, target=target), (account,))
    yield CheckSpec("settings", _check_settings, ("credentials",))
    yield CheckSpec("treasure_data", treasure_data_checks.check_api_key, ("endpoints",))
    yield CheckSpec("permissions", treasure_data_checks.check_permissions, ("treasure_data",))
    yield CheckSpec("project", treasure_data_checks.check_project, ("treasure_data",))
    yield CheckSpec("rows", treasure_data_checks.check_rows, ("treasure_data", "credentials", "settings"))
    yield CheckSpec("workflow", _check_workflow)
