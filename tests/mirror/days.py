"""Days of a mirror on a fake clock, by the operator in this process.

A run may die at any of its steps, which are the statements that it issues and the writes to Pinterest: before the step,
midway, or after it was done but before the operator knew. It is then run again in its session, or given up.
"""

import contextlib
import logging
import random
import re
import time as real_time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

from td_pinterest_op.errors import ExportError, StoppedError
from td_pinterest_op.exporting.export_run import export_task
from td_pinterest_op.http.transport import Transport
from td_pinterest_op.task_runtime.task import Task
from tests.clock import FakeTime
from tests.emulators.environment import environment
from tests.emulators.pinterest import AD_ACCOUNT_ID, Pinterest, serve_pinterest
from tests.emulators.td import JobFault, TreasureData, serve_td
from tests.exporting import digest

DATABASE = "sandbox"
LEDGER = "pinterest_ledger"
BEGIN = datetime(2026, 11, 25, tzinfo=timezone.utc)
# Records per request, so few that a small send takes several.
BATCH = 7
PEOPLE = "SELECT email FROM people"
# The last statements of a day with a compaction.
COMPACTION = (
    "write a row for each member into the ledger",
    "count them",
    "let them replace the older rows",
    "delete void rows from the ledger",
)


class DiedError(StoppedError):
    """The simulated death of the process, which ends all that it does."""


@dataclass(frozen=True, kw_only=True)
class Death:
    """Where a run dies: at the `step`-th statement or write, counted from 1; `how` is before, midway or after."""

    step: int
    how: str
    seed: int = 0


@dataclass(kw_only=True)
class Attempt:
    """One run. `stored`: its statistics; empty, with the `error`, if it failed. `output`: the log and the error.

    `sent`: the numbers of records by operation: ADD (also into a new list), REMOVE.
    """

    output: str = ""
    steps: Sequence[str]
    sent: Counter[str] = field(default_factory=Counter)
    stored: dict[str, Any] = field(default_factory=dict)
    error: ExportError | None = None

    @property
    def succeeded(self) -> bool:
        return self.error is None


class WarehouseTime(FakeTime):
    """A clock that can stand still for the warehouse. `held`: the warehouse's time, None for that of everybody."""

    held: float | None = None

    def warehouse_now(self) -> float:
        return self.now() if self.held is None else self.held


@dataclass(kw_only=True)
class World:
    """Both emulators, on one clock. `settings` and `task`: what a mirror's task says."""

    td: TreasureData
    pinterest: Pinterest
    time: "WarehouseTime"
    environ: dict[str, str]
    settings: dict[str, object]
    task: dict[str, object]

    def audience(self, members: Collection[str] = (), *, name: str = "Newsletter") -> str:
        """Create an audience with members (plain identifiers) and let the mirror use it."""
        behind = self.pinterest.add_list(f"{name} list", members=[digest(member) for member in members])
        audience_id = self.pinterest.add_audience(name, customer_list_id=behind.id).id
        self.settings |= {"audience_id": audience_id, "expected_audience_name": name, "begin": "replace"}
        return audience_id

    def set_people(self, people: Collection[str], *, column: str = "email") -> None:
        """Set the people that the query finds."""
        rows = [{column: person, "opted_in": 1} for person in people]
        self.td.create(DATABASE, "people", [*rows, {column: "left@shop.example", "opted_in": 0}])
        self.task["query"] = f"SELECT {column} FROM people WHERE opted_in = 1"

    def members(self, audience_id: str = "") -> set[str]:
        """Return the digests in an audience, by default the one of the settings."""
        return set(self.pinterest.members_of_audience(audience_id or str(self.settings["audience_id"])))

    def count_rows(self) -> int:
        """Count the rows of the ledger."""
        return int(self.sql(f"SELECT count(*) FROM {LEDGER}")[0][0])

    def follow(self, day: float, people: Collection[str], **given: Any) -> Attempt:
        """Run the mirror on a day on which the query finds these people: they are in the audience then, and no others.

        `given`: see `run`.
        """
        self.set_people(people)
        attempt = self.run(day, **given)
        assert attempt.succeeded, attempt.output[-3000:]
        assert self.members() == set(map(digest, people))
        return attempt

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query in DuckDB's SQL and return its rows."""
        return self.td.warehouse.session(DATABASE, scheduled_time=0, now=0).execute(query).fetchall()

    def tables(self) -> set[str]:
        return {table.name for table in self.td.warehouse.tables(DATABASE)}

    def run(self, day: float, *, death: Death | None = None, session: str = "", **settings: Any) -> Attempt:
        """Run the mirror on a day, to which the clock advances. `settings` apply to this run only."""
        begin = BEGIN + timedelta(days=day)
        self.time.sleep(begin.timestamp() + 60 - self.time.now())
        name = session or f"session of day {day}"
        params = {"session_time": begin.isoformat(), "session_uuid": name, "task_name": f"+mirror {session}+export"}
        given = {name: value for name, value in {**self.settings, **settings}.items() if value is not None}
        task = Task(params={**params, **self.task, "result_settings": given}, environ=self.environ)
        steps = _Steps(world=self, death=death)
        attempt = Attempt(steps=steps.names)
        calls = len(self.pinterest.calls.all())
        with record_log() as said, steps.patch_transport():
            try:
                attempt.stored = export_task(task, self.time.timing)
            except ExportError as error:
                attempt.error = error
        attempt.output = "\n".join([*said, str(attempt.error or "")])
        for call in self.pinterest.calls.all()[calls:]:
            if call.records:
                attempt.sent[call.operation_type or "ADD"] += call.records
        # Faults of this run do not apply to the next one.
        self.pinterest.faults.clear()
        self.td.job_faults.clear()
        return attempt


@dataclass(kw_only=True)
class _Steps:
    """Replaces the transports to both services: counts the steps of a run, and simulates its death."""

    world: World
    death: Death | None
    names: list[str] = field(default_factory=list)
    dead: bool = False

    @contextlib.contextmanager
    def patch_transport(self) -> Iterator[None]:
        opening = Transport.open_response
        send = Transport.send

        def open_(transport: Transport, method: str, url: str, **given: Any) -> Any:
            body = given.get("body") or b""
            step = "/job/issue/" in url
            return self._do(purpose_of(body) if step else "", lambda: opening(transport, method, url, **given))

        def send_(transport: Transport, method: str, url: str, **given: Any) -> Any:
            step = method in ("POST", "PATCH") and "/ad_accounts/" in url
            return self._do(f"{method} {url}" if step else "", lambda: send(transport, method, url, **given))

        with mock.patch.object(Transport, "open_response", open_), mock.patch.object(Transport, "send", send_):
            yield

    def _do(self, step: str, request: Callable[[], Any]) -> Any:
        if self.dead:
            raise DiedError("dead")
        if step:
            self.names.append(step)
            if self.death and self.death.step == len(self.names):
                self._die(self.death, step, request)
        return request()

    def _die(self, death: Death, step: str, request: Callable[[], Any]) -> None:
        is_statement = not step.startswith(("POST", "PATCH"))
        if death.how == "midway" and is_statement:
            self.world.td.job_faults.add(JobFault(share=random.Random(death.seed).choice([0, 0.3, 0.7, 1])))
        if death.how != "before":
            answer = request()
            if is_statement:
                with answer as response:
                    response.read()
                while not self.world.td.jobs.all()[0].finished:
                    real_time.sleep(0.002)
        self.dead = True
        raise DiedError(f"died {death.how} {step}")


def purpose_of(body: bytes) -> str:
    """Return the purpose in the first line of a statement."""
    found = re.search(rb"td_pinterest_op%3A\+(?:mirror%3A\+)?([^%]+)", body)
    return found[1].decode().replace("+", " ") if found else "statement"


@contextlib.contextmanager
def run_at_statement(purpose: str, do: Callable[[], object]) -> Iterator[None]:
    """Call `do` right before the first statement for a purpose is issued."""
    left = [1]
    opening = Transport.open_response

    def opened(transport: Transport, method: str, url: str, **given: Any) -> Any:
        if "/job/issue/" in url and purpose_of(given.get("body") or b"").startswith(purpose):
            left[0] -= 1
            if left[0] == 0:
                do()
        return opening(transport, method, url, **given)

    with mock.patch.object(Transport, "open_response", opened):
        yield


@contextlib.contextmanager
def run_at_write(number: int, do: Callable[[], object]) -> Iterator[None]:
    """Call `do` right before the `number`-th write (from 1) to an ad account is sent."""
    left = [number]
    send = Transport.send

    def sent(transport: Transport, method: str, url: str, **given: Any) -> Any:
        if method in ("POST", "PATCH") and "/ad_accounts/" in url:
            left[0] -= 1
            if left[0] == 0:
                do()
        return send(transport, method, url, **given)

    with mock.patch.object(Transport, "send", sent):
        yield


@contextlib.contextmanager
def record_log() -> Iterator[list[str]]:
    """Record the lines that the operator logs within the block."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log = logging.getLogger("td_pinterest_op")
    handler = Keep()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextlib.contextmanager
def world(
    *, batch: int = BATCH, account_type: Callable[..., TreasureData] = TreasureData, world_type: type[World] = World
) -> Iterator[World]:
    """Run both emulators, with a mirror's task. `account_type`: makes the account of Treasure Data on a clock."""
    time = WarehouseTime(now=BEGIN.timestamp())
    emulated = Pinterest(clock=time.now, monotonic=time.now)
    with (
        serve_td(state=account_type(clock=time.warehouse_now)) as (td, td_url),
        serve_pinterest(state=emulated) as (pinterest, endpoint),
    ):
        yield world_type(
            td=td,
            pinterest=pinterest,
            time=time,
            environ=environment(td_url=td_url, pinterest_endpoint=endpoint),
            settings={
                "type": "pinterest",
                "ad_account_id": AD_ACCOUNT_ID,
                "audience_type": "customer_list",
                "action": "mirror_current_audience",
                "ignore_invalid_records": True,
                "resend_days": 0,
                "limit_records_per_request": batch,
            },
            task={"database": DATABASE, "query": PEOPLE, "project_id": 1},
        )
