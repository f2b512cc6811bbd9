"""The follow-up: `py>: td_pinterest_op.status.AudienceStatus` in a .dig file, a day or two after an export.

It reads audiences and writes nothing to Pinterest.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

from td_pinterest_op.audiences.follow_up import State, find_broken_limits, read_state
from td_pinterest_op.errors import AccountError, AudienceError, ExportError, StoppedError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.run_history.audience_history import COLUMNS_READ, AudienceHistory, build_audience_history
from td_pinterest_op.run_history.columns import FAILED, SUCCESS, Row, build_follow_up_row
from td_pinterest_op.run_history.sql import select_audience_rows
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.parse import parse_settings
from td_pinterest_op.settings.table import STATUS, StatusSettings
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.history import open_history, record_run
from td_pinterest_op.workflow.process import TaskProcess
from td_pinterest_op.workflow.services import connect_services

log = logging.getLogger(__name__)


class AudienceStatus:
    """Checks the audiences of the task's `result_settings`, and stores their state under `pinterest_status`."""

    def run(self) -> None:
        """Raise AudienceError if an audience breaks `fail_on`, `min_size` or `max_drop_ratio`, or cannot be read."""
        with TaskProcess():
            stored = follow_up(workflow.get_current_task(), SYSTEM)
            workflow.store_values(pinterest_status=stored)
            if stored["problems"]:
                raise AudienceError("; ".join(stored["problems"]))

    def look(self) -> None:
        """Do the same as `run`, but only store problems under `pinterest_status.problems`, for a later task."""
        with TaskProcess():
            workflow.store_values(pinterest_status=follow_up(workflow.get_current_task(), SYSTEM))


def follow_up(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """Read every audience of the settings. Returns the state of each that can be read, and all problems.

    The history, if the settings name one, has the earlier sizes of the audiences, and gets a row about each.

    Raises SettingsError, and the errors of a token that is refused.
    """
    settings = parse_settings(task.params.get("result_settings"), table=STATUS, environ=task.environ)
    history = open_history(task, settings.history, timing)
    for warning in settings.warnings:
        log.warning("%s", warning)
    run = _FollowUp(settings=settings)
    with record_run(history, run.history_rows):
        if history:
            query = select_audience_rows(history.table, COLUMNS_READ, settings.audience_ids)
            run.known = build_audience_history(history.read_rows(query) or ())
        with connect_services(task, settings, timing=timing) as services:
            for audience_id in settings.audience_ids:
                run.check_audience(audience_id, services.pinterest)
    usable, waiting = sum(state.is_usable for state in run.states), sum(state.is_waiting for state in run.states)
    return {
        "checked_at": timing.utc().isoformat(timespec="seconds"),
        "ad_account_id": settings.ad_account_id,
        "audiences": [state.to_json() for state in run.states],
        "usable": usable,
        "waiting": waiting,
        "unusable": len(run.states) - usable - waiting,
        "problems": [*run.problems.values()],
    }


@dataclass(slots=True, kw_only=True)
class _FollowUp:
    """The states of the audiences so far. `problems`: by audience. An audience that cannot be read has no state."""

    settings: StatusSettings
    known: AudienceHistory = field(default_factory=AudienceHistory)
    states: list[State] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    def check_audience(self, audience_id: str, api: Api) -> None:
        """Read an audience, log its state, and note its problem. Raises errors that concern all audiences."""
        try:
            state = read_state(api, audience_id, self.known)
        except (AccountError, StoppedError):
            raise
        except ExportError as error:
            self.problems[audience_id] = f"audience {audience_id} cannot be read: {error}"
            log.warning("%s", self.problems[audience_id])
            return
        self.states.append(state)
        broken = find_broken_limits(state, self.settings, previous_size=self.known.sizes.get(audience_id))
        level = logging.INFO if state.is_usable and not broken else logging.WARNING
        log.log(level, "%s: %s", state.label, state.summary)
        if broken:
            self.problems[audience_id] = f"{state.label}: {' and '.join(broken)}. {state.summary}"

    def history_rows(self, error: str) -> list[Row]:
        """Return a history row for each audience. `error`: the message of the error that ended the run, or ""."""
        states = {state.audience_id: state.to_json() for state in self.states}
        rows: list[Row] = []
        for audience_id in self.settings.audience_ids:
            problem = self.problems.get(audience_id) or ("" if audience_id in states else error)
            outcome = {"outcome": FAILED, "error": problem} if problem else {"outcome": SUCCESS, "error": None}
            ids = {"ad_account_id": self.settings.ad_account_id, "audience_id": audience_id}
            rows.append({**build_follow_up_row(states.get(audience_id, {})), **ids, **outcome})
        return rows
