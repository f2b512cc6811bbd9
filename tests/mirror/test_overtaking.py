"""Two sessions of one mirror at the same time: the older one stops, and the days after it are right."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import pytest

from tests.campaigns import campaign
from tests.emulators.pinterest.faults import Answer, Fault
from tests.exporting import digests, people
from tests.mirror.days import BATCH, Attempt, World, run_at_statement, run_at_write

WAIT = 30
OUTCOME = (
    ". Nothing was sent of this plan",
    " of this plan. The ledger marks these people as unsettled, and the next run corrects them",
)


@contextlib.contextmanager
def run_during_wait(mirror_world: World, do: Callable[[], object], *, after: int) -> Iterator[None]:
    """Call `do` while the write after `after` others waits because of a 429."""
    mirror_world.pinterest.faults.add(
        Fault(effect=Answer(status=429, retry_after=WAIT), method="PATCH", path="/ad_accounts", after=after)
    )
    sleep = mirror_world.time.sleep
    slept = [0.0]

    def waiting(seconds: float) -> None:
        sleep(seconds)
        slept[0] += seconds if seconds == 1.0 else 0
        if slept[0] == 5:
            slept[0] = 6
            do()

    with mock.patch.object(mirror_world.time, "sleep", waiting):
        yield


@pytest.fixture(autouse=True)
def _settings(mirror_world: World) -> None:
    mirror_world.settings["max_leave_ratio"] = 1.0


def check_later_days(mirror_world: World) -> None:
    for day in (2, 3, 4):
        mirror_world.follow(day, people(200, first=day))


def run_two(mirror_world: World, during: Callable[[Callable[[], None]], Any], **settings: Any) -> Attempt:
    """Run the mirror, and `during` it a newer session, which succeeds. Return the older run."""

    def run_newer() -> None:
        mirror_world.follow(1, people(200, first=5), session="a newer session")
        newer.append(True)

    newer: list[bool] = []
    with during(run_newer):
        older = mirror_world.run(1, **settings)
    assert newer
    return older


@campaign
@pytest.mark.parametrize("number", [3, -(-60 // BATCH)], ids=["in between", "last"])
def test_records_sent_during_a_newer_plan_are_in_the_ledger_and_corrected_the_next_day(
    mirror_world: World, audience_id: str, number: int
) -> None:
    mirror_world.set_people(people(140))
    older = run_two(mirror_world, partial(run_at_write, number))
    assert OUTCOME[True] in str(older.error)
    assert mirror_world.members() != digests(200, first=5)
    check_later_days(mirror_world)


# The last one switches the audience to the new list.
@pytest.mark.parametrize("number", [1, 5, 30])
def test_overtaken_replace_is_followed_by_a_replace(mirror_world: World, audience_id: str, number: int) -> None:
    older = run_two(mirror_world, partial(run_at_write, number), rebuild=True)
    assert not older.succeeded
    assert '"members": null' in older.output
    check_later_days(mirror_world)


@pytest.mark.parametrize(
    ("purpose", "is_older_done"),
    [
        ("read the state of the ledger", True),
        ("compare the people", False),
        ("count who joins", False),
        ("write the plan", False),
        ("read the plan back", False),
        ("settle the plan", True),
    ],
)
def test_run_that_does_not_know_of_a_concurrent_one_stops(
    mirror_world: World, audience_id: str, purpose: str, is_older_done: bool
) -> None:
    mirror_world.set_people(people(190))
    older = run_two(mirror_world, partial(run_at_statement, purpose))
    assert older.succeeded == is_older_done, older.output
    if not is_older_done:
        assert "another run has made a newer plan for audience" in str(older.error)
        assert "Nothing was sent. Run this task again" in str(older.error)
    check_later_days(mirror_world)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_session_that_runs_twice_at_once_mirrors_into_one_audience(mirror_world: World, write: int) -> None:
    lags = {"listing_lag_seconds": 3, "reading_lag_seconds": 1.5, "new_list_missing_seconds": 1.5}
    mirror_world.pinterest.switches.set({**lags, "records_required": True})
    mirror_world.settings["audience_name"] = "Segment"
    mirror_world.set_people(people(200))
    with run_at_write(write, lambda: mirror_world.run(0)):
        first = mirror_world.run(0)
    assert "it was created while this task ran. Run this task again" in str(first.error)
    assert mirror_world.run(1).succeeded
    (audience,) = mirror_world.pinterest.audiences_named("Segment")
    assert mirror_world.members(audience.id) == digests(200)
