"""Reschedules the task so that digdag resolves its secrets again.

A workflow server shows no secret to a running task. If Pinterest ends a refresh token as it issues the next one, one of
two tasks that start with the same token is refused. That task succeeds and adds itself as a subtask: digdag resolves
the secrets when it starts the subtask.
Sources: digdag-core, agent/OperatorManager.java; digdag-standards, digdag/standards/py/runner.py.
"""

import logging
from collections.abc import Mapping
from typing import Any

from td_pinterest_op.errors import AccountError, SettingsError
from td_pinterest_op.workflow.task import Task, add_subtask, current_task

log = logging.getLogger(__name__)

# The parameter that hands to the subtask which token was refused, and how often.
_REFUSED = "pinterest_refused_token"
# A token that was refused this many times in a row has not been renewed by anybody.
_MOST_REFUSALS = 3
# Refusals of a task with any token. Hosted runs have 30 tasks at once: each of the others can renew the token that this
# one was given.
_MOST_REFUSALS_IN_ALL = 30


def may_resubmit(task: Task, error: BaseException) -> bool:
    """Whether the task may run again because another task may have renewed the refused refresh token."""
    environment = task.params.get("_env")
    return (
        isinstance(error, AccountError)
        and error.refused_token is not None
        and isinstance(environment, Mapping)
        and any("${secret:" in str(value) for value in environment.values())
        and _count_refusals(task, error.refused_token) < _MOST_REFUSALS
        and _count_all_refusals(task) < _MOST_REFUSALS_IN_ALL
    )


def try_resubmit(error: AccountError) -> bool:
    """If `may_resubmit`, add the current task as its own subtask; return whether that was done."""
    try:
        task = current_task()
    except SettingsError:
        return False
    if not may_resubmit(task, error):
        return False
    log.warning(
        "Pinterest refused the refresh token, which another task may have renewed: this task starts again, with the "
        "current value of the secret"
    )
    refused = {
        "fingerprint": error.refused_token,
        "times": _count_refusals(task, error.refused_token),
        "in_all": _count_all_refusals(task),
    }
    # Without digdag's directives, such as `py>` and `_retry`.
    names = [name for name in task.params if not name.startswith(("_", "+")) and not name.endswith(">")]
    params = {name: _escape_templates(task.params[name]) for name in names}
    own = {name: task.params[name] for name in ("_env", "_workdir") if name in task.params}
    add_subtask({**params, **own, "py>": task.params["_command"], _REFUSED: refused})
    return True


def _count_refusals(task: Task, fingerprint: str | None) -> int:
    """Return how often in a row this token was refused, including now."""
    before = _read_earlier_refusals(task)
    return 1 + (int(before["times"]) if before.get("fingerprint") == fingerprint else 0)


def _count_all_refusals(task: Task) -> int:
    """Return how often the task was refused with any token, including now."""
    return 1 + int(_read_earlier_refusals(task).get("in_all", 0))


def _read_earlier_refusals(task: Task) -> Mapping[str, Any]:
    """Return the refusals that the earlier run of this task has recorded; empty for its first run."""
    before = task.params.get(_REFUSED)
    return before if isinstance(before, Mapping) else {}


def _escape_templates(value: Any) -> Any:
    """Return a value so that digdag, which fills in all texts of the subtask, leaves it unchanged."""
    if isinstance(value, str):
        return value.replace("$", "${'$'}")
    if isinstance(value, Mapping):
        return {name: _escape_templates(inner) for name, inner in value.items()}
    return [_escape_templates(inner) for inner in value] if isinstance(value, list) else value
