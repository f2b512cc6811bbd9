"""What the mirror does on its first day, on the days after, and when something is not as it should be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import guard
from tests.campaigns import campaign
from tests.emulators.td import JobFault
from tests.exporting import digest, digests, people
from tests.mirror.days import DATABASE, LEDGER, Death, World, at_statement

# The statements and writes of a first day, as `Death` counts them.
MOVE = 38
# Of a day on which the ledger is made small, the last ones.
COMPACTION = (
    "write a row for each member into the ledger",
    "count them",
    "let them replace the older rows",
    "delete void rows from the ledger",
)


@pytest.fixture
def audience_id(mirrored: World) -> str:
    """An audience that follows 200 people, after the first day."""
    found = mirrored.audience(people(30, first=1000))
    mirrored.wants(people(200))
    assert mirrored.run(0).succeeded
    return found


def ledger_size(world: World) -> int:
    return int(world.sql(f"SELECT count(*) FROM {LEDGER}")[0][0])


def test_the_first_run_replaces_the_people_of_the_audience_in_one_move(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    before = mirrored.pinterest.audiences[audience_id].rule["customer_list_id"]
    mirrored.wants(people(200))
    assert mirrored.run(0).succeeded
    assert digests(200) == mirrored.members(audience_id)
    assert digests(30, first=1000) == set(mirrored.pinterest.members(before))
    assert 1 == len(mirrored.pinterest.calls.of("audiences/update"))


def test_only_joiners_and_leavers_are_sent(mirrored: World, audience_id: str) -> None:
    mirrored.wants(people(200, first=10))
    with mirrored.sent() as sent:
        ran = mirrored.run(1)
    assert ran.succeeded
    assert {"ADD": 10, "REMOVE": 10} == sent
    assert digests(200, first=10) == mirrored.members(audience_id)
    of_mirror = {
        "mode": "difference",
        "people": 200,
        "members": 200,
        "joined": 10,
        "left": 10,
        "resent": 0,
        "unsure": 0,
    }
    assert of_mirror == {name: ran.stored["mirror"][name] for name in of_mirror}
    assert (200, 20, 200) == (ran.stored["records"]["unique"], ran.stored["records"]["sent"], ran.stored["members"])


def test_a_day_issues_eight_statements_reads_the_ledger_four_times_and_exchanges_one_token(
    mirrored: World, audience_id: str
) -> None:
    mirrored.wants(people(200, first=10))
    jobs, tokens = len(mirrored.td.jobs.all()), len(mirrored.pinterest.calls.of("oauth/token"))
    ran = mirrored.run(1)
    issued = [job.query for job in mirrored.td.jobs.all()[: len(mirrored.td.jobs.all()) - jobs]][::-1]
    assert [
        "read the state of the ledger",
        "read the columns of `query`",
        "compare the people with the ledger",
        "count who joins and who leaves",
        "write the plan into the ledger",
        "read the plan back",
        "read the newest plan",
        "settle the plan",
    ] == [
        query.splitlines()[0].removeprefix(f"-- td_pinterest_op: mirror of audience {audience_id}: ")
        for query in issued
    ]
    assert 4 == sum(query.count(f'FROM "{DATABASE}"."{LEDGER}"') for query in issued)
    assert 1 == sum("FROM people" in query and "LIMIT 0" not in query for query in issued)
    assert 1 == len(mirrored.pinterest.calls.of("oauth/token")) - tokens
    assert all(
        re.search(r"job \d+ issued \(presto on database sandbox\): " + re.escape(step), ran.said)
        for step in ("read the plan back", "settle the plan")
    )


def test_nothing_is_sent_and_no_plan_is_made_when_nothing_changed(mirrored: World, audience_id: str) -> None:
    rows = ledger_size(mirrored)
    with mirrored.sent() as sent:
        ran = mirrored.run(1)
    assert ran.succeeded
    assert not sent
    assert rows == ledger_size(mirrored)
    assert (None, 0, 200) == (ran.stored["mirror"]["plan"], ran.stored["records"]["sent"], ran.stored["members"])
    assert 'Mirrored audience "Newsletter": no changes.' == ran.stored["summary"]


def test_a_dry_run_shows_the_figures_and_writes_neither_to_the_ledger_nor_to_pinterest(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.wants(people(200))
    first = mirrored.run(0, dry_run=True)
    assert first.succeeded
    assert {"people"} == mirrored.tables()
    assert mirrored.run(0).succeeded
    mirrored.wants(people(195, first=10))
    rows, writes = ledger_size(mirrored), len(mirrored.pinterest.calls.writes())
    ran = mirrored.run(1, dry_run=True)
    assert ran.succeeded
    assert (rows, writes) == (ledger_size(mirrored), len(mirrored.pinterest.calls.writes()))
    assert digests(200) == mirrored.members(audience_id)
    assert "195 people, 200 members; 5 join, 10 leave" in ran.said
    assert "requests  3 to write (3 of records)" in ran.said
    assert (
        'Dry run: would mirror audience "Newsletter": 5 join, 10 leave; nothing was written.' == ran.stored["summary"]
    )
    assert (5, 10, 0) == tuple(ran.stored["mirror"][name] for name in ("joined", "left", "resent"))


def test_no_plain_identifier_leaves_the_warehouse_and_none_stays_in_a_table(mirrored: World, audience_id: str) -> None:
    mirrored.wants([*people(200), "Not an address@shop.example", "n/a"])
    ran = mirrored.run(1)
    assert ran.succeeded
    # What a job has as its result is all that can be downloaded.
    results = [job.output.unpacked() for job in mirrored.td.jobs.all() if job.output is not None]
    content = b"".join(chunk for result in results for chunk in result.chunks(0, None))
    assert content.count(b"join") >= 200
    assert b"shop.example" not in content
    assert {"people", LEDGER} == mirrored.tables()
    reasons = {name: count for name, count in ran.stored["rows"]["invalid_by_reason"].items() if count}
    assert {"contains_separator": 1, "placeholder": 1} == reasons
    assert (202, 200) == (ran.stored["rows"]["read"], ran.stored["rows"]["valid"])
    guard.check(ran.said, "the log")


@pytest.mark.parametrize(("share", "goes_on"), [(0.0, False), (1.0, True)])
def test_a_ledger_that_another_run_makes_at_the_same_moment_is_used(
    mirrored: World, share: float, goes_on: bool
) -> None:
    audience_id = mirrored.audience()
    mirrored.wants(people(200))
    mirrored.td.job_faults.add(JobFault(query="create the ledger", share=share, message="Table already exists"))
    ran = mirrored.run(0)
    assert (goes_on, "(create the ledger) ended with status error" in ran.said) == (ran.succeeded, not goes_on)
    assert (digests(200) if goes_on else set()) == mirrored.members(audience_id)


def test_adopt_adds_to_the_people_of_the_audience(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.settings["begin"] = "adopt"
    mirrored.wants(people(200))
    ran = mirrored.run(0)
    assert (True, None) == (ran.succeeded, ran.stored["members"])
    assert digests(200) | digests(30, first=1000) == mirrored.members(audience_id)
    mirrored.wants(people(190))
    assert mirrored.run(1).succeeded
    assert digests(190) | digests(30, first=1000) == mirrored.members(audience_id)


@pytest.mark.parametrize(
    ("found", "message", "settings"),
    [
        (0, "there is no valid record to send (0 rows read, 0 invalid)", {"allow_empty": True, "min_records": 0}),
        (99, "99 unique records are fewer than min_records (100)", {"min_records": 99}),
        (120, "80 of 200 members would leave, and the query finds 120 people: a greater share than max_leave", {}),
        (210, "210 unique records are more than max_records (205)", {"max_records": 210}),
    ],
)
def test_a_query_that_suddenly_finds_few_is_stopped_before_a_write_until_the_limit_is_raised(
    mirrored: World, audience_id: str, found: int, message: str, settings: dict[str, Any]
) -> None:
    mirrored.wants(people(found))
    mirrored.settings["max_records"] = 205
    rows = ledger_size(mirrored)
    with mirrored.sent() as sent:
        stopped = mirrored.run(1)
    assert not stopped.succeeded
    assert message in stopped.said
    assert "Nothing was sent" in stopped.said
    assert not sent
    assert rows == ledger_size(mirrored)
    assert {"people", LEDGER} == mirrored.tables()
    assert mirrored.run(1, max_leave_ratio="1.0", **settings).succeeded
    assert digests(found) == mirrored.members(audience_id)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ignore_invalid_records": False}, "3 of 205 rows are invalid (placeholder 2, unsure 1). Nothing was sent"),
        ({"max_invalid_ratio": 0.01}, "a share of 0.0146 of the rows, more than max_invalid_ratio allows (0.01)"),
        ({"expect_values": "plain"}, "expect_values: plain, but 5 of 202 valid values look hashed already"),
        ({"expect_values": "hashed"}, "expect_values: hashed, but 197 of 202 valid values are plain"),
    ],
)
def test_rows_are_judged_by_the_counts_of_the_warehouse(
    mirrored: World, audience_id: str, settings: dict[str, Any], message: str
) -> None:
    mirrored.wants([*people(197), *digests(5, first=500), "n/a", "none", "SOFI\u03a3@shop.example"])
    rows = ledger_size(mirrored)
    stopped = mirrored.run(1, **settings)
    assert not stopped.succeeded
    assert message in stopped.said
    assert rows == ledger_size(mirrored)
    ran = mirrored.run(1)
    assert ran.succeeded
    assert {"plain": 197, "hashed": 5} == ran.stored["values"]
    assert 1 == ran.stored["mirror"]["unsure"] == ran.stored["rows"]["invalid_by_reason"]["unsure"]
    assert digests(197) | digests(5, first=500) == mirrored.members(audience_id)


def test_a_list_that_somebody_else_moved_gets_nothing_until_the_mirror_begins_anew(
    mirrored: World, audience_id: str
) -> None:
    other = mirrored.pinterest.add_list("Somebody else's")
    mirrored.pinterest.move_audience(audience_id, other.id)
    mirrored.wants(people(210))
    with mirrored.sent() as sent:
        stopped = mirrored.run(1)
    assert not stopped.succeeded
    assert f"the audience uses customer list {other.id} now" in stopped.said
    assert "somebody else has switched it. Nothing was sent" in stopped.said
    assert not sent
    assert mirrored.run(2, rebuild=True).succeeded
    assert digests(210) == mirrored.members(audience_id)
    mirrored.wants(people(205))
    with mirrored.sent() as sent:
        assert mirrored.run(3).succeeded
    assert {"REMOVE": 5} == sent


def test_an_audience_that_is_moved_while_its_plan_is_sent_is_an_error(mirrored: World, audience_id: str) -> None:
    other = mirrored.pinterest.add_list("Somebody else's").id
    mirrored.wants(people(190))
    with at_statement("read the plan back", lambda: mirrored.pinterest.move_audience(audience_id, other)):
        stopped = mirrored.run(1)
    assert not stopped.succeeded
    assert f"uses customer list {other} now" in stopped.said
    assert set() == mirrored.members(audience_id)
    assert not mirrored.run(2).succeeded


def test_another_ad_account_is_refused(mirrored: World, audience_id: str) -> None:
    mirrored.sql(f"UPDATE {LEDGER} SET ad_account_id = '549755885999' WHERE ad_account_id IS NOT NULL")
    stopped = mirrored.run(1)
    assert not stopped.succeeded
    assert "the ledger is about ad account 549755885999" in stopped.said


def test_an_audience_of_another_name_is_not_mirrored(mirrored: World, audience_id: str) -> None:
    stopped = mirrored.run(1, expected_audience_name="Readers")
    assert 'is named "Newsletter"; expected_audience_name is "Readers"' in stopped.said
    stopped = mirrored.run(1, audience_name="Readers")
    assert f'audience {audience_id} "Newsletter" is not "Readers"' in stopped.said


def test_a_first_replace_whose_end_was_lost_is_done_again(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.wants(people(200))
    died = mirrored.run(0, death=Death(step=MOVE, how="after"))
    assert died.steps[-1].endswith(f"/audiences/{audience_id}")
    assert digests(200) == mirrored.members(audience_id)
    mirrored.wants(people(150))
    # It was allowed to take the people out when it began.
    assert mirrored.run(1, begin=None).succeeded
    assert digests(150) == mirrored.members(audience_id)


@campaign
def test_members_are_sent_again_after_resend_days_a_share_each_day(mirrored: World) -> None:
    audience_id = mirrored.audience()
    mirrored.settings |= {"resend_days": 5, "min_records": 1}
    mirrored.wants(people(206))
    amounts = []
    for day in range(15):
        with mirrored.sent() as sent:
            assert mirrored.run(day).succeeded
        amounts.append(sent["ADD"])
    assert [206] + [0] * 4 == amounts[:5]
    assert {41, 42} == set(amounts[5:])
    assert 206 == sum(amounts[5:10]) == sum(amounts[10:])
    # Each member's last join is at most as old as two rounds allow.
    last = f"SELECT max(joined) AS joined FROM {LEDGER} WHERE op = 'join' GROUP BY digest"
    oldest = mirrored.sql(f"SELECT min(joined) FROM ({last})")
    assert (mirrored.time.now() * 1000 - oldest[0][0]) / 86_400_000 < 6
    assert digests(206) == mirrored.members(audience_id)


def test_a_second_run_on_a_day_does_not_send_the_share_of_the_day_again(mirrored: World) -> None:
    mirrored.audience()
    mirrored.settings["resend_days"] = 10
    mirrored.wants(people(200))
    assert mirrored.run(0).succeeded
    ran = mirrored.run(10)
    assert (20, 20) == (ran.stored["mirror"]["resent"], ran.stored["records"]["sent"])
    assert "0 joined, 0 left, 20 sent again" in ran.stored["summary"]
    with mirrored.sent() as sent:
        assert mirrored.run(10, session="another").succeeded
    assert not sent


def test_device_ids_and_addresses_next_to_each_other_are_mirrored(mirrored: World) -> None:
    audience_id = mirrored.audience()
    maid = "5eed0123-4567-89ab-cdef-0123456789ab"
    rows: list[dict[str, Any]] = [
        {"mail": person, "MAID": "n/a" if n % 2 else None} for n, person in enumerate(people(120))
    ]
    of_device: list[dict[str, Any]] = [{"mail": None, "MAID": maid.upper()}, {"mail": None, "MAID": None}]
    mirrored.td.create("sandbox", "people", [*rows, *of_device])
    mirrored.task["query"] = 'SELECT mail, "MAID" FROM people -- all of them'
    ran = mirrored.run(0, columns={"mail": "email"})
    assert ran.succeeded, ran.said
    assert digests(120) | {digest(maid)} == mirrored.members(audience_id)
    figures = ran.stored["rows"]
    assert (122, 121, 61) == tuple(figures[name] for name in ("read", "valid", "invalid"))
    assert (1, 60) == tuple(figures["invalid_by_reason"][name] for name in ("null", "placeholder"))
    assert "a share of 0.5000 of the rows" in mirrored.run(1, columns={"mail": "email"}, max_invalid_ratio=0.4).said


def test_each_element_of_an_array_is_mirrored(mirrored: World) -> None:
    audience_id = mirrored.audience()
    mirrored.td.create("sandbox", "people", [{"email": person, "n": n} for n, person in enumerate(people(120))])
    mirrored.task["query"] = "SELECT array_agg(email) AS email FROM people GROUP BY n % 40;"
    ran = mirrored.run(0)
    assert ran.succeeded, ran.said
    assert digests(120) == mirrored.members(audience_id)
    assert (40, 120) == tuple(ran.stored["rows"][name] for name in ("read", "valid"))


def test_a_list_for_device_ids_is_of_their_type(mirrored: World) -> None:
    audience_id = mirrored.audience()
    ids = [f"5eed0123-4567-89ab-cdef-{number:012x}" for number in range(120)]
    mirrored.wants(ids, column="idfa")
    assert mirrored.run(0).succeeded, "idfa"
    behind = mirrored.pinterest.lists[mirrored.pinterest.audiences[audience_id].rule["customer_list_id"]]
    assert "IDFA" == behind.list_type
    assert {digest(one.upper()) for one in ids} == mirrored.members(audience_id)


def test_a_first_run_over_people_stops_and_says_how_many_until_somebody_says_what_is_meant(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.wants(people(200))
    with mirrored.sent() as sent:
        stopped = mirrored.run(0, begin=None)
    assert not stopped.succeeded
    assert (
        "the mirror has not filled this audience yet, and it has 30 people. Nothing was sent. Set begin" in stopped.said
    )
    assert not sent
    assert digests(30, first=1000) == mirrored.members(audience_id)
    assert mirrored.run(0, session="another", begin="adopt").succeeded
    assert digests(200) | digests(30, first=1000) == mirrored.members(audience_id)


def test_an_audience_that_is_named_is_created_and_followed_from_then_on(mirrored: World) -> None:
    mirrored.settings |= {"audience_name": "Segment", "audience_description": "of a segment"}
    mirrored.wants(people(200))
    planned = mirrored.run(0, dry_run=True)
    assert 'create audience "Segment" without people' in planned.said
    assert [] == mirrored.pinterest.audiences_named("Segment")
    assert mirrored.run(0).succeeded
    (audience,) = mirrored.pinterest.audiences_named("Segment")
    assert (digests(200), "of a segment") == (mirrored.members(audience.id), audience.description)
    mirrored.wants(people(195))
    with mirrored.sent() as sent:
        assert mirrored.run(1).succeeded
    assert {"REMOVE": 5} == sent
    mirrored.pinterest.add_audience("Segment", customer_list_id=mirrored.pinterest.add_list("another").id)
    assert 'several audiences are named "Segment"' in mirrored.run(2).said


@pytest.mark.parametrize("step", range(1, 14))
def test_creating_and_filling_an_audience_survives_a_death_at_any_step(mirrored: World, step: int) -> None:
    mirrored.settings |= {"audience_name": "Segment", "limit_records_per_request": 100}
    mirrored.wants(people(200))
    assert not mirrored.run(0, death=Death(step=step, how="after")).succeeded
    mirrored.wants(people(190))
    assert mirrored.run(0).succeeded
    (audience,) = mirrored.pinterest.audiences_named("Segment")
    assert digests(190) == mirrored.members(audience.id)
    mirrored.wants(people(185))
    with mirrored.sent() as sent:
        assert mirrored.run(1).succeeded
    assert {"REMOVE": 5} == sent


@campaign
@pytest.mark.parametrize(
    ("days", "oldest"),
    [
        (range(0, 141, 7), 36),
        ([day for day in range(75) if day % 5 != 3], 33),
        ([*range(0, 36, 3), *range(66, 141, 3)], 36),
    ],
    ids=["weekly", "a fifth missed", "a month's pause"],
)
def test_members_are_sent_again_in_time_whatever_days_are_missed(mirrored: World, days: list[int], oldest: int) -> None:
    mirrored.audience()
    mirrored.settings |= {"resend_days": 30, "min_records": 1}
    mirrored.pinterest.tokens.set_refresh_token(mirrored.environ["PINTEREST_REFRESH_TOKEN"], days=1000)
    mirrored.wants(people(120))
    for day in days:
        with mirrored.sent() as sent:
            assert mirrored.run(day).succeeded
        assert day == 0 or sent["ADD"] <= 120 / 4
    newest = f"SELECT max(coalesce(joined, plan)) AS joined FROM {LEDGER} WHERE digest IS NOT NULL GROUP BY digest"
    ((joined,),) = mirrored.sql(f"SELECT min(joined) FROM ({newest})")
    assert (mirrored.time.now() * 1000 - joined) / 86_400_000 < oldest


@pytest.fixture
def grown(mirrored: World, audience_id: str) -> str:
    """The ledger is so large that the next day makes it small."""
    mirrored.settings["max_leave_ratio"] = 1.0
    for day in range(1, 3):
        mirrored.wants(people(200, first=100 * day))
        assert mirrored.run(day).succeeded
    assert not mirrored.sql(f"SELECT 1 FROM {LEDGER} WHERE op = 'compacted'")
    mirrored.wants(people(200, first=300))
    return audience_id


def test_the_ledger_is_made_small_by_the_mirror_itself_and_the_days_go_on(mirrored: World, grown: str) -> None:
    assert mirrored.run(3).succeeded
    assert [("compacted", 1), ("member", 200)] == mirrored.sql(
        f"SELECT op, count(*) FROM {LEDGER} GROUP BY op ORDER BY op"
    )
    assert {"people", LEDGER} == mirrored.tables()
    mirrored.wants(people(200, first=303))
    with mirrored.sent() as sent:
        ran = mirrored.run(4)
    assert {"ADD": 3, "REMOVE": 3} == sent
    assert digests(200, first=303) == mirrored.members(grown)
    assert 200 == ran.stored["members"]


@campaign
def test_how_many_are_in_an_adopted_audience_is_not_known_after_a_compaction_either(mirrored: World) -> None:
    mirrored.audience(people(30, first=1000))
    mirrored.settings |= {"begin": "adopt", "max_leave_ratio": 1.0}
    for day in range(5):
        mirrored.wants(people(200, first=100 * day))
        ran = mirrored.run(day)
        assert (True, None) == (ran.succeeded, ran.stored["members"])
    assert mirrored.sql(f"SELECT 1 FROM {LEDGER} WHERE op = 'compacted'")
    assert 200 == mirrored.run(5, rebuild=True).stored["members"]
    assert 200 == mirrored.run(6).stored["members"]


def test_a_replace_by_nobody_empties_the_audience(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.wants([])
    ran = mirrored.run(0, allow_empty=True, min_records=0)
    assert (True, 0) == (ran.succeeded, ran.stored["members"])
    assert not mirrored.members(audience_id) & digests(30, first=1000)
    mirrored.wants(people(120))
    with mirrored.sent() as sent:
        assert mirrored.run(1, begin=None).succeeded
    assert {"ADD": 120} == sent
    assert digests(120) <= mirrored.members(audience_id)


@pytest.mark.parametrize("how", ["before", "midway", "after"])
@pytest.mark.parametrize("statement", range(4))
def test_a_compaction_that_dies_changes_nothing_and_is_made_up_for(
    mirrored: World, grown: str, statement: int, how: str
) -> None:
    # The statements and writes before it: 8 statements, 29 removes and 29 adds.
    died = mirrored.run(3, death=Death(step=8 + 2 * 29 + 1 + statement, how=how, seed=statement))
    assert died.steps[-1] in COMPACTION
    assert digests(200, first=300) == mirrored.members(grown)
    mirrored.wants(people(200, first=302))
    with mirrored.sent() as sent:
        assert mirrored.run(4).succeeded
    assert {"ADD": 2, "REMOVE": 2} == sent
    assert digests(200, first=302) == mirrored.members(grown)
    assert mirrored.run(5).succeeded
    assert ledger_size(mirrored) < 3 * 200 + 100


@campaign
@pytest.mark.parametrize("purpose", COMPACTION)
def test_a_plan_that_is_made_while_the_ledger_is_made_small_counts(mirrored: World, grown: str, purpose: str) -> None:
    def second() -> None:
        mirrored.wants(people(190, first=310))
        assert mirrored.run(3, session="a newer session").succeeded

    with at_statement(purpose, second):
        assert mirrored.run(3).succeeded
    assert digests(190, first=310) == mirrored.members(grown)
    mirrored.wants(people(200, first=315))
    with mirrored.sent() as sent:
        assert mirrored.run(4).succeeded
    assert {"ADD": 15, "REMOVE": 5} == sent
    assert digests(200, first=315) == mirrored.members(grown)


def test_a_ledger_that_cannot_be_made_small_is_a_warning(mirrored: World, grown: str) -> None:
    mirrored.td.job_faults.add(JobFault(query="write a row for each member"))
    ran = mirrored.run(3)
    assert ran.succeeded
    assert "the ledger could not be compacted; the next run tries again: job" in ran.said
    assert digests(200, first=300) == mirrored.members(grown)
    assert mirrored.run(4).succeeded
    assert 201 == ledger_size(mirrored)


def test_tables_that_earlier_tries_left_are_dropped(mirrored: World, audience_id: str) -> None:
    for name in ("pinterest_people_{}_0ld", "pinterest_digests_{}", "pinterest_changes_{}_0ld_1"):
        mirrored.td.create(DATABASE, name.format(audience_id), [{"email": "a@b.cc"}])
    stays = {f"pinterest_people_{audience_id}1_0ld", LEDGER, "people"}
    mirrored.td.create(DATABASE, f"pinterest_people_{audience_id}1_0ld", [{"email": "a@b.cc"}])
    assert len(mirrored.tables()) == 6
    assert mirrored.run(1).succeeded
    assert stays == mirrored.tables()
