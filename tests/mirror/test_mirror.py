"""What the mirror does on its first day, on the days after, and when something is not as it should be."""

from __future__ import annotations

import pytest

from tests import guard
from tests.campaigns import campaign
from tests.exporting import digest, digests, people
from tests.mirror.days import LEDGER, Death, World

# The steps of a day, as `Death` counts them: ledger, people, look, hash, state, changes, figures, plan, which, send,
# settle.
PLAN, SEND = 8, 10


@pytest.fixture
def audience_id(mirrored: World) -> str:
    """An audience that follows 200 people, after the first day."""
    found = mirrored.audience(people(30, first=1000))
    mirrored.wants(people(200))
    assert mirrored.run(0).succeeded
    return found


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


def test_nothing_is_sent_and_no_plan_is_made_when_nothing_changed(mirrored: World, audience_id: str) -> None:
    rows = mirrored.sql(f"SELECT count(*) FROM {LEDGER}")
    with mirrored.sent() as sent:
        ran = mirrored.run(1)
    assert ran.succeeded
    assert not sent
    assert rows == mirrored.sql(f"SELECT count(*) FROM {LEDGER}")
    assert "nothing changed, nothing was sent" in ran.said


def test_no_plain_identifier_leaves_the_warehouse_and_none_stays_in_a_table(mirrored: World, audience_id: str) -> None:
    mirrored.wants([*people(200), "Not an address@shop.example", "n/a"])
    ran = mirrored.run(1)
    assert ran.succeeded
    # What a job has as its result is all that can be downloaded.
    shown = {name for job in mirrored.td.jobs.all() if job.output is not None for name, _ in job.columns or ()}
    exported = [job for job in mirrored.td.jobs.all() if job.query.startswith("SELECT digest AS email FROM")]
    assert {"email", "time", "newest", "plan", "mode", "problem"} <= shown
    assert 1 == len(exported)
    tables = {name for (name,) in mirrored.sql("SELECT table_name FROM duckdb_tables()")}
    assert {"people", LEDGER} == tables
    assert "of 202 values, 2 are rejected: contains_separator 1, placeholder 1" in " ".join(ran.said.split())
    guard.check(ran.said, "the log")


def test_adopt_adds_to_the_people_of_the_audience(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.configure(adopt="true")
    mirrored.wants(people(200))
    assert mirrored.run(0).succeeded
    assert digests(200) | digests(30, first=1000) == mirrored.members(audience_id)
    mirrored.wants(people(190))
    assert mirrored.run(1).succeeded
    assert digests(190) | digests(30, first=1000) == mirrored.members(audience_id)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (0, "the query finds 0 people (0 values are rejected), fewer than min_records (100)"),
        (99, "the query finds 99 people (0 values are rejected), fewer than min_records (100)"),
        (
            120,
            "80 of 200 members would leave, and the query finds 120 people: a greater share than max_leave_ratio (0.2)",
        ),
    ],
)
def test_a_query_that_suddenly_finds_few_is_stopped_before_a_write_until_the_limit_is_raised(
    mirrored: World, audience_id: str, found: int, message: str
) -> None:
    mirrored.wants(people(found))
    rows = mirrored.sql(f"SELECT count(*) FROM {LEDGER}")
    with mirrored.sent() as sent:
        stopped = mirrored.run(1)
    assert not stopped.succeeded
    assert f"{message}. Nothing was sent" in stopped.said
    assert not sent
    assert rows == mirrored.sql(f"SELECT count(*) FROM {LEDGER}")
    mirrored.configure(min_records=0, max_leave_ratio="1.0")
    assert mirrored.run(1, resume=None).succeeded
    assert digests(found) == mirrored.members(audience_id)


def test_a_list_that_somebody_else_moved_gets_nothing_until_the_mirror_begins_anew(
    mirrored: World, audience_id: str
) -> None:
    other = mirrored.pinterest.add_list("Somebody else's")
    mirrored.pinterest.move_audience(audience_id, other.id)
    mirrored.wants(people(210))
    with mirrored.sent() as sent:
        stopped = mirrored.run(1)
    assert not stopped.succeeded
    assert f"customer list {other.id} is behind the audience now" in stopped.said
    assert "somebody else moved the audience. Nothing was sent" in stopped.said
    assert not sent
    mirrored.configure(rebuild="true")
    assert mirrored.run(2).succeeded
    assert digests(210) == mirrored.members(audience_id)
    mirrored.configure(rebuild="false")
    mirrored.wants(people(205))
    with mirrored.sent() as sent:
        assert mirrored.run(3).succeeded
    assert {"REMOVE": 5} == sent


def test_another_ad_account_is_refused(mirrored: World, audience_id: str) -> None:
    mirrored.sql(f"UPDATE {LEDGER} SET ad_account_id = '549755885999' WHERE ad_account_id IS NOT NULL")
    stopped = mirrored.run(1)
    assert not stopped.succeeded
    assert "the ledger is about ad account 549755885999" in stopped.said


def test_the_older_of_two_sessions_stops_before_it_sends(mirrored: World, audience_id: str) -> None:
    mirrored.wants(people(190))
    older = mirrored.run(1, death=Death(step=PLAN, how="after"))
    mirrored.wants(people(195))
    assert mirrored.run(1, session="a younger session").succeeded
    with mirrored.sent() as sent:
        older.done["+pinterest_mirror+change^sub+plan"] = type(next(iter(older.done.values())))()
        resumed = mirrored.run(1, resume=older)
    assert not resumed.succeeded
    assert "another session has made a plan for this audience meanwhile" in resumed.said
    assert not sent
    assert digests(195) == mirrored.members(audience_id)


def test_a_session_that_dies_in_its_send_and_is_resumed_after_a_later_day_sends_nothing(
    mirrored: World, audience_id: str
) -> None:
    mirrored.wants(people(190))
    died = mirrored.run(1, death=Death(step=SEND, how="midway", seed=3))
    mirrored.wants(people(205))
    assert mirrored.run(2).succeeded
    with mirrored.sent() as sent:
        resumed = mirrored.run(2, resume=died, session="session of day 1")
    assert not resumed.succeeded
    assert "is out of date" in resumed.said
    assert not sent
    assert digests(205) == mirrored.members(audience_id)


def test_a_first_replace_whose_end_was_lost_is_done_again(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.wants(people(200))
    assert not mirrored.run(0, death=Death(step=SEND, how="after")).succeeded
    mirrored.wants(people(150))
    assert mirrored.run(1).succeeded
    assert digests(150) == mirrored.members(audience_id)


@campaign
def test_members_are_sent_again_after_resend_days_a_share_each_day(mirrored: World) -> None:
    audience_id = mirrored.audience()
    mirrored.configure(resend_days=5, min_records=1)
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
    mirrored.configure(resend_days=10)
    mirrored.wants(people(200))
    assert mirrored.run(0).succeeded
    assert mirrored.run(10).succeeded
    with mirrored.sent() as sent:
        assert mirrored.run(10, session="another").succeeded
    assert not sent


def test_device_ids_and_addresses_side_by_side_are_mirrored(mirrored: World) -> None:
    audience_id = mirrored.audience()
    maid = "5eed0123-4567-89ab-cdef-0123456789ab"
    rows = [{"email": person, "MAID": None} for person in people(120)]
    mirrored.td.create(
        "sandbox", "people", [*rows, {"email": None, "MAID": maid.upper()}, {"email": None, "MAID": None}]
    )
    (mirrored.project / "queries" / "people.sql").write_text('SELECT email, "MAID" FROM people\n')
    ran = mirrored.run(0)
    assert ran.succeeded, ran.said
    assert digests(120) | {digest(maid)} == mirrored.members(audience_id)
    assert "1 are rejected: null 1" in " ".join(ran.said.split())


def test_a_list_for_device_ids_is_of_their_type(mirrored: World) -> None:
    audience_id = mirrored.audience()
    ids = [f"5eed0123-4567-89ab-cdef-{number:012x}" for number in range(120)]
    mirrored.wants(ids, column="idfa")
    assert mirrored.run(0).succeeded, "idfa"
    behind = mirrored.pinterest.lists[mirrored.pinterest.audiences[audience_id].rule["customer_list_id"]]
    assert "IDFA" == behind.list_type
    assert {digest(one.upper()) for one in ids} == mirrored.members(audience_id)


def test_a_compaction_leaves_one_row_for_each_member_and_the_days_go_on(mirrored: World, audience_id: str) -> None:
    for day in range(1, 6):
        mirrored.wants(people(200, first=day))
        assert mirrored.run(day).succeeded
    assert mirrored.run(5, workflow="pinterest_mirror_compact").succeeded
    assert [("compacted", 1), ("compacting", 1), ("member", 200)] == mirrored.sql(
        f"SELECT op, count(*) FROM {LEDGER} GROUP BY op ORDER BY op"
    )
    mirrored.wants(people(200, first=8))
    with mirrored.sent() as sent:
        assert mirrored.run(6).succeeded
    assert {"ADD": 3, "REMOVE": 3} == sent
    assert digests(200, first=8) == mirrored.members(audience_id)


def test_a_compaction_waits_for_the_end_of_a_mirror_that_made_its_plan_meanwhile(
    mirrored: World, audience_id: str
) -> None:
    compacting = mirrored.run(1, workflow="pinterest_mirror_compact", death=Death(step=3, how="before"))
    mirrored.wants(people(190))
    assert mirrored.run(1).succeeded
    assert mirrored.run(1, workflow="pinterest_mirror_compact", resume=compacting).succeeded
    assert [] == mirrored.sql(f"SELECT 1 FROM {LEDGER} WHERE op = 'compacted'")
    mirrored.wants(people(195))
    with mirrored.sent() as sent:
        assert mirrored.run(2).succeeded
    assert {"ADD": 5} == sent
    assert digests(195) == mirrored.members(audience_id)


def test_a_first_run_over_people_stops_and_says_how_many_until_somebody_says_what_is_meant(mirrored: World) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.configure(begin='""')
    mirrored.wants(people(200))
    stopped = mirrored.run(0)
    assert not stopped.succeeded
    assert "the mirror has not filled this audience yet, and it has 30 people. Nothing was sent" in stopped.said
    assert digests(30, first=1000) == mirrored.members(audience_id)
    mirrored.configure(adopt="true")
    assert mirrored.run(0, session="another").succeeded
    assert digests(200) | digests(30, first=1000) == mirrored.members(audience_id)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"audience_id": '""'}, "config/mirror.yml names no audience"),
        ({"audience_name": "Somebody else's"}, 'is not "Somebody else\'s". Nothing was sent'),
    ],
)
def test_an_audience_is_named_in_the_mirrors_own_file_with_its_name(
    mirrored: World, config: dict[str, str], message: str
) -> None:
    audience_id = mirrored.audience(people(30, first=1000))
    mirrored.configure(**config)
    mirrored.wants(people(200))
    stopped = mirrored.run(0)
    assert not stopped.succeeded
    assert message in stopped.said
    assert digests(30, first=1000) == mirrored.members(audience_id)


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
    mirrored.configure(resend_days=30, min_records=1)
    mirrored.pinterest.tokens.set_refresh_token(mirrored.environ["PINTEREST_REFRESH_TOKEN"], days=1000)
    mirrored.wants(people(120))
    for day in days:
        with mirrored.sent() as sent:
            assert mirrored.run(day).succeeded
        assert day == 0 or sent["ADD"] <= 120 / 4
    newest = f"SELECT max(coalesce(joined, plan)) AS joined FROM {LEDGER} WHERE digest IS NOT NULL GROUP BY digest"
    ((joined,),) = mirrored.sql(f"SELECT min(joined) FROM ({newest})")
    assert (mirrored.time.now() * 1000 - joined) / 86_400_000 < oldest


@campaign
def test_the_ledger_is_made_small_by_the_mirror_itself(mirrored: World, audience_id: str) -> None:
    for day in range(1, 8):
        mirrored.configure(max_leave_ratio="1.0")
        mirrored.wants(people(200, first=100 * day))
        assert mirrored.run(day).succeeded
        assert digests(200, first=100 * day) == mirrored.members(audience_id)
    ((entries,),) = mirrored.sql(f"SELECT count(*) FROM {LEDGER}")
    assert entries < 3 * 200 + 100 + 201
    assert mirrored.sql(f"SELECT 1 FROM {LEDGER} WHERE op = 'compacted'")


def test_a_plan_whose_task_runs_again_is_recognised_while_members_are_due(mirrored: World) -> None:
    audience_id = mirrored.audience()
    mirrored.configure(resend_days=5)
    mirrored.wants(people(200))
    assert mirrored.run(0).succeeded
    mirrored.wants(people(195, first=5))
    died = mirrored.run(7, death=Death(step=PLAN, how="after"))
    assert not died.succeeded
    resumed = mirrored.run(7, resume=died)
    assert resumed.succeeded, resumed.said
    assert digests(195, first=5) == mirrored.members(audience_id)


def test_addresses_that_only_the_operator_can_hash_are_named(mirrored: World) -> None:
    mirrored.audience()
    mirrored.wants([*people(200), "SOFI\u03a3@shop.example"])
    assert "1 addresses are unsure" in " ".join(mirrored.run(0).said.split())
