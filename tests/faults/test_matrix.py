"""The fault matrix: every fault (`table.rows`) at every step of every action (`moments.STEPS`).

In each cell: how the run ends, exactly who is in which list, no list or audience twice, figures that add up; and after
a rerun without faults all is as if there had been none. That nothing leaks is for the guard around all tests.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from td_pinterest_op.audiences.actions import ACTIONS, Add, Clear, Create, CreateActalike, Mirror, Remove, Replace
from td_pinterest_op.errors import MaybeAppliedError, UnavailableError
from td_pinterest_op.settings.table import ActionSpec
from tests.emulators.pinterest import Fault
from tests.exporting import digests, people
from tests.faults.conftest import Stage
from tests.faults.moments import (
    ALL,
    BATCH,
    BATCH_SIZE,
    BATCHES,
    STEPS,
    Moment,
    actions_by_way,
    batches,
    requests_of,
    steps_done,
)
from tests.faults.table import Often, Outcome, Row, rows

RECORDS = BATCHES * BATCH_SIZE
NEW = digests(RECORDS)
STAY = digests(5, first=1000)
ORDER = sorted(NEW)
NAME = "Shoppers"
PARTLY_SENT = re.compile(
    r"Partly sent: (\d+) of (\d+) records sent, (\d+) refused, (\d+) not sent"
    r"(?:, (\d+) unknown)?"
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    row: Row
    often: Often
    action: ActionSpec
    moment: Moment

    @property
    def end(self) -> Outcome:
        return self.row.end(self.often, self.action, self.moment)

    @property
    def poison(self) -> str | None:
        """The digest that Pinterest rejects, in the middle of the step's batch."""
        if self.row.effect is not None or self.moment not in batches(self.action):
            return None
        return ORDER[batches(self.action).index(self.moment) * BATCH_SIZE + BATCH_SIZE // 2]

    def __str__(self) -> str:
        return f"{self.row.fault}, {self.often.value}-{self.action.name.split('_')[0]}-{self.moment.value}"


def is_meaningful(row: Row, often: Often, action: ActionSpec, moment: Moment) -> bool:
    # A permanent fault ends a run at the first and last batch as at the middle one.
    repeats = often is Often.ALWAYS and moment in BATCH and moment is not Moment.MIDDLE_BATCH
    about_batches = row.at == BATCH and moment in batches(action)
    return (moment in (*row.at, Moment.ANY) or about_batches) and not repeats


def _actions(number: int, moment: Moment) -> Iterator[ActionSpec]:
    """Return the actions that have a fault at a step; `number` counts the faults at this step.

    All actions ask for a token and look before they write, by the same code: one of them meets the fault there. Later,
    one action of each way does. They take turns, so that each action meets faults at each of its moments.
    """
    if moment is Moment.ANY:
        yield from STEPS
    elif moment in (Moment.TOKEN, Moment.LOOK_UP):
        yield list(STEPS)[number % len(STEPS)]
    else:
        own = [[action for action in way if moment in STEPS[action]] for way in actions_by_way()]
        yield from (way[number % len(way)] for way in own if way)


def cells() -> Iterator[Cell]:
    """Yield all meaningful cells: steps that the action has and the fault applies to."""
    slow: set[tuple[str, Moment]] = set()
    faults_at: Counter[Moment] = Counter()
    for row in rows():
        faults_at.update(row.at)
        for often in row.ends:
            for moment in (Moment.ANY,) if often is Often.THIRD else ALL:
                for action in _actions(faults_at[moment], moment):
                    if not is_meaningful(row, often, action, moment) or (row.fault, moment) in slow:
                        continue
                    if row.slow:
                        slow.add((row.fault, moment))
                    yield Cell(row=row, often=often, action=action, moment=moment)


def test_matrix_covers_every_fault_and_every_step_of_every_action() -> None:
    held = list(cells())
    assert {row.fault for row in rows()} == {cell.row.fault for cell in held}
    pairs = {(action, moment) for action, steps in STEPS.items() for moment in steps}
    assert pairs == {(cell.action, cell.moment) for cell in held if cell.moment is not Moment.ANY}
    about = {(row.fault, moment) for row in rows() for moment in row.at if {*row.ends} != {Often.THIRD}}
    assert about == about & {(cell.row.fault, cell.moment) for cell in held}


def test_matrix_has_every_action_without_fault_tests_of_its_own() -> None:
    # tests/mirror and tests/e2e/test_actalike.py.
    assert {each.action for each in ACTIONS} - STEPS.keys() == {Mirror.action, CreateActalike.action}


@dataclass(frozen=True, kw_only=True)
class World:
    """The members of each list in the order of creation, and which list each audience uses."""

    lists: tuple[frozenset[str], ...]
    audiences: tuple[tuple[str, int], ...]


def initial_members(cell: Cell) -> frozenset[str]:
    return frozenset(STAY | NEW if cell.action is Remove.action else STAY)


def expected_world(cell: Cell, steps: frozenset[Moment], *, withheld: str | None) -> World:
    """Return the expected world after these steps; `withheld` is the record that Pinterest rejected."""
    moments = batches(cell.action)
    sent = {digest for digest in ORDER if moments and moments[ORDER.index(digest) // BATCH_SIZE] in steps} - {withheld}
    old = () if cell.action is Create.action else (initial_members(cell),)
    if cell.action in (Add.action, Remove.action):
        old = ((initial_members(cell) | sent) if cell.action is Add.action else (initial_members(cell) - sent),)
    lists = (*old, frozenset(sent)) if Moment.LIST_CREATION in steps else old
    there = Moment.AUDIENCE_CREATION in steps if cell.action is Create.action else Moment.REMOVAL not in steps
    stands = 1 if Moment.MOVE in steps else 0
    return World(lists=lists, audiences=((NAME, stands),) if there else ())


def read_world(stage: Stage) -> World:
    lists = stage.lists()
    order = [held.id for held in lists]
    return World(
        # Without the digest of a made-up value, which a list that is created empty may have.
        lists=tuple(frozenset(stage.pinterest.members(list_id) & (NEW | STAY)) for list_id in order),
        audiences=tuple(
            (audience.name, order.index(audience.rule["customer_list_id"])) for audience in stage.audiences()
        ),
    )


def prepare_cell(stage: Stage, cell: Cell) -> dict[str, Any]:
    """Create the audience of the cell and inject its fault; return the settings."""
    settings: dict[str, Any] = {
        "action": cell.action.name,
        "limit_records_per_request": BATCH_SIZE,
        # One at a time, so that the batches that were sent are known when a run ends at one of them.
        "max_in_flight": 1,
        "max_retry_wait_millis": 60_000,
        **cell.row.settings,
    }
    if cell.action is Create.action:
        settings |= {"audience_name": NAME}
    else:
        members = people(5, first=1000) + (people(RECORDS) if cell.action is Remove.action else [])
        settings |= {"audience_id": stage.audience(members, name=NAME)}
    # An empty list takes two requests if Pinterest demands records.
    stage.pinterest.switches.records_required = cell.action is not Clear.action
    if cell.poison:
        stage.pinterest.switches.poison = frozenset({cell.poison})
    if cell.row.effect is not None:
        at = requests_of(cell.action, cell.moment)
        every, times = {Often.ONCE: (1, 1), Often.THIRD: (3, None), Often.ALWAYS: (1, None)}[cell.often]
        stage.pinterest.inject(
            Fault(
                effect=cell.row.effect,
                when=cell.row.when,
                operation=at.operation,
                method=at.method,
                after=at.after,
                every=every,
                times=times,
            )
        )
    return settings


def check_figures(stage: Stage, stats: dict[str, Any], *, records: int, success: bool) -> None:
    figures = stats["records"]
    lines = stats["rows"]
    assert lines["read"] == lines["valid"] + lines["invalid"]
    assert lines["valid"] == figures["unique"] + figures["duplicate"]
    assert figures["unique"] in ((records,) if success else (0, records))
    assert not success or figures["unique"] == figures["sent"] + figures["refused"]
    assert len(stage.pinterest.calls.writes()) == stats["requests"]["sent"]
    assert stats["requests"]["failed"] >= stats["requests"]["retried"]


def check_partly_sent(said: re.Match[str], *, records: int, truly_in: int) -> None:
    """The message counts the records as the server does."""
    sent, total, refused, missing, unclear = (int(number or 0) for number in said.groups())
    assert records == total == sent + refused + missing + unclear
    assert sent <= truly_in <= sent + unclear, f"{truly_in} are in, the error says {said[0]}"


def statistics_of_failure(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    lines = [text for text in caplog.messages if text.startswith("statistics of the")]
    assert len(lines) == 1
    stats: dict[str, Any] = json.loads(lines[0].partition(": ")[2])
    return stats


@pytest.mark.parametrize("cell", [pytest.param(cell, id=str(cell)) for cell in cells()])
def test_fault_loses_and_duplicates_nothing_and_a_rerun_recovers(
    stage: Stage, cell: Cell, job_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = prepare_cell(stage, cell)
    records = RECORDS if batches(cell.action) else 0
    whole = frozenset(STEPS[cell.action])
    if cell.end is None:
        stats = stage.export(settings, job_id=job_id)
        check_figures(stage, stats, records=records, success=True)
        assert (1 if cell.poison else 0) == stats["records"]["refused"]
        assert expected_world(cell, whole, withheld=cell.poison) == read_world(stage)
    else:
        with pytest.raises(cell.end) as raised:
            stage.export(settings, job_id=job_id)
        assert cell.end is (UnavailableError if raised.type is MaybeAppliedError else raised.type)
        check_figures(stage, statistics_of_failure(caplog), records=records, success=False)
        steps = steps_done(cell.action, cell.moment, applied=cell.row.takes_effect)
        assert expected_world(cell, steps, withheld=cell.poison) == read_world(stage)
        if cell.moment in batches(cell.action):
            truly_in = BATCH_SIZE * len(steps.intersection(batches(cell.action))) - (cell.poison is not None)
            said = PARTLY_SENT.search(str(raised.value))
            assert said, "the error does not say how many records are in"
            check_partly_sent(said, records=RECORDS, truly_in=truly_in)
    stage.reset()
    before = read_world(stage)
    stage.export(settings, job_id=job_id)
    wanted = expected_world(cell, whole, withheld=None)
    is_made = cell.action is Create.action and before.lists
    if is_made or (cell.action is Replace.action and before.audiences == wanted.audiences):
        # A list in use is not filled again: somebody may have added people to it. Nor is one that an audience may have
        # used that is removed now, which only concerns creations.
        wanted = World(lists=(*before.lists, wanted.lists[-1]), audiences=((NAME, len(before.lists)),))
    assert read_world(stage) == wanted
