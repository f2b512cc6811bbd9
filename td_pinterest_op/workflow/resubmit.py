"""A task that starts again: digdag then gives it the workflow's secrets as they are at that moment.

A workflow server shows no secret to a task that runs. Where Pinterest ends a refresh token as it issues the next one,
of two tasks that start with the same token one is refused. That one ends well and leaves a subtask, itself again under
its own name: digdag looks the secrets up when it starts that.
Sources: digdag-core, agent/OperatorManager.java; digdag-standards, digdag/standards/py/runner.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from td_pinterest_op.errors import AccountError, SettingsError
from td_pinterest_op.workflow.task import Task, add_subtask, current_task

log = logging.getLogger(__name__)

# The parameter under which a task learns which token was refused before it, and how often.
_REFUSED = "pinterest_refused_token"
# The same token as often as this is one that nobody has renewed.
_MOST_REFUSALS = 3
# All refusals of a task together, whichever token it was. Hosted runs have 30 tasks at once: each of the others can
# renew the token that this one was given.
_MOST_REFUSALS_IN_ALL = 30


def may_resubmit(task: Task, error: BaseException) -> bool:
    """Whether `error` is about a refresh token that another task may have renewed, and a new task can get."""
    environment = task.params.get("_env")
    return (
        isinstance(error, AccountError)
        and error.refused_token is not None
        and isinstance(environment, Mapping)
        and any("${secret:" in str(value) for value in environment.values())
        and _refusals(task, error.refused_token) < _MOST_REFUSALS
        and _all_refusals(task) < _MOST_REFUSALS_IN_ALL
    )


def try_resubmit(error: AccountError) -> bool:
    """Leave digdag the task that it is running once more, if `may_resubmit`; whether that is done."""
    try:
        task = current_task()
    except SettingsError:
        return False
    if not may_resubmit(task, error):
        return False
    log.warning(
        "Pinterest refused the refresh token. Another task may have renewed it meanwhile: this task starts again, with "
        "the secret as it is then"
    )
    refused = {
        "fingerprint": error.refused_token,
        "times": _refusals(task, error.refused_token),
        "in_all": _all_refusals(task),
    }
    # None of digdag's own words for a task, such as `py>` and `_retry`.
    given = [name for name in task.params if not name.startswith(("_", "+")) and not name.endswith(">")]
    params = {name: _literal(task.params[name]) for name in given}
    own = {name: task.params[name] for name in ("_env", "_workdir") if name in task.params}
    add_subtask({**params, **own, "py>": task.params["_command"], _REFUSED: refused})
    return True


def _refusals(task: Task, fingerprint: str | None) -> int:
    """How often the token was refused one time after the other, this time included."""
    before = _before(task)
    return 1 + (int(before["times"]) if before.get("fingerprint") == fingerprint else 0)


def _all_refusals(task: Task) -> int:
    """How often the task was refused with any token, this time included."""
    return 1 + int(_before(task).get("in_all", 0))


def _before(task: Task) -> Mapping[str, Any]:
    before = task.params.get(_REFUSED)
    return before if isinstance(before, Mapping) else {}


def _literal(value: Any) -> Any:
    """A value that digdag, which evaluates texts in the new task once more, leaves as it is."""
    if isinstance(value, str):
        return value.replace("$", "${'$'}")
    if isinstance(value, Mapping):
        return {name: _literal(inner) for name, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value
