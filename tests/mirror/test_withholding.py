"""People who come onto a list or into the control group between two days of a mirror. Single runs: tests/e2e."""

from collections.abc import Sequence
from typing import Any

import pytest

from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, join_with_or
from td_pinterest_op.settings.table import SUPPRESS_LIST_NAME, WITHHOLDING_LIST_NAMES
from tests.exporting import digest, digests, people
from tests.mirror.days import DATABASE, LEDGER, World


@pytest.fixture
def audience_id(mirror_world: World) -> str:
    """An audience that the mirror may fill with anybody."""
    found = mirror_world.audience()
    mirror_world.settings |= {"min_records": 0, "max_leave_ratio": 1.0}
    return found


def set_lists(world: World, **emails: Sequence[str]) -> None:
    """Set the lists of the task."""
    for name, of_list in emails.items():
        world.td.create_people(DATABASE, of_list, table=name)
        world.settings[name] = f"SELECT * FROM {name}"


def test_only_members_who_opt_out_leave_at_the_next_run(mirror_world: World, audience_id: str) -> None:
    mirror_world.follow(0, people(20))
    first, second = people(2)
    set_lists(mirror_world, suppress=[f" {first.upper()}\t", digest(second).upper()])
    ran = mirror_world.run(1)
    assert mirror_world.members() == digests(18, first=2)
    assert ran.sent == {"REMOVE": 2}
    records = ran.stored["records"]
    assert (records["unique"], records["withheld"]["suppressed"], records["sent"]) == (20, 2, 2)
    assert "FROM suppress" in mirror_world.td.job(ran.stored["lists"]["suppress"]).query
    assert mirror_world.tables() == {"people", "suppress", LEDGER}


@pytest.mark.parametrize("settings", [{}, {"control": {"percent": 10, "salt": "spring"}}])
def test_tables_of_no_rows_need_no_columns(mirror_world: World, audience_id: str, settings: dict[str, Any]) -> None:
    mirror_world.td.warehouse.keeps_columns_of_no_rows = False
    mirror_world.set_people([])
    assert "there is no valid record to send (0 rows read, 0 invalid)" in str(mirror_world.run(0, **settings).error)
    mirror_world.td.create(DATABASE, "nobody", "SELECT 'x' AS email WHERE false")
    mirror_world.settings["suppress"] = "SELECT email FROM nobody"
    assert "`suppress` has no rows" in str(mirror_world.run(1).error)
    for day in (2, 3):
        mirror_world.follow(day, people(20), allow_empty_suppress=True)


@pytest.mark.parametrize("name", WITHHOLDING_LIST_NAMES)
@pytest.mark.parametrize(("begin", "remains"), [("adopt", True), ("replace", False)])
def test_mirror_says_whether_adopted_people_who_are_withheld_remain(
    mirror_world: World, audience_id: str, begin: str, remains: bool, name: str
) -> None:
    mirror_world.audience(people(5), name="Of five")
    mirror_world.set_people(people(20))
    of_list = people(1) if name == SUPPRESS_LIST_NAME else people(19, first=1)
    set_lists(mirror_world, **{name: of_list})
    for day in (0, 1):
        ran = mirror_world.run(day, begin=begin)
        assert ran.succeeded
        assert ("adopted people who are withheld remain in the audience" in ran.output) == remains
        assert (digest(people(1)[0]) in mirror_world.members()) == remains


def test_query_without_identifiers_stops_the_mirror_before_it_hashes_lists(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.td.create(DATABASE, "people", [{"name": "Ann"}])
    mirror_world.task["query"] = "SELECT name FROM people"
    set_lists(mirror_world, suppress=["ann@lee.example"])
    ran = mirror_world.run(0)
    assert f"there is no column {join_with_or(CUSTOMER_LIST_TYPES)}" in str(ran.error)
    assert "hash the list" not in ran.output
