"""The mirror's steps that SQL cannot take: `py>: td_pinterest_op.mirror.Mirror.look` and `.send` in a .dig file.

`look` reads the audience on Pinterest, and which identifiers the day's people have. `send` is an export. Before it,
after every wait and at its end it makes sure that its plan is still the newest in the ledger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, cast

from td_pinterest_op.audiences.actions import Add, Remove, Replace, action_of
from td_pinterest_op.audiences.follow_up import REMOVED, State, state_of
from td_pinterest_op.errors import AudienceError, ExportError, JobError, LimitError, SettingsError
from td_pinterest_op.export import export
from td_pinterest_op.identifiers.types import EMAIL
from td_pinterest_op.mirroring.sql import newest_plan, overtaken, people_columns
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.columns import identifier_columns
from td_pinterest_op.redaction.format import escaped, printable
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.parse import parse_status
from td_pinterest_op.settings.structures import CONTROL, Control
from td_pinterest_op.settings.types import WrongValueError
from td_pinterest_op.treasure_data.api import TreasureData, path_of
from td_pinterest_op.treasure_data.job import Job, Source, job_of, run_statement
from td_pinterest_op.treasure_data.result import JobResult
from td_pinterest_op.withholding.sql import LISTS, columns_of, control_of
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.process import task_process
from td_pinterest_op.workflow.services import Services, connect

log = logging.getLogger(__name__)

_LEDGER = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
_STAGE = re.compile(r"[a-z0-9_]+")
# The settings of an export that say where it goes.
_SHARED = ("type", "client_id", "client_secret", "refresh_token", "ad_account_id", "audience_id")
# What the ledger calls the changes of an action.
_OPS = {Add.action: "join", Remove.action: "leave", Replace.action: "replacing"}
# How long a plan that was the newest is taken to be so, in seconds, while nothing is waited for.
_HOLDS = 10.0
# The tables of a session, and the age in seconds at which nobody uses them any more.
_STAGED = "people|digests|changes|persons|listed|suppressed|consented"
_LEFT_BEHIND = 6 * 3600


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
    """The audience's name, list and people, and the day's columns as SQL; `column` names the digests for a send.

    The task's `result_settings` have `audience_id`; its other parameters are `database`, `stage` (the end of the names
    of the session's tables), `audience_name` (which the audience must have, unless it is blank), `withholds` (whether
    there are lists or a control group, whose SQL is then returned too), `control`, and for the history `suppress_job`
    and `consent_job`, which are returned as they are. Raises ExportError when the audience cannot be mirrored, or the
    people's columns are not identifiers of type text.
    """
    stage = str(task.params.get("stage"))
    if not _STAGE.fullmatch(stage):
        raise SettingsError("a look needs `stage`, the end of the names of the session's tables")
    withholds = str(task.params.get("withholds", "false")).lower() != "false"
    control = _control(task.params.get("control"))
    with _connecting(task, task.params.get("result_settings"), timing) as (services, audience_id):
        name = str(task.params.get("audience_name") or "")
        state = _usable(state_of(services.pinterest, audience_id), name=name)
        behind = services.pinterest.customer_list(state.customer_list_id or "")
        _drop_left_behind(services.treasure_data, task, audience_id, stage=stage, now=timing.wall())
        job = _columns(services.treasure_data, task, f"pinterest_people_{stage}")
        lists = _lists(services.treasure_data, task, stage) if withholds else {}
    by = control.by if control else None
    types = [column.type.name for column in identifier_columns(job, {}, by=by)]
    if control and not by and len(types) > 1:
        raise JobError(
            f"{job.label} has several columns, and the control group needs one for its key: select it in "
            "queries/people.sql, and name it in `control` of config/mirror.yml as `by`"
        )
    key = f'"{by}"' if by else None
    withheld = {"control": control_of(control, key), **lists} if withholds else {}
    return {
        "audience_id": audience_id,
        "audience_name": state.audience_name,
        "people": state.size or (behind and behind.uploaded) or 0,
        "customer_list_id": state.customer_list_id,
        "column": types[0] if len(types) == 1 else EMAIL.name,
        "columns": columns_of(types, key=key),
        **{job: task.params.get(job) for job in ("suppress_job", "consent_job")},
        **withheld,
    }


def send(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """Export a plan's rows; returns the statistics.

    Beside those of an export, the task's parameters are `plan` and `ledger`, and `customer_list_id` for a plan by
    differences. Raises ExportError when a later plan is in the ledger, or another list is behind the audience. Nothing
    is sent then; what was sent before the later plan was seen is written to the ledger, as a plan that is not settled.
    """
    plan, ledger = str(task.params.get("plan")), str(task.params.get("ledger"))
    if not plan.isdecimal() or not _LEDGER.fullmatch(ledger):
        raise SettingsError("a plan is sent with its number as `plan` and the name of the ledger's table as `ledger`")
    expected = str(task.params.get("customer_list_id") or "").strip()
    given = task.params.get("result_settings")
    shared = {name: value for name, value in given.items() if name in _SHARED} if isinstance(given, dict) else given
    # A plan is a task of its own: a list that another plan of this session has filled is not this plan's.
    named = {**task.params, "task_name": f"{task.params.get('task_name')} plan {plan}"}
    with _connecting(task, shared, timing) as (services, audience_id):
        td, clock = services.treasure_data, timing.monotonic
        watch = _Watch(td=td, task=task, plan=int(plan), ledger=ledger, audience_id=audience_id, clock=clock)
        watch.check()
        state = _usable(state_of(services.pinterest, audience_id))
        if expected and state.customer_list_id != expected:
            raise _moved(state, expected)
        with watch.noting(_OPS.get(action_of(given) or Add.action, "join")):
            stored = export(dataclasses.replace(task, params=named), timing, on_client=watch.over)
            watch.check()
            if expected and stored["customer_list_id"] != expected:
                raise _moved(state, expected)
    # Whom the day withholds, its plan does not hold.
    del stored["records"]["withheld"]
    return stored


@dataclass(kw_only=True)
class _Watch:
    """Whether a plan is still the newest, asked before each write for which the last answer is too old."""

    td: TreasureData
    task: workflow.Task
    plan: int
    ledger: str
    audience_id: str
    clock: Callable[[], float]
    client: Client | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _holds_until: float = -math.inf
    _waits: int = 0
    _wrote: bool = False

    def over(self, client: Client) -> None:
        """Watch over the writes of this client."""
        self.client, client.before_write = client, self._before_write

    def _before_write(self) -> None:
        with self._lock:
            if self._waited() != self._waits or self.clock() > self._holds_until:
                self.check()
            self._wrote = True

    def check(self) -> None:
        """Raises LimitError if a later plan is in the ledger."""
        waited, asked_at = self._waited(), self.clock()
        newest = self._newest()
        if newest != self.plan:
            raise LimitError(
                f"plan {self.plan} of audience {self.audience_id} is out of date: {newest} is the newest in "
                f"{self.ledger}. Nothing of it is sent any more. Run the workflow again, from its beginning, if its "
                "last run failed"
            )
        self._waits, self._holds_until = waited, asked_at + _HOLDS

    @contextlib.contextmanager
    def noting(self, op: str) -> Iterator[None]:
        """If the block fails, and there is a newer plan: write to the ledger what it may have sent meanwhile."""
        try:
            yield
        except ExportError as error:
            # There is no time left after a signal.
            if self._wrote and not shutdown.requested():
                self._note(op, error)
            raise

    def _note(self, op: str, error: ExportError) -> None:
        try:
            if self._newest() == self.plan:
                return
            run_statement(self.td, _anew(self.task, overtaken(self.ledger, self.audience_id, self.plan, op)))
        except ExportError as failure:
            error.extended(
                f". What it sent beside a later plan could not be written to the ledger ({failure}): "
                "set rebuild: true in config/mirror.yml for one run"
            )
        else:
            error.extended(". The ledger has what it sent beside the later plan: the next run corrects it")

    def _waited(self) -> int:
        return self.client.rate_limiter.waits if self.client else 0

    def _newest(self) -> int:
        job = job_of(self.td, _anew(self.task, newest_plan(self.ledger, self.audience_id, self.plan)))
        (block,) = JobResult(self.td, job)
        return int(block[0][0])


@contextlib.contextmanager
def _connecting(task: workflow.Task, raw: object, timing: Timing) -> Iterator[tuple[Services, str]]:
    """Both services, and the id of the audience that the settings name."""
    settings = parse_status(raw, environ=task.environ)
    with connect(task, settings, timing=timing) as services:
        yield services, settings.audience_ids[0]


def _usable(state: State, *, name: str = "") -> State:
    if state.status == REMOVED:
        raise AudienceError(
            f"{state.label} was removed. Nothing was sent. Create a new one, and name it in config/mirror.yml"
        )
    if state.customer_list_id is None:
        raise AudienceError(f"{state.label} has no customer list behind it. Nothing was sent. Name another audience")
    if name.strip() and state.audience_name != name:
        raise AudienceError(
            f'{state.label} is not "{escaped(name)}". Nothing was sent. '
            "Check audience_id and audience_name in config/mirror.yml"
        )
    return state


def _moved(state: State, expected: str) -> AudienceError:
    return AudienceError(
        f"{state.label} does not stand on customer list {expected} any more, "
        "which the mirror fills: somebody else moved it. Set rebuild: true in config/mirror.yml for one run to replace "
        "its people and begin anew"
    )


def _control(given: object) -> Control | None:
    if given is None or given == "":
        return None
    try:
        return cast(Control, CONTROL.read(given, lambda value: printable(str(value))))
    except WrongValueError as error:
        raise SettingsError(f"control in config/mirror.yml: {error}. It is {CONTROL.allowed}") from None


def _columns(td: TreasureData, task: workflow.Task, table: str) -> Job:
    """A job of no rows with a table's columns."""
    job = job_of(td, _anew(task, people_columns(table)))
    # Treasure Data adds `time` to every table.
    schema = tuple((name, type_) for name, type_ in job.schema if name.lower() != "time")
    return dataclasses.replace(job, schema=schema)


def _lists(td: TreasureData, task: workflow.Task, stage: str) -> dict[str, Any]:
    """By list its columns as SQL. Raises ExportError, which names the list."""
    found = {}
    for name in LISTS:
        try:
            columns = identifier_columns(_columns(td, task, f"pinterest_{name}_{stage}"), {})
        except ExportError as error:
            raise error.extended(f" [queries/{name}.sql]") from None
        found[name] = columns_of([column.type.name for column in columns])
    return found


def _drop_left_behind(td: TreasureData, task: workflow.Task, audience_id: str, *, stage: str, now: float) -> None:
    """Drop what earlier sessions of this mirror left, such as the people of a day that was given up."""
    database = workflow.source(task.asking("SELECT 1")).database
    ours = re.compile(rf"pinterest_({_STAGED})_{audience_id}(_[a-z0-9]+)?")
    # As Treasure Data writes the time at which a table was made.
    before = datetime.fromtimestamp(now - _LEFT_BEHIND, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    try:
        _, content = td.call("GET", path_of("table", "list", database))
        for table in content.get("tables", []):
            name = str(table.get("name"))
            is_old = "" < str(table.get("created_at") or "") < before
            if is_old and ours.fullmatch(name) and not name.endswith(f"_{stage}"):
                td.call("POST", path_of("table", "delete", database, name))
    except ExportError as error:
        log.warning("tables of earlier sessions stay: %s", error)


def _anew(task: workflow.Task, query: str) -> Source:
    """A query that is issued anew each time: an earlier result would be out of date."""
    source = workflow.source(task.asking(query))
    return dataclasses.replace(source, domain_key=f"td_pinterest_op-{secrets.token_hex(16)}")
