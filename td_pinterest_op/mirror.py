"""The mirror's steps that SQL cannot take: `py>: td_pinterest_op.mirror.Mirror.look` and `.send` in a .dig file.

`look` reads the audience on Pinterest, and which identifiers the day's people have. `send` is an export. First it makes
sure that its plan is still the newest in the ledger, and that the ledger's customer list is still behind the audience.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import secrets
from collections.abc import Iterator
from typing import Any

from td_pinterest_op import connect
from td_pinterest_op.audiences.follow_up import REMOVED, State, label_of, state_of
from td_pinterest_op.errors import AudienceError, LimitError, SettingsError
from td_pinterest_op.export import export
from td_pinterest_op.records.columns import identifier_columns
from td_pinterest_op.records.identifier_types import EMAIL, LISTED
from td_pinterest_op.settings.parse import parse_status
from td_pinterest_op.stats import RequestCounts
from td_pinterest_op.timing import SYSTEM, Timing
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Job, run_query
from td_pinterest_op.treasure_data.result import JobResult
from td_pinterest_op.warehouse.mirror import newest_plan, people_columns
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.run import task_process

_LEDGER = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
# The settings of an export that say where it goes.
_SHARED = ("type", "client_id", "client_secret", "refresh_token", "ad_account_id", "audience_id")


class Mirror:
    """The steps of pinterest_mirror.dig that talk to Pinterest."""

    def look(self) -> None:
        """Stores under `pinterest_mirror` what `look_at` returns. Raises ExportError."""
        with task_process():
            workflow.store(pinterest_mirror=look_at(workflow.current_task(), SYSTEM))

    def send(self) -> None:
        """Stores the statistics under `pinterest`. Raises ExportError, and sends nothing that is out of date."""
        with task_process():
            workflow.store(pinterest=send(workflow.current_task(), SYSTEM))


def look_at(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """The audience's name and list, and the day's columns as SQL; `column` names the digests for a send.

    The task's `result_settings` have `audience_id`; its other parameter is `database`. Raises ExportError when the
    audience cannot be mirrored, or the people's columns are not identifiers of type text.
    """
    with _connected(task, task.params.get("result_settings"), timing) as (services, audience_id):
        state = _usable(state_of(services.pinterest, audience_id))
        job = _run(services.treasure_data, task, people_columns(audience_id))
    # Treasure Data adds `time` to every table.
    schema = tuple((name, type_) for name, type_ in job.schema if name.lower() != "time")
    columns = identifier_columns(dataclasses.replace(job, schema=schema), {})
    types = [column.type.name for column in columns]
    return {
        "audience_id": audience_id,
        "audience_name": state.audience_name,
        "customer_list_id": state.customer_list_id,
        "column": types[0] if len(types) == 1 else EMAIL.name,
        "columns": {name: _as_sql(name, types) for name in LISTED},
    }


def send(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """Export a plan's rows; returns the statistics.

    Beside those of an export, the task's parameters are `plan` and `ledger`, and `customer_list_id` for a plan by
    differences. Raises ExportError, before anything is sent, when a later plan is in the ledger or another list is
    behind the audience.
    """
    plan, ledger = _plan(task)
    expected = str(task.params.get("customer_list_id") or "").strip()
    given = task.params.get("result_settings")
    shared = {name: value for name, value in given.items() if name in _SHARED} if isinstance(given, dict) else given
    with _connected(task, shared, timing) as (services, audience_id):
        newest = _number(services.treasure_data, task, newest_plan(ledger, audience_id))
        if newest != plan:
            raise LimitError(
                f"plan {plan} of audience {audience_id} is out of date: {newest} is the newest in {ledger}. Nothing of "
                "it is sent any more. Run the workflow again, from its beginning, if its last run failed"
            )
        state = _usable(state_of(services.pinterest, audience_id))
    if expected and state.customer_list_id != expected:
        raise _moved(state, expected)
    # A plan is a task of its own: a list that another plan of this session has filled is not this plan's.
    named = {**task.params, "task_name": f"{task.params.get('task_name')} plan {plan}"}
    stored = export(dataclasses.replace(task, params=named), timing)
    if expected and stored["customer_list_id"] != expected:
        raise _moved(state, expected)
    return stored


@contextlib.contextmanager
def _connected(task: workflow.Task, raw: object, timing: Timing) -> Iterator[tuple[connect.Services, str]]:
    """Both services, and the id of the audience that the settings name."""
    settings = parse_status(raw, environ=task.environ)
    endpoints = connect.endpoints(task.environ)
    with connect.services(task, settings, endpoints=endpoints, timing=timing, count=RequestCounts()) as services:
        yield services, settings.audience_ids[0]


def _usable(state: State) -> State:
    if state.status == REMOVED:
        raise AudienceError(
            f"{label_of(state)} was removed. Nothing was sent. Create a new one, and name it in config/pinterest.yml"
        )
    if state.customer_list_id is None:
        raise AudienceError(
            f"{label_of(state)} has no customer list behind it. Nothing was sent. Name another audience"
        )
    return state


def _moved(state: State, expected: str) -> AudienceError:
    return AudienceError(
        f"{label_of(state)} does not stand on customer list {expected} any more, "
        "which the mirror fills: somebody else moved it. Set rebuild: true in config/mirror.yml for one run to replace "
        "its people and begin anew"
    )


def _as_sql(name: str, types: list[str]) -> str:
    return f'"{name}"' if name in types else "CAST(NULL AS varchar)"


def _plan(task: workflow.Task) -> tuple[int, str]:
    plan, ledger = str(task.params.get("plan")), str(task.params.get("ledger"))
    if not plan.isdecimal() or not _LEDGER.fullmatch(ledger):
        raise SettingsError("a plan is sent with its number as `plan` and the name of the ledger's table as `ledger`")
    return int(plan), ledger


def _run(td: TreasureData, task: workflow.Task, query: str) -> Job:
    """The job of a query that is issued anew each time: an earlier result would be out of date."""
    source = workflow.source(task.asking(query))
    anew = dataclasses.replace(source, domain_key=f"td_pinterest_op-{secrets.token_hex(16)}")
    return run_query(td, anew)


def _number(td: TreasureData, task: workflow.Task, query: str) -> int:
    (block,) = JobResult(td, _run(td, task, query))
    return int(block[0][0])
