"""Days of pinterest_mirror.dig on a fake clock: the shipped files, run by tests/dig, with `py>` steps in this process.

A day may die at any of its steps: before it, midway, or after it was done but before digdag knew. It is then resumed
(steps that had succeeded are skipped, as `digdag retry --resume` does), begun anew, or given up.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import time as real_time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import mock

from td_pinterest_op import mirror
from td_pinterest_op.errors import ExportError
from td_pinterest_op.workflow.task import Task
from tests import dig
from tests.clock import FakeTime
from tests.dig import engine, operators
from tests.dig.config import DigError
from tests.dig.engine import OPERATORS
from tests.dig.operators import Call, Outcome
from tests.dig.session import session_params
from tests.emulators.environment import SECRETS, environment
from tests.emulators.pinterest import AD_ACCOUNT_ID, Pinterest, serve_pinterest
from tests.emulators.pinterest.faults import Answer, Fault, When
from tests.emulators.td import TreasureData, serve_td
from tests.exporting import digest

WORKFLOWS = Path(__file__).parent.parent.parent / "workflows"
DATABASE, LEDGER = "sandbox", "pinterest_ledger"
BEGIN = datetime(2026, 11, 25, tzinfo=timezone.utc)
# Records a request, so that a send of few people takes several.
BATCH = 7
# Kept here: a session that runs while another one does finds that one's stand-in in its place.
_TD = OPERATORS["td"]
_STEPS = {
    "td_pinterest_op.mirror.Mirror.look": ("pinterest_mirror", mirror.look_at),
    "td_pinterest_op.mirror.Mirror.send": ("pinterest", mirror.send),
}


class DiedError(DigError):
    """The machine is gone: the step that was under way and all that would follow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """Where an attempt dies: at the `step`-th td> or py> task, counted from 1; `how` is before, midway or after."""

    step: int
    how: str
    seed: int = 0


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt of a session. `done`: what each step that succeeded left, by task name, for an attempt to resume."""

    result: dig.Result
    steps: int
    done: dict[str, Outcome]

    @property
    def succeeded(self) -> bool:
        return self.result.status == "success"

    @property
    def said(self) -> str:
        return self.result.log + (self.result.error or "")


@dataclass(slots=True, kw_only=True)
class World:
    """A project folder with the shipped workflows, and both emulators, on one clock."""

    project: Path
    td: TreasureData
    pinterest: Pinterest
    time: FakeTime
    environ: dict[str, str]
    batch: int = BATCH
    # Settings of every send, beside its own.
    settings: dict[str, object] = field(default_factory=dict)

    def audience(self, members: Collection[str] = (), *, name: str = "Newsletter") -> str:
        """Make an audience with members (their plain identifiers), and name it in config/mirror.yml."""
        behind = self.pinterest.add_list(f"{name} list", members=[digest(member) for member in members])
        audience_id = self.pinterest.add_audience(name, customer_list_id=behind.id).id
        self.configure("pinterest.yml", ad_account_id=f'"{AD_ACCOUNT_ID}"')
        self.configure(audience_id=f'"{audience_id}"', audience_name=name, begin="replace")
        return audience_id

    def configure(self, file: str = "mirror.yml", **values: object) -> None:
        """Set keys in a file of config/."""
        path = self.project / "config" / file
        lines = path.read_text().splitlines()
        for key, value in values.items():
            lines = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in lines]
        path.write_text("\n".join(lines) + "\n")

    def wants(self, people: Collection[str], *, column: str = "email") -> None:
        """From now on the user's query finds these people."""
        rows = [{column: person, "opted_in": True} for person in people]
        self.td.create(DATABASE, "people", [*rows, {column: "left@shop.example", "opted_in": False}])
        (self.project / "queries" / "people.sql").write_text(f"SELECT {column} FROM people WHERE opted_in\n")

    def members(self, audience_id: str) -> set[str]:
        return set(self.pinterest.members_of_audience(audience_id))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query in DuckDB's SQL, for looking from outside."""
        return self.td.warehouse.session(DATABASE, scheduled_time=0, now=0).execute(query).fetchall()

    def run(
        self,
        day: int,
        *,
        workflow: str = "pinterest_mirror",
        death: Death | None = None,
        resume: Attempt | None = None,
        session: str = "",
    ) -> Attempt:
        """One attempt of a day's session; the clock goes on to that day, and never back."""
        begin = BEGIN + timedelta(days=day)
        self.time.sleep(begin.timestamp() + 60 - self.time.now())
        steps = _Steps(world=self, death=death, done=dict(resume.done) if resume else {})
        with steps.in_place(session or f"session of day {day}"):
            result = dig.run(
                self.project / f"{workflow}.dig",
                secrets={name: self.environ[variable] for name, variable in SECRETS.items()},
                environ=self.environ,
                session_time=begin,
                sleep=lambda _: real_time.sleep(0.01),
            )
        # What was planned to fail in this attempt does not fail in the next one.
        self.pinterest.faults.clear()
        return Attempt(result=result, steps=steps.count, done=steps.done)

    @contextlib.contextmanager
    def sent(self) -> Iterator[Counter[str]]:
        """How many records are sent within the block, by operation: ADD (also into a new list), REMOVE."""
        counts: Counter[str] = Counter()
        begin = len(self.pinterest.calls.all())
        yield counts
        for call in self.pinterest.calls.all()[begin:]:
            if call.records:
                counts[call.operation_type or "ADD"] += call.records


@dataclass(slots=True, kw_only=True)
class _Steps:
    """Stands in for the operators td and py: counts, dies, and remembers what succeeded."""

    world: World
    death: Death | None
    done: dict[str, Outcome]
    count: int = 0
    dead: bool = False

    @contextlib.contextmanager
    def in_place(self, session_uuid: str) -> Iterator[None]:
        def params(*given: Any) -> dict[str, Any]:
            return session_params(*given) | {"session_uuid": session_uuid}

        replaced = {"py": self._around(self._py), "td": self._around(_TD)}
        with mock.patch.dict(engine.OPERATORS, replaced), mock.patch("tests.dig.session_params", params):
            yield

    def _around(self, operate: Callable[[Call], Outcome]) -> Callable[[Call], Outcome]:
        def step(call: Call) -> Outcome:
            if self.dead:
                raise DiedError("dead")
            if call.name in self.done:
                return self.done[call.name]
            self.count += 1
            death = self.death if self.death and self.death.step == self.count else None
            if death:
                self.dead = True
                self._die(death, operate, call)
            outcome = operate(call)
            self.done[call.name] = outcome
            return outcome

        return step

    def _die(self, death: Death, operate: Callable[[Call], Outcome], call: Call) -> None:
        dice = random.Random(death.seed)
        if death.how == "midway" and operate == self._py:
            answer = Fault(
                effect=Answer(status=400, code=1, message="gone"),
                when=When.AFTER if dice.random() < 0.5 else When.BEFORE,
                method="PATCH|POST",
                path="/ad_accounts",
                after=dice.randrange(6),
                times=None,
            )
            self.world.pinterest.faults.add(answer)
        if death.how != "before":
            with contextlib.suppress(DigError):
                operate(call)
        if death.how == "midway" and call.name.endswith(("+plan", "+compact+compact", "_compact+compact")):
            self._lose_rows(dice)
        raise DiedError(f"died {death.how} {call.name}")

    def _lose_rows(self, dice: random.Random) -> None:
        """An INSERT that broke off: part of the rows of the newest plan never came, perhaps its proof as well."""
        part = dice.choice(["digest IS NULL OR hash(digest) % 2 = 0", "hash(digest) % 3 = 0", "true"])
        newest = f"(SELECT max(plan) FROM {LEDGER})"
        settled = f"(SELECT plan FROM {LEDGER} WHERE op IN ('settled', 'replaced', 'compacted'))"
        self.world.sql(f"DELETE FROM {LEDGER} WHERE plan = {newest} AND plan NOT IN {settled} AND ({part})")

    def _py(self, call: Call) -> Outcome:
        if call.params["_command"] == "td_pinterest_op.history.Failed":
            return Outcome()
        name, step = _STEPS[call.params["_command"]]
        params = dict(call.params)
        if "action" in params["result_settings"]:
            batch = {"limit_records_per_request": self.world.batch}
            params["result_settings"] = params["result_settings"] | batch | self.world.settings
        task = Task(params=params, environ=self.world.environ | operators._environment(call))
        try:
            return Outcome(store={name: step(task, self.world.time.timing)})
        except ExportError as error:
            raise DigError(str(error)) from None


@contextlib.contextmanager
def world(folder: Path, *, batch: int = BATCH) -> Iterator[World]:
    """A copy of the shipped workflows in `folder`, between the emulators."""
    time = FakeTime(now=BEGIN.timestamp())
    # The others are read anew by each run.
    others = [path.name for path in WORKFLOWS.glob("*.dig") if not path.name.startswith("pinterest_mirror")]
    project = Path(shutil.copytree(WORKFLOWS, folder / "project", ignore=shutil.ignore_patterns(*others)))
    workflow = project / "config" / "workflow.yml"
    workflow.write_text(workflow.read_text().replace("keep: true", "keep: false"))
    emulated = Pinterest(clock=time.now, monotonic=time.now)
    with (
        serve_td(state=TreasureData(clock=time.now)) as (td, td_url),
        serve_pinterest(state=emulated) as (pinterest, endpoint),
    ):
        environ = environment(td_url=td_url, pinterest_endpoint=endpoint)
        yield World(project=project, td=td, pinterest=pinterest, time=time, environ=environ, batch=batch)
