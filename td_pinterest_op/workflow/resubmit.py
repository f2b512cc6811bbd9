"""Resubmits a task as its own subtask, so that digdag resolves the task's secrets again.

A workflow server shows no secret to a running task. If Pinterest ends a refresh token as it issues the next one, one of
two tasks that start with the same token is refused. That task succeeds and adds itself as a subtask: digdag resolves
the secrets when it starts the subtask.
Sources: digdag-core, agent/OperatorManager.java; digdag-standards, digdag/standards/py/runner.py.
"""

import logging
from collections.abc import Mapping
from typing import Any

from td_pinterest_op.errors import AccountError, SettingsError
from td_pinterest_op.workflow.task import Task, add_subtask, get_current_task

log = logging.getLogger(__name__)

# The subtask's parameter with the fingerprint of the refused token, and the numbers of refusals.
_REFUSED = "pinterest_refused_token"
# A token that was refused this many times in a row has not been renewed by anybody.
_MOST_REFUSALS = 3
# Refusals of any token: of 30 tasks that a hosted run has at once, each of the others can renew the token of this task.
_MOST_REFUSALS_IN_ALL = 30


def may_resubmit(task: Task, error: BaseException) -> bool:
    """Whether the task may run again: its refresh token was refused, but another task may have renewed the token."""
    environment = task.params.get("_env")
    if not isinstance(error, AccountError) or error.refused_token is None or not isinstance(environment, Mapping):
        return False
    refused = _count_refusals(task, error.refused_token)
    is_secret = any("${secret:" in str(value) for value in environment.values())
    return is_secret and refused["times"] < _MOST_REFUSALS and refused["in_all"] < _MOST_REFUSALS_IN_ALL


def try_resubmit(error: AccountError) -> bool:
    """Add the current task as its own subtask if `may_resubmit` allows it; return whether it was added."""
    try:
        task = get_current_task()
    except SettingsError:
        return False
    if not may_resubmit(task, error):
        return False
    log.warning(
        "Pinterest refused the refresh token, which another task may have renewed: this task starts again, with the "
        "current value of the secret"
    )
    # Without digdag's directives, such as `py>` and `_retry`.
    names = [name for name in task.params if not name.startswith(("_", "+")) and not name.endswith(">")]
    params = {name: _escape_templates(task.params[name]) for name in names}
    own = {name: task.params[name] for name in ("_env", "_workdir") if name in task.params}
    refused = _count_refusals(task, error.refused_token)
    add_subtask({**params, **own, "py>": task.params["_command"], _REFUSED: refused})
    return True


def _count_refusals(task: Task, fingerprint: str | None) -> dict[str, Any]:
    """Return a token's fingerprint, its refusals in a row (`times`), and the refusals of all tokens (`in_all`)."""
    value = task.params.get(_REFUSED)
    before = value if isinstance(value, Mapping) else {}
    times = int(before["times"]) if before.get("fingerprint") == fingerprint else 0
    return {"fingerprint": fingerprint, "times": times + 1, "in_all": int(before.get("in_all", 0)) + 1}


def _escape_templates(value: Any) -> Any:
    """Return a value with each `$` escaped, so that digdag passes the value unchanged to a subtask."""
    if isinstance(value, str):
        return value.replace("$", "${'$'}")
    if isinstance(value, Mapping):
        return {name: _escape_templates(inner) for name, inner in value.items()}
    return [_escape_templates(inner) for inner in value] if isinstance(value, list) else value
