"""The follow-up: `py>: td_pinterest_op.status.AudienceStatus` in a .dig file, a day or two after an export.

It reads audiences and writes nothing to Pinterest.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from td_pinterest_op.audiences.follow_up import State, broken_limits, read_state
from td_pinterest_op.errors import AccountError, AudienceError, ExportError, StoppedError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.run_history.audience_history import COLUMNS_READ, AudienceHistory, summarize
from td_pinterest_op.run_history.columns import FAILED, SUCCESS, Row, follow_up_row
from td_pinterest_op.run_history.sql import select_audience_rows
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.parse import parse_status
from td_pinterest_op.settings.table import StatusSettings
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.history import History, open_history, record_run
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
        """As `run`, but a problem is only in `pinterest_status.problems`, for a later task to judge."""
        with task_process():
            workflow.store(pinterest_status=follow_up(workflow.current_task(), SYSTEM))


def follow_up(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """Read every audience that the settings name; returns the state of each that can be read, and all problems.

    The history, if the settings name one, says how large the audiences were, and gets a row about each.

    Raises SettingsError, and the errors of a token that is refused.
    """
    settings = parse_status(task.params.get("result_settings"), environ=task.environ)
    history = open_history(task, settings.history, timing)
    for warning in settings.warnings:
        log.warning("%s", warning)
    look = _Look(settings=settings)
    with record_run(history, look.rows):
        look.known = _known(history, settings)
        with connect(task, settings, timing=timing) as services:
            for audience_id in settings.audience_ids:
                look.at(audience_id, services.pinterest)
    usable, waiting = sum(state.is_usable for state in look.states), sum(state.is_waiting for state in look.states)
    return {
        "checked_at": datetime.fromtimestamp(timing.wall(), timezone.utc).isoformat(timespec="seconds"),
        "ad_account_id": settings.ad_account_id,
        "audiences": [state.to_json() for state in look.states],
        "usable": usable,
        "waiting": waiting,
        "unusable": len(look.states) - usable - waiting,
        "problems": [*look.problems.values()],
    }


def _known(history: History | None, settings: StatusSettings) -> AudienceHistory:
    if history is None:
        return AudienceHistory()
    return summarize(history.read(select_audience_rows(history.table, COLUMNS_READ, settings.audience_ids)) or ())


@dataclass(slots=True, kw_only=True)
class _Look:
    """What was seen so far. `problems`: by audience; one that cannot be read has no state."""

    settings: StatusSettings
    known: AudienceHistory = field(default_factory=AudienceHistory)
    states: list[State] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    def at(self, audience_id: str, api: Api) -> None:
        """Look at an audience. Raises what concerns all of them."""
        try:
            state = read_state(api, audience_id, self.known)
        except (AccountError, StoppedError):
            raise
        except ExportError as error:
            self.problems[audience_id] = f"audience {audience_id} cannot be read: {error}"
            log.warning("%s", self.problems[audience_id])
            return
        self.states.append(state)
        self._judge(state)

    def _judge(self, state: State) -> None:
        """Note the problem of a state, if it has one; the log gets the state either way."""
        broken = broken_limits(state, self.settings, previous_size=self.known.sizes.get(state.audience_id))
        level = logging.INFO if state.is_usable and not broken else logging.WARNING
        log.log(level, "%s: %s", state.label, state.summary)
        if broken:
            self.problems[state.audience_id] = f"{state.label}: {' and '.join(broken)}. {state.summary}"

    def rows(self, error: str) -> list[Row]:
        """Return a row for each audience; `error` ended the look, if it is not empty."""
        states = {state.audience_id: state.to_json() for state in self.states}
        rows: list[Row] = []
        for audience_id in self.settings.audience_ids:
            problem = self.problems.get(audience_id) or ("" if audience_id in states else error)
            outcome = {"outcome": FAILED, "error": problem} if problem else {"outcome": SUCCESS, "error": None}
            ids = {"ad_account_id": self.settings.ad_account_id, "audience_id": audience_id}
            rows.append({**follow_up_row(states.get(audience_id, {})), **ids, **outcome})
        return rows
