"""What somebody else does to a mirror's ledger, to its audience or to the clock: nobody is lost, and the run says so.

Two sessions of one mirror: test_overtaking.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import digest, digests, people
from tests.mirror.days import LEDGER, Death, World, run_at_statement, run_at_write
from tests.mirror.model import find_ledger_members
from tests.mirror.test_erasure import ERASED, erase
from tests.mirror.test_withholding import set_lists

GONE = "went missing from the ledger pinterest_ledger during this run: somebody has deleted rows, or dropped the table"
LOST = "somebody has dropped the table, or deleted its rows. Nothing was sent. To go on, set rebuild: true for one run"


def drop_ledger(world: World) -> None:
    world.sql(f"DROP TABLE {LEDGER}")


def make_another_ledger(world: World) -> None:
    """Drop the ledger, and let the mirror of another audience make it anew."""
    drop_ledger(world)
    query = world.task["query"]
    behind = world.pinterest.add_list("Another list").id
    another = world.pinterest.add_audience("Another", customer_list_id=behind).id
    given: dict[str, Any] = {"audience_id": another, "expected_audience_name": "Another", "begin": "replace"}
    world.set_people(people(200))
    assert world.run(1, session="another", **given).succeeded
    world.task["query"] = query


@pytest.mark.parametrize("damage", [drop_ledger, make_another_ledger])
@pytest.mark.parametrize("purpose", ["write the plan", "read the plan back", "read the newest plan"])
def test_ledger_that_is_dropped_during_a_run_fails_this_run_or_the_next_until_a_rebuild(
    mirror_world: World, audience_id: str, damage: Callable[[World], None], purpose: str
) -> None:
    mirror_world.set_people(people(190, first=5))
    with run_at_statement(purpose, lambda: damage(mirror_world)):
        damaged = mirror_world.run(1)
    mirror_world.set_people(people(180, first=10))
    after = mirror_world.run(2, begin=None)
    assert not after.succeeded, after.output
    assert not after.sent
    # A plan that is written into another ledger is whole. What is lost is seen the day after.
    is_seen_later = damaged.succeeded
    assert is_seen_later == (damage is make_another_ledger and purpose == "write the plan"), damaged.output
    assert (LOST if is_seen_later else "the mirror has not filled this audience yet") in str(after.error)
    mirror_world.follow(3, people(180, first=10), rebuild=True, begin=None)
    assert mirror_world.follow(4, people(175, first=10), begin=None).sent == {"REMOVE": 5}


def test_ledger_that_another_mirror_has_made_anew_while_the_plan_was_sent_is_named(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.set_people(people(190, first=5))
    with run_at_write(2, lambda: make_another_ledger(mirror_world)):
        damaged = mirror_world.run(1)
    assert GONE in str(damaged.error)
    assert "set rebuild: true for one run" in str(damaged.error)


def test_mirror_that_adds_people_while_they_are_erased_fails_and_asks_for_another_erasure(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.follow(1, people(199, first=1))
    mirror_world.set_people(people(210))
    with run_at_write(1, lambda: erase(mirror_world)):
        damaged = mirror_world.run(2)
    assert digest(ERASED[0]) in mirror_world.members()
    assert f"1 row of plan {mirror_world.sql(f'SELECT max(plan) FROM {LEDGER}')[0][0]} of audience" in str(
        damaged.error
    )
    assert GONE in str(damaged.error)
    assert "If an erasure has deleted them, run it again" in str(damaged.error)
    erase(mirror_world)
    set_lists(mirror_world, suppress=ERASED)
    mirror_world.set_people(people(205))
    assert mirror_world.run(3).succeeded
    assert mirror_world.members() == find_ledger_members(mirror_world) == digests(204, first=1)


def test_ledger_whose_oldest_rows_have_expired_stops_the_mirror_until_a_rebuild(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.follow(40, people(200, first=5))
    mirror_world.sql(f"DELETE FROM {LEDGER} WHERE time < {int(mirror_world.time.now()) - 30 * 86_400}")
    mirror_world.set_people(people(200, first=10))
    stopped = mirror_world.run(41)
    assert LOST in str(stopped.error)
    assert "A ledger must not expire" in str(stopped.error)
    assert not stopped.sent
    mirror_world.follow(42, people(200, first=10), rebuild=True)


@pytest.mark.parametrize("how", ["before", "midway", "after"])
def test_adopting_mirror_whose_first_plan_was_not_written_whole_is_not_stopped(mirror_world: World, how: str) -> None:
    mirror_world.audience(people(30, first=1000))
    mirror_world.settings["begin"] = "adopt"
    mirror_world.set_people(people(200))
    died = mirror_world.run(0, death=Death(step=6, how=how, seed=3))
    assert died.steps[-1] == "write the plan into the ledger"
    for day in range(1, 4):
        mirror_world.set_people(people(200, first=day))
        assert mirror_world.run(day).succeeded
    assert mirror_world.members() == digests(200, first=3) | digests(30, first=1000)


@pytest.mark.parametrize("days_ahead", [0.1, 3, 400])
def test_clock_of_the_warehouse_that_was_ahead_for_a_day_loses_nobody(
    mirror_world: World, audience_id: str, days_ahead: float
) -> None:
    time = mirror_world.time
    time.held = time.now() + days_ahead * 86_400
    mirror_world.follow(1, people(200, first=5))
    time.held = None
    for day in (2, 3, 4):
        mirror_world.follow(day, people(200, first=5 * day))
        assert find_ledger_members(mirror_world) == mirror_world.members()


def test_clock_of_the_warehouse_that_goes_back_during_a_run_loses_nobody(mirror_world: World, audience_id: str) -> None:
    time = mirror_world.time

    def set_back() -> None:
        time.held = time.now() - 3_600

    mirror_world.set_people(people(200, first=5))
    with run_at_statement("write the plan", set_back):  # as at the end of a summer time that is wrong
        assert mirror_world.run(1).succeeded
    time.held = None
    mirror_world.follow(2, people(200, first=10))
    assert find_ledger_members(mirror_world) == mirror_world.members()


def test_two_mirrors_of_one_audience_each_make_it_their_query_and_share_the_ledger(
    mirror_world: World, audience_id: str
) -> None:
    for day in (1, 2):
        mirror_world.follow(day, people(200), session="first")
        mirror_world.follow(day, people(200, first=10), session="second")
        assert find_ledger_members(mirror_world) == mirror_world.members()


def test_second_mirror_with_a_ledger_of_its_own_stops_the_first_before_it_sends(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.follow(1, people(200, first=10), session="second", ledger="another_ledger")
    mirror_world.set_people(people(200))
    stopped = mirror_world.run(2)
    assert "somebody else has switched the audience" in str(stopped.error)
    assert mirror_world.members() == digests(200, first=10)


@pytest.mark.parametrize("is_named", [False, True])
def test_audience_that_was_deleted_is_an_error_by_id_and_a_new_one_by_name(
    mirror_world: World, audience_id: str, is_named: bool
) -> None:
    mirror_world.pinterest.audiences[audience_id].status = "REMOVED"
    del mirror_world.pinterest.audiences[audience_id]
    mirror_world.set_people(people(190))
    rows = mirror_world.count_rows()
    if not is_named:
        stopped = mirror_world.run(1)
        assert f"there is no audience {audience_id} in ad account {AD_ACCOUNT_ID}" in str(stopped.error)
        assert mirror_world.count_rows() == rows
        return
    given: dict[str, Any] = {"audience_id": None, "audience_name": "Newsletter", "begin": None}
    assert mirror_world.run(1, **given).succeeded
    (made,) = mirror_world.pinterest.audiences_named("Newsletter")
    assert mirror_world.members(made.id) == digests(190)
    mirror_world.set_people(people(180))
    assert mirror_world.run(2, **given).sent == {"REMOVE": 10}


def test_audience_that_was_deleted_while_its_plan_was_sent_is_an_error_and_unsettled(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.set_people(people(190))

    def delete() -> None:
        del mirror_world.pinterest.audiences[audience_id]

    with run_at_write(1, delete):
        stopped = mirror_world.run(1)
    assert "it was removed" in str(stopped.error)
    assert not mirror_world.sql(f"SELECT 1 FROM {LEDGER} WHERE op = 'settled'")


def test_other_ad_account_of_the_same_audience_id_is_an_error(mirror_world: World, audience_id: str) -> None:
    mirror_world.set_people(people(190))
    stopped = mirror_world.run(1, ad_account_id="549755885176")
    assert not stopped.succeeded
    assert not stopped.sent
