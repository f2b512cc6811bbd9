"""The follow-up: `py>: td_pinterest_op.status.AudienceStatus` in a .dig file, a day or two after an export.

It reads audiences and writes nothing to Pinterest.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from td_pinterest_op.audiences.follow_up import State, broken_limits, state_of
from td_pinterest_op.errors import AccountError, AudienceError, ExportError, StoppedError
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.parse import StatusSettings, parse_status
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.process import task_process
from td_pinterest_op.workflow.services import connect

log = logging.getLogger(__name__)


class AudienceStatus:
    """Looks at audiences, as the task's `result_settings` say, and stores what it finds under `pinterest_status`."""

    def run(self) -> None:
        """Fails for what `fail_on`, `min_size` and `max_drop_ratio` do not allow, and for what cannot be read."""
        with task_process():
            stored = follow_up(workflow.current_task(), SYSTEM)
            workflow.store(pinterest_status=stored)
            if stored["problems"]:
                raise AudienceError("; ".join(stored["problems"]))

    def look(self) -> None:
        """As `run`, but a problem only stands in `pinterest_status.problems`: what a failed task stores is lost.

        The workflow can then write its history first, and fail after that.
        """
        with task_process():
            workflow.store(pinterest_status=follow_up(workflow.current_task(), SYSTEM))


def follow_up(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """Read every audience that the settings name; returns the state of each that can be read, and all problems.

    Raises SettingsError, and the errors of a token that is refused.
    """
    settings = parse_status(task.params.get("result_settings"), environ=task.environ)
    for warning in settings.warnings:
        log.warning("%s", warning)
    states: list[State] = []
    problems: list[str] = []
    with connect(task, settings, timing=timing) as services:
        for audience_id in settings.audience_ids:
            try:
                state = state_of(services.pinterest, audience_id, settings)
            except (AccountError, StoppedError):
                # They concern all audiences.
                raise
            except ExportError as error:
                problems.append(f"audience {audience_id} cannot be read: {error}")
                log.warning("%s", problems[-1])
            else:
                states.append(state)
                problems += _problems_of(state, settings)
    usable, waiting = sum(state.usable for state in states), sum(state.waiting for state in states)
    return {
        "checked_at": datetime.fromtimestamp(timing.wall(), timezone.utc).isoformat(timespec="seconds"),
        "ad_account_id": settings.ad_account_id,
        "audiences": [state.to_json() for state in states],
        "usable": usable,
        "waiting": waiting,
        "unusable": len(states) - usable - waiting,
        "problems": problems,
    }


def _problems_of(state: State, settings: StatusSettings) -> list[str]:
    """The problem of a state, if it has one; the log gets the state either way."""
    broken = broken_limits(state, settings)
    level = logging.INFO if state.usable and not broken else logging.WARNING
    log.log(level, "%s: %s", state.label, state.summary)
    return [f"{state.label}: {' and '.join(broken)}. {state.summary}"] if broken else []
