"""Checks of Treasure Data: the key and its region, and a project's secrets."""

import shlex

from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.cli.doctor.context import CheckResult, DoctorContext
from td_pinterest_op.cli.secret_target import request_status_and_project_id
from td_pinterest_op.errors import add_to_errors
from td_pinterest_op.task_runtime.digdag_secrets import find_hosted_server
from td_pinterest_op.task_runtime.task import parse_endpoints


def check_api_key(context: DoctorContext) -> CheckResult:
    """Check that the configured region of Treasure Data accepts the API key."""
    if "TD_API_KEY" not in context.credentials.sources:
        message = f"TD_API_KEY not found (as a secret it is {SECRETS_BY_VARIABLE['TD_API_KEY']})"
        return CheckResult(message, "error", "set it, or store it with `digdag secrets --local --set td.apikey`")
    with add_to_errors(what=f" [the key is from {context.credentials.sources['TD_API_KEY']}]"):
        context.services_without_pinterest.treasure_data.call("GET", "/v3/database/list")
    return CheckResult(f"the key is accepted by {parse_endpoints(context.credentials.environ).treasure_data}")


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
