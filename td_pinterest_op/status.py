"""The follow-up: `py>: td_pinterest_op.status.PinterestStatus` in a .dig file, a day or two after an export.

It reads audiences, checks them against limits, and writes nothing to Pinterest.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from td_pinterest_op.audiences.lookup import find_used_list, require_audience
from td_pinterest_op.audiences.request import parse_task_request
from td_pinterest_op.errors import AccountError, AudienceError, ExportError, StoppedError
from td_pinterest_op.pinterest.api import Api, AudienceCondition, classify_audience_status
from td_pinterest_op.run_history.history_table import (
    FAILED_OUTCOME,
    SUCCESS_OUTCOME,
    HistoryRow,
    build_history_query,
    build_status_check_row,
    find_known_member_count,
    find_last_matched_size,
)
from td_pinterest_op.runtime.clock import SYSTEM_TIMING, Timing
from td_pinterest_op.settings.table import STATUS_SETTINGS, StatusSettings
from td_pinterest_op.task_runtime.outcome import Outcome, open_history, publishing
from td_pinterest_op.task_runtime.process import GuardedTaskRun
from td_pinterest_op.task_runtime.services import connect_services
from td_pinterest_op.task_runtime.task import Task, get_current_task, store_workflow_values

log = logging.getLogger(__name__)


class PinterestStatus:
    """The operator that checks status and size of the audiences in `result_settings`."""

    def run(self) -> None:
        """Check the current task's audiences, and store the findings as the parameter `pinterest_status`."""
        with GuardedTaskRun():
            stored = check_audiences(get_current_task(), SYSTEM_TIMING)
            store_workflow_values(pinterest_status=stored)
            if stored["problems"]:
                raise AudienceError(f"ad account {stored['ad_account_id']}: {'; '.join(stored['problems'])}")


def check_audiences(task: Task, timing: Timing) -> dict[str, Any]:
    """Read and check the audiences in the settings. Returns their states and the problems as JSON types.

    A run history in the settings is read for earlier sizes, and gets a row for each audience. Raises SettingsError and
    AccountError.
    """
    settings = parse_task_request(task, table=STATUS_SETTINGS).settings
    account = settings.ad_account_id
    states: list[AudienceState] = []
    problems: list[str] = []
    # For the history. An audience that was not read gets the outcome of the run.
    rows = {
        audience_id: {**build_status_check_row({"audience_id": audience_id}), "ad_account_id": account}
        for audience_id in settings.audience_ids
    }
    with connect_services(task, settings, timing=timing) as services:
        history = open_history(services, settings.history)
        outcome = Outcome(
            get_subjects=lambda: [("ad account", account)], build_rows=lambda: list(rows.values()), history=history
        )
        with publishing(services, outcome):
            known = history.read_rows(build_history_query(history.table, settings.audience_ids)) if history else []
            for audience_id, row in rows.items():
                state, problem = _read_and_check_audience(services.pinterest, audience_id, known, settings)
                if state:
                    states.append(state)
                    row.update(build_status_check_row(state.to_json()))
                if problem:
                    problems.append(problem)
                row.update(outcome=FAILED_OUTCOME if problem else SUCCESS_OUTCOME, error=problem or None)
    conditions = [each.condition for each in states]
    usable = conditions.count(AudienceCondition.READY)
    waiting = conditions.count(AudienceCondition.MATCHING)
    return {
        "checked_at": timing.get_utc_time().isoformat(timespec="seconds"),
        "ad_account_id": account,
        "audiences": [each.to_json() for each in states],
        "usable": usable,
        "waiting": waiting,
        "unusable": len(conditions) - usable - waiting,
        "problems": problems,
    }


@dataclass(frozen=True, kw_only=True)
class AudienceState:
    """The state of an audience and its customer list, as Pinterest reports it."""

    audience_id: str
    audience_name: str
    status: str
    size: int | None  # matched people; None if unknown
    customer_list_id: str | None
    customer_list_status: str
    members: int | None = None  # records in the list, from the run history; None if unknown

    @property
    def match_ratio(self) -> float | None:
        """Matched people per record of the list, such as 0.65. None while Pinterest is matching, or if unknown."""
        if self.condition is AudienceCondition.MATCHING or self.size is None or not self.members:
            return None
        return self.size / self.members

    @property
    def condition(self) -> AudienceCondition:
        """The audience's condition. Ad groups can use it once it is READY."""
        return classify_audience_status(self.status)

    @property
    def summary(self) -> str:
        """The state in one sentence."""
        people = f"{'an unknown number of' if self.size is None else f'about {self.size:,}'} matched people"
        if self.match_ratio is not None:
            people += f" ({self.match_ratio:.0%} of {self.members:,} records)"
        if self.condition is AudienceCondition.READY:
            return f"The audience is ready, with {people}."
        if self.condition is AudienceCondition.MATCHING:
            return f"Pinterest is still matching people (status {self.status or 'unknown'}). Look again tomorrow."
        if self.condition is AudienceCondition.REMOVED:
            return "The audience was removed. Create a new one."
        return f"The audience is too small to use, with {people}: Pinterest needs 100."

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON types."""
        is_usable = self.condition is AudienceCondition.READY
        return asdict(self) | {"usable": is_usable, "match_ratio": self.match_ratio, "summary": self.summary}

    def describe_broken_limits(self, settings: StatusSettings, *, previous_size: int | None) -> list[str]:
        """Return a text for each limit of the `settings` that the audience breaks.

        Limits of size are checked once Pinterest has matched people. `previous_size`: the last in the history.
        """
        broken = [f"its status is {self.status}"] if self.status in settings.fail_on else []
        if self.condition is AudienceCondition.MATCHING or self.size is None:
            return broken
        smallest = settings.min_size
        max_drop = settings.max_drop_ratio
        before = previous_size or 0
        if smallest is not None and self.size < smallest:
            broken.append(f"it has {self.size:,} people, fewer than min_size ({smallest:,})")
        least = 0 if max_drop is None else math.ceil(round(before * (1 - max_drop), 6))  # 1 - 0.7 is not 0.3 (float)
        if self.size < least:
            broken.append(
                f"its size fell from {before:,} to {self.size:,} people, by {(before - self.size) / before:.0%}: "
                f"max_drop_ratio ({max_drop}) allows no fewer than {least:,}"
            )
        return broken


def _read_and_check_audience(
    api: Api, audience_id: str, history: Sequence[HistoryRow], settings: StatusSettings
) -> tuple[AudienceState | None, str]:
    """Read an audience, log its state, and return it with the text of its problem ("" for none).

    The state is None if the audience cannot be read.
    """
    try:
        audience = require_audience(api, audience_id)
        used = find_used_list(api, audience)
    except ExportError as error:
        # A 403 may be about this audience alone.
        if isinstance(error, StoppedError) or (isinstance(error, AccountError) and error.status != 403):
            raise
        problem = f"audience {audience_id} cannot be read: {error}"
        log.warning("%s", problem)
        return None, problem
    state = AudienceState(
        audience_id=audience.id,
        audience_name=audience.name,
        status="REMOVED" if audience.is_removed else audience.status.upper(),
        size=audience.size,
        customer_list_id=audience.customer_list_id,
        customer_list_status=used.status if used else "",
        members=find_known_member_count(history, audience.id, used.id) if used else None,
    )
    broken = state.describe_broken_limits(settings, previous_size=find_last_matched_size(history, audience_id))
    level = logging.INFO if state.condition is AudienceCondition.READY and not broken else logging.WARNING
    log.log(level, "%s: %s", audience.label, state.summary)
    return state, f"{audience.label}: {' and '.join(broken)}. {state.summary}" if broken else ""
