"""What the mirror does on its first day, on the days after, and after errors and outside changes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from td_pinterest_op.audiences.list_name import ListJobs, ListName
from td_pinterest_op.records.prepared import compute_fingerprint
from tests import guard
from tests.emulators.td import JobFault
from tests.emulators.td.warehouse import trino_type
from tests.exporting import digest, digests, people
from tests.mirror.days import BEGIN, COMPACTION, DATABASE, LEDGER, Death, DiedError, World, run_at_statement
from tests.mirror.model import HOW, find_ledger_members
from tests.mirror.test_overtaking import run_during_wait

# The statements and writes of a first day, as `Death` counts them.
MOVE = 38
DEVICES = [f"5eed0123-4567-89ab-cdef-{number:012x}" for number in range(120)]


def list_new_queries(mirror_world: World, known: int) -> list[str]:
    """Return the queries of the jobs after the first `known` ones, in the order they were issued."""
    return [job.query for job in reversed(mirror_world.td.jobs.all()[:-known])]


def count_ledger_reads(queries: Iterable[str]) -> int:
    return sum(query.count(f'FROM "{DATABASE}"."{LEDGER}"') for query in queries)


def test_later_run_sends_only_the_differences(mirror_world: World, audience_id: str) -> None:
    ran = mirror_world.follow(1, people(200, first=10))
    assert ran.sent == {"ADD": 10, "REMOVE": 10}
    plan = ran.stored["mirror"].pop("plan")
    assert mirror_world.sql(f"SELECT op FROM {LEDGER} WHERE plan = {plan} AND digest IS NULL ORDER BY op") == [
        ("planned",),
        ("settled",),
    ]
    assert ran.stored["mirror"] == {
        "mode": "difference",
        "people": 200,
        "members": 200,
        "joined": 10,
        "left": 10,
        "resent": 0,
        "unsure": 0,
    }
    assert [ran.stored["records"][name] for name in ("unique", "sent")] == [200, 20]
    assert ran.stored["members"] == 200
    unchanged = mirror_world.follow(2, people(200, first=10))
    assert not unchanged.sent
    assert unchanged.stored["mirror"]["plan"] is None
    assert unchanged.stored["summary"] == 'Mirrored audience "Newsletter": 0 joining, 0 leaving, 0 resent.'


def test_day_takes_eight_statements_four_ledger_reads_and_one_token_exchange(
    mirror_world: World, audience_id: str
) -> None:
    jobs = len(mirror_world.td.jobs.all())
    tokens = len(mirror_world.pinterest.calls.of("oauth/token"))
    ran = mirror_world.follow(1, people(200, first=10))
    issued = list_new_queries(mirror_world, jobs)
    purposes = [re.split("_op: (?:mirror: )?", query.splitlines()[0])[1] for query in issued]
    assert purposes == [
        "read the state of the ledger",
        "read the columns of the query",
        "compare the people with the ledger",
        "count who joins and who leaves",
        "write the plan into the ledger",
        "read the plan back",
        "read the newest plan",
        "settle the plan",
    ]
    assert count_ledger_reads(issued) == 4
    assert sum("FROM people" in query and "LIMIT 0" not in query for query in issued) == 1
    assert len(mirror_world.pinterest.calls.of("oauth/token")) == tokens + 1
    for purpose in purposes:
        if purpose != "read the columns of the query":  # an error of the user's own query is named as one
            assert re.search(r"job \d+ issued \(presto on database sandbox\): " + re.escape(purpose), ran.output)


def test_day_with_a_refused_record_reads_the_ledger_five_times(mirror_world: World, audience_id: str) -> None:
    mirror_world.pinterest.switches.poison = frozenset(digests(1, first=200))
    mirror_world.set_people(people(210))
    jobs = len(mirror_world.td.jobs.all())
    assert mirror_world.run(1).succeeded
    assert count_ledger_reads(list_new_queries(mirror_world, jobs)) == 5


def test_day_with_a_compaction_reads_the_ledger_seven_times(
    mirror_world: World, audience_with_large_ledger: str
) -> None:
    jobs = len(mirror_world.td.jobs.all())
    assert mirror_world.run(3).steps[-4:] == list(COMPACTION)
    assert count_ledger_reads(list_new_queries(mirror_world, jobs)) == 7


def test_history_is_written_once_the_plan_is_settled(mirror_world: World, audience_id: str) -> None:
    mirror_world.set_people(people(210))
    jobs = len(mirror_world.td.jobs.all())
    assert mirror_world.run(1, history="pinterest_history").succeeded
    queries = list_new_queries(mirror_world, jobs)
    (settled,) = [number for number, query in enumerate(queries) if "mirror: settle the plan" in query]
    written = [number for number, query in enumerate(queries) if "pinterest_history" in query]
    assert min(written) > settled


def test_lists_are_hashed_right_before_the_one_statement_that_reads_the_people(mirror_world: World) -> None:
    mirror_world.audience()
    mirror_world.set_people(people(200))
    mirror_world.task["query"] = f"-- set session a = 'b'\n--x\n{mirror_world.task['query']}"
    mirror_world.td.create_people(DATABASE, people(5), table="opted_out")
    mirror_world.settings["suppress"] = "-- set session c = 'd'\nSELECT email FROM opted_out"
    types: dict[str, set[str]] = {}

    def note_types() -> None:
        for table in mirror_world.td.warehouse.tables(DATABASE):
            types[re.sub("_[0-9].*", "", table.name)] = {trino_type(kind) for _, kind in table.columns}

    with run_at_statement("count who joins", note_types):
        ran = mirror_world.run(0)
    assert ran.succeeded, ran.output
    assert ran.steps[4:9] == [
        "hash the list ",
        "hash the people",
        "count the lists",
        "compare the people with the ledger",
        "count who joins and who leaves",
    ]
    for table, comments in (("people", "-- set session a = 'b'\n--x"), ("opted_out", "-- set session c = 'd'")):
        queries = [job.query for job in mirror_world.td.jobs.all() if f"FROM {table}" in job.query]
        first = re.compile(rf"-- td_pinterest_op: .*\n{comments}\n(-- [a-z_]+: .*\n)*(CREATE|SELECT)")
        assert [bool(first.match(query)) for query in queries] == [True, True]
    ours = ["pinterest_changes", "pinterest_digests", "pinterest_suppress", LEDGER]
    assert set().union(*(types[name] for name in ours)) == {"bigint", "integer", "varchar"}


def test_dry_run_shows_figures_without_writing_to_ledger_or_pinterest(mirror_world: World) -> None:
    audience_id = mirror_world.audience(people(30, first=1000))
    mirror_world.set_people(people(200))
    used = mirror_world.pinterest.audiences[audience_id].rule["customer_list_id"]
    first = mirror_world.run(0, dry_run=True)
    assert "200 people, 0 known members; all members replaced by 200 people" in first.output
    assert f'switch audience {audience_id} "Newsletter" to it; customer list {used} is orphaned' in first.output
    assert mirror_world.tables() == {"people"}
    mirror_world.follow(0, people(200))
    mirror_world.set_people(people(195, first=10))
    rows = mirror_world.count_rows()
    writes = len(mirror_world.pinterest.calls.writes())
    ran = mirror_world.run(1, dry_run=True)
    assert mirror_world.count_rows() == rows
    assert len(mirror_world.pinterest.calls.writes()) == writes
    assert "195 people, 200 known members; 5 joining, 10 leaving, 0 resent" in ran.output
    assert "requests  3 to write (3 of records)" in ran.output
    summary = 'Dry run: would mirror audience "Newsletter": 5 joining, 10 leaving, 0 resent; nothing was written.'
    assert ran.stored["summary"] == summary
    assert [ran.stored["mirror"][name] for name in ("joined", "left", "resent")] == [5, 10, 0]


def test_no_plain_identifier_leaves_the_warehouse_or_stays_in_a_table(mirror_world: World, audience_id: str) -> None:
    mirror_world.set_people([*people(200), "Not an address@shop.example", "n/a"])
    ran = mirror_world.run(1)
    assert ran.succeeded
    # The result of a job is all that can be downloaded.
    results = [job.output.unpacked() for job in mirror_world.td.jobs.all() if job.output is not None]
    content = b"".join(chunk for result in results for chunk in result.chunks(0, None))
    assert content.count(b"join") >= 200
    assert b"shop.example" not in content
    assert mirror_world.tables() == {"people", LEDGER}
    reasons = {name: count for name, count in ran.stored["rows"]["invalid_by_reason"].items() if count}
    assert reasons == {"contains_separator": 1, "placeholder": 1}
    guard.check(ran.output, "the log")


def test_adopt_keeps_the_present_members(mirror_world: World) -> None:
    mirror_world.audience(people(30, first=1000))
    mirror_world.settings["begin"] = "adopt"
    for day, count in enumerate((200, 190)):
        mirror_world.set_people(people(count))
        ran = mirror_world.run(day)
        assert ran.succeeded
        assert ran.stored["members"] is None
        assert mirror_world.members() == digests(count) | digests(30, first=1000)


@pytest.mark.parametrize(
    ("found", "message", "settings"),
    [
        (people(0), "no valid record to send (0 rows read, 0 invalid)", {"allow_empty": True, "min_records": 0}),
        (people(99), "99 unique records are fewer than min_records (100)", {"min_records": 99}),
        (people(142), "58 of 200 members would leave, a greater share than max_leave_ratio allows (0.2)", {}),
        (people(210), "210 unique records are more than max_records (205)", {"max_records": 210}),
    ],
)
def test_query_with_few_people_stops_before_a_write_until_the_limit_is_raised(
    mirror_world: World, audience_id: str, found: list[str], message: str, settings: dict[str, Any]
) -> None:
    mirror_world.set_people(found)
    mirror_world.settings["max_records"] = 205
    rows = mirror_world.count_rows()
    stopped = mirror_world.run(1)
    assert message in str(stopped.error)
    assert "Nothing was sent" in str(stopped.error)
    assert not stopped.sent
    assert mirror_world.count_rows() == rows
    assert mirror_world.tables() == {"people", LEDGER}
    exact_share = max(200 - len(found), 0) / 200
    mirror_world.follow(1, found, max_leave_ratio=str(exact_share), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ignore_invalid_records": False}, "3 of 205 values in 205 rows invalid (placeholder 2, unsure 1). Nothing"),
        ({"max_invalid_ratio": 0.01}, "a share of 0.0146 of the rows, more than max_invalid_ratio allows (0.01)"),
        ({"expect_values": "plain"}, "expect_values is plain, but 5 of 202 valid values are not. Nothing"),
        ({"expect_values": "hashed"}, "expect_values is hashed, but 197 of 202 valid values are not. Nothing"),
    ],
)
def test_limits_on_rows_apply_to_the_counts_of_the_warehouse(
    mirror_world: World, audience_id: str, settings: dict[str, Any], message: str
) -> None:
    mirror_world.set_people([*people(197), *digests(5, first=500), "n/a", "none", "SOFI\u03a3@shop.example"])
    rows = mirror_world.count_rows()
    assert message in str(mirror_world.run(1, **settings).error)
    assert mirror_world.count_rows() == rows
    ran = mirror_world.run(1)
    assert ran.stored["values"] == {"plain": 197, "hashed": 5}
    assert ran.stored["mirror"]["unsure"] == ran.stored["rows"]["invalid_by_reason"]["unsure"] == 1
    assert mirror_world.members() == digests(197) | digests(5, first=500)


@pytest.mark.parametrize(
    ("update", "settings", "error"),
    [
        ("switch", {}, "somebody else has switched the audience, or ad_account_id is another. Nothing was sent"),
        ("ad_account_id = '549755885999'", {}, "of ad account 549755885999: somebody else has switched"),
        ("digest = md5(digest)", {}, "200 rows of the ledger have something else than 64 hex digits as the digest"),
        ("", {"expected_audience_name": "Readers"}, 'is named "Newsletter", but expected_audience_name is "Readers"'),
        ("", {"audience_name": "Readers"}, '"Newsletter" is not named "Readers"'),
    ],
)
def test_mirror_stops_before_a_plan_if_ledger_or_audience_is_another(
    mirror_world: World, audience_id: str, update: str, settings: dict[str, Any], error: str
) -> None:
    if update == "switch":
        mirror_world.pinterest.move_audience(audience_id, mirror_world.pinterest.add_list("Somebody else's").id)
    elif update:
        mirror_world.sql(f"UPDATE {LEDGER} SET {update} WHERE {update.split(' ')[0]} IS NOT NULL")
    mirror_world.set_people(people(190))
    rows = mirror_world.count_rows()
    stopped = mirror_world.run(1, **settings)
    assert error in str(stopped.error)
    assert not stopped.sent
    assert mirror_world.count_rows() == rows
    mirror_world.follow(2, people(190), rebuild=bool(update))
    assert mirror_world.follow(3, people(185)).sent == {"REMOVE": 5}


def test_rebuild_says_that_all_members_are_replaced_and_how_many_known_ones_leave(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.set_people(people(195, first=10))
    planned = mirror_world.run(1, rebuild=True, dry_run=True)
    replaced = "all members replaced by 195 people, 10 known members leaving"
    assert f"195 people, 200 known members; {replaced}" in planned.output
    done = 'Mirrored audience "Newsletter": all members replaced by 195 people, 10 known members leaving.'
    assert mirror_world.run(2, rebuild=True).stored["summary"] == done
    mirror_world.pinterest.switches.poison = frozenset(digests(1, first=100))
    warning = "replaces everybody in the audience and orphans a customer list, and so did the run before"
    # A rebuild in which somebody was refused counts as one, too.
    for day in (3, 4):
        assert warning in mirror_world.run(day, rebuild=True).output
    mirror_world.set_people(people(190, first=10))
    assert warning not in mirror_world.run(5).output
    rebuilt = mirror_world.run(6, rebuild=True)
    assert warning not in rebuilt.output
    assert rebuilt.stored["summary"].startswith('Mirrored audience "Newsletter": all members replaced by 190 people, ')


def test_refused_switch_of_a_rebuild_promises_no_use_of_its_list(mirror_world: World, audience_id: str) -> None:
    mirror_world.set_people(people(200))
    mirror_world.pinterest.answer(400, operation="audiences/update", times=None)
    lists = set(mirror_world.pinterest.lists)
    refused = mirror_world.run(1, rebuild=True)
    (made,) = set(mirror_world.pinterest.lists) - lists
    assert f"customer list {made} stays without use" in str(refused.error)
    mirror_world.follow(1, people(200))
    assert mirror_world.pinterest.audiences[audience_id].rule["customer_list_id"] not in (made, *lists)


def test_audience_switched_while_its_plan_is_sent_is_an_error(mirror_world: World, audience_id: str) -> None:
    other = mirror_world.pinterest.add_list("Somebody else's").id
    mirror_world.set_people(people(190))
    with run_at_statement("read the plan back", lambda: mirror_world.pinterest.move_audience(audience_id, other)):
        stopped = mirror_world.run(1)
    assert f"uses customer list {other} now" in str(stopped.error)
    assert mirror_world.members() == set()


@pytest.mark.parametrize("rebuild", [False, True])
def test_person_whom_pinterest_refuses_to_add_is_no_member_and_never_removed(
    mirror_world: World, audience_id: str, rebuild: bool
) -> None:
    refused = digests(3, first=200)
    mirror_world.pinterest.switches.poison = frozenset(refused)
    mirror_world.set_people(people(210))
    # The next run compares anew, and asks again.
    for day in (1, 2):
        ran = mirror_world.run(day, rebuild=rebuild and day == 1)
        assert ran.succeeded, ran.output
        assert (ran.stored["records"]["refused"], ran.stored["members"]) == (3, 207)
        assert mirror_world.members() == digests(210) - refused
    assert ran.stored["mirror"]["members"] == 207
    ran = mirror_world.follow(3, people(200))
    assert ran.stored["mirror"]["left"] == 7
    assert ran.sent == {"REMOVE": 7}


@pytest.mark.parametrize("ignores", [True, False], ids=["skip", "stop"])
@pytest.mark.parametrize("count", [1, 12], ids=["one record", "more than a batch"])
def test_refused_removal_is_told_day_after_day_while_all_others_go_through(
    mirror_world: World, audience_id: str, ignores: bool, count: int
) -> None:
    refused = digests(count)
    mirror_world.pinterest.switches.refused_to_remove = frozenset(refused)
    for day in (1, 2, 3):
        found = people(200, first=count + day)
        mirror_world.set_people(found)
        ran = mirror_world.run(day, ignore_invalid_records=ignores)
        assert ran.succeeded == ignores, ran.output
        if ignores:
            assert (ran.stored["records"]["refused"], ran.stored["members"]) == (count, 200 + count)
        else:
            assert f"Pinterest refused to remove {count} record" in str(ran.error)
            assert "Everything else in the plan was sent" in str(ran.error)
            assert "and the plan is settled" in str(ran.error)
        assert mirror_world.members() == set(map(digest, found)) | refused
    mirror_world.pinterest.switches.refused_to_remove = frozenset()
    mirror_world.follow(4, found)
    assert not mirror_world.run(5).sent


@pytest.mark.parametrize("ignores", [True, False], ids=["skip", "stop"])
def test_record_that_is_always_refused_is_sent_only_while_the_query_has_it(
    mirror_world: World, audience_id: str, ignores: bool
) -> None:
    (refused,) = people(1, first=500)
    mirror_world.pinterest.switches.poison = frozenset({digest(refused)})
    for day, is_in in enumerate([True, True, False, False, True, False], start=1):
        mirror_world.set_people([*people(200), *([refused] if is_in else [])])
        ran = mirror_world.run(day, ignore_invalid_records=ignores)
        assert ran.succeeded == (ignores or not is_in), ran.output
        assert ran.sent == ({"ADD": 1} if is_in else {})
        assert mirror_world.members() == digests(200)
        assert find_ledger_members(mirror_world) == digests(200)


def test_plan_of_which_all_records_are_refused_is_settled_and_fails(mirror_world: World, audience_id: str) -> None:
    mirror_world.pinterest.answer(400, method="PATCH", path="customer_lists", times=None)
    mirror_world.set_people(people(200, first=4))
    refused = mirror_world.run(1)
    assert "Pinterest refused all 8 records of the plan" in str(refused.error)
    assert find_ledger_members(mirror_world) == mirror_world.members() == digests(200)
    assert mirror_world.follow(2, people(200, first=4)).sent == {"ADD": 4, "REMOVE": 4}


def die() -> None:
    raise DiedError("died")


@pytest.mark.parametrize("ignores", [True, False])
def test_member_whom_pinterest_refuses_to_add_again_stays_one_until_leaving_the_query(
    mirror_world: World, audience_id: str, ignores: bool
) -> None:
    mirror_world.follow(1, people(205))
    mirror_world.pinterest.switches.poison = frozenset(digests(5, first=200))
    assert mirror_world.run(2, resend_days=1, ignore_invalid_records=ignores).succeeded == ignores
    mirror_world.pinterest.switches.poison = frozenset()
    assert mirror_world.follow(3, people(200)).sent["REMOVE"] == 5


def test_request_refused_for_any_records_leaves_the_plan_unsettled(mirror_world: World, audience_id: str) -> None:
    mirror_world.set_people(people(300))
    with run_at_statement("settle the plan", die):
        assert not mirror_world.run(1).succeeded
    mirror_world.pinterest.answer(400, method="PATCH", path="customer_lists", times=None)
    mirror_world.set_people(people(200))
    refused = mirror_world.run(2)
    assert "the cause seems to be the request, not its records" in str(refused.error)
    # People whom the first run may have added are not taken for people who are out.
    assert mirror_world.follow(3, people(200)).sent == {"REMOVE": 100}


def test_person_refused_in_an_unsettled_and_a_settled_plan_blocks_no_run_after_leaving(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.pinterest.switches.poison = frozenset(digests(2, first=200))
    mirror_world.set_people(people(210))
    with run_at_statement("note whom Pinterest refused", die):
        assert not mirror_world.run(1).succeeded
    assert mirror_world.run(2).stored["members"] == 208
    assert mirror_world.follow(3, people(200)).stored["mirror"]["left"] == 8


@pytest.mark.parametrize("ignores", [True, False], ids=["skip", "stop"])
@pytest.mark.parametrize("count", [1, 20], ids=["one person", "more than a batch"])
def test_person_refused_in_an_unsettled_plan_blocks_no_later_run(
    mirror_world: World, audience_id: str, ignores: bool, count: int
) -> None:
    refused = people(count, first=200)
    mirror_world.pinterest.switches.poison = frozenset(map(digest, refused))
    mirror_world.set_people([*people(200), *refused])
    with run_at_statement("note whom Pinterest refused", die):
        assert not mirror_world.run(1).succeeded
    # The refused people may be in the audience, and are removed once.
    mirror_world.set_people(people(200))
    asked = mirror_world.run(2, ignore_invalid_records=ignores)
    assert asked.steps.count("settle the plan") == 1
    assert mirror_world.members() == find_ledger_members(mirror_world) == digests(200)
    assert not mirror_world.follow(3, people(200), ignore_invalid_records=ignores).sent


@pytest.mark.parametrize(
    ("killed", "rebuild", "found", "error"),
    [
        (300, False, 200, ""),
        (165, False, 140, ""),
        (200, True, 150, "50 of 200 members would leave"),
        (300, True, 190, ""),
        (300, False, 150, "50 of 200 members would leave"),
    ],
    ids=["joiners", "leavers", "rebuild", "joiners of a rebuild", "members next to joiners"],
)
def test_only_people_of_settled_plans_count_for_max_leave_ratio(
    mirror_world: World, audience_id: str, killed: int, rebuild: bool, found: int, error: str
) -> None:
    mirror_world.set_people(people(killed))
    died = mirror_world.run(1, death=Death(step=5, how="after"), rebuild=rebuild)
    assert died.steps[-1] == "write the plan into the ledger"
    if not error:
        mirror_world.follow(2, people(found))
        return
    mirror_world.set_people(people(found))
    assert error in str(mirror_world.run(2).error)
    assert mirror_world.members() == digests(200)


def test_first_replace_without_a_recorded_end_is_repeated(mirror_world: World) -> None:
    audience_id = mirror_world.audience(people(30, first=1000))
    mirror_world.set_people(people(200))
    died = mirror_world.run(0, death=Death(step=MOVE, how="after"))
    assert died.steps[-1].endswith(f"/audiences/{audience_id}")
    assert mirror_world.members() == digests(200)
    # The mirror was allowed to remove people when it began.
    mirror_world.follow(1, people(150), begin=None)


@pytest.mark.parametrize(
    ("days", "run_days"),
    [
        (5, [1, 2, 3, 4, 5, 6]),
        (5, [1, 4, 4, 5, 20, 21]),
        (30, [1, 7, 14, 21, 59]),
    ],
    ids=["daily", "with pauses and twice a day", "weekly"],
)
def test_each_member_is_sent_again_on_the_days_of_its_bucket(
    mirror_world: World, days: int, run_days: list[int]
) -> None:
    mirror_world.audience()
    mirror_world.settings["resend_days"] = days
    mirror_world.follow(0, people(200))
    epoch_day = int(BEGIN.timestamp()) // 86_400
    last = 0
    for number, day in enumerate(run_days):
        due = {(epoch_day + each) % days for each in range(last + 1, day + 1)}
        expected = sum(int(each[:6], 16) % days in due for each in digests(200))
        ran = mirror_world.follow(day, people(200), session=f"run {number}")
        assert ran.stored["mirror"]["resent"] == ran.sent.total() == expected
        assert f"0 joining, 0 leaving, {expected} resent" in ran.stored["summary"]
        last = day


@pytest.mark.parametrize(
    ("rows", "query", "expected", "counts"),
    [
        (
            [
                *({"mail": person, "MAID": "n/a" if n % 2 else None} for n, person in enumerate(people(120))),
                {"mail": None, "MAID": DEVICES[0].upper()},
                {"mail": None, "MAID": None},
            ],
            'SELECT mail, "MAID" FROM people -- all of them',
            [*people(120), DEVICES[0]],
            {"read": 122, "valid": 121, "invalid": 61},
        ),
        (
            [{"mail": person, "n": n} for n, person in enumerate(people(120))],
            "SELECT array_agg(mail) AS mail FROM people GROUP BY n % 40;",
            people(120),
            {"read": 40, "valid": 120, "invalid": 0},
        ),
        (
            [{"idfa": device} for device in DEVICES],
            "SELECT idfa FROM people",
            [device.upper() for device in DEVICES],
            {"read": 120, "valid": 120, "invalid": 0},
        ),
    ],
    ids=["addresses and device ids", "arrays", "device ids"],
)
def test_mirror_follows_identifiers_in_any_columns(
    mirror_world: World, rows: list[dict[str, Any]], query: str, expected: Sequence[str], counts: dict[str, int]
) -> None:
    audience_id = mirror_world.audience()
    mirror_world.td.create(DATABASE, "people", rows)
    mirror_world.task["query"] = query
    ran = mirror_world.run(0, columns={} if "idfa" in query else {"mail": "email"})
    assert ran.succeeded, ran.output
    assert mirror_world.members() == set(map(digest, expected))
    assert counts == {name: ran.stored["rows"][name] for name in counts}
    used = mirror_world.pinterest.lists[mirror_world.pinterest.audiences[audience_id].rule["customer_list_id"]]
    assert used.list_type == ("IDFA" if "idfa" in query else "EMAIL")


EMPTY = ListName(audience="Shop's", session="0a0a0a0a", jobs=ListJobs(), fingerprint=compute_fingerprint(), records=0)
OF_NOBODY = replace(EMPTY, records=1)


@pytest.mark.parametrize(
    ("name", "members", "counters", "size", "stops_at"),
    [
        ("Shop's", 60, True, None, "(counted by Pinterest: 60)"),
        ("Shop's", 60, True, 70, "(counted by Pinterest: 70)"),
        ("Shop's", 60, False, 1, "(counted by Pinterest: 1)"),
        ("Shop's", 60, False, 0, "(counted by Pinterest: not known)"),
        ("Shop's", 0, True, 0, ""),
        ("Shop's (td 0a0a0a0a 12 0b0b0b0b 1)", 1, True, 0, "(counted by Pinterest: 1)"),
        (str(EMPTY), 0, False, None, ""),
        (str(EMPTY), 1, True, 0, "(counted by Pinterest: 1)"),
        (str(OF_NOBODY), 1, True, 0, ""),
        (str(OF_NOBODY), 1, False, 0, ""),
        (str(OF_NOBODY), 2, True, 0, "(counted by Pinterest: 1)"),
    ],
)
def test_first_run_without_begin_stops_if_the_audience_may_have_people(
    mirror_world: World, name: str, members: int, counters: bool, size: int | None, stops_at: str
) -> None:
    audience_id = mirror_world.audience(people(members, first=1000))
    audience = mirror_world.pinterest.audiences[audience_id]
    mirror_world.pinterest.lists[audience.rule["customer_list_id"]].name = name
    mirror_world.pinterest.switches.upload_counters = counters
    audience.size = size
    mirror_world.set_people(people(200))
    ran = mirror_world.run(0, begin=None)
    assert ran.succeeded == (not stops_at), ran.output
    assert stops_at in ran.output
    assert mirror_world.members() == (digests(members, first=1000) if stops_at else digests(200))


def test_named_audience_is_created_and_then_mirrored(mirror_world: World) -> None:
    mirror_world.settings |= {"audience_name": "Segment", "audience_description": "of a segment"}
    mirror_world.set_people(people(200))
    assert 'create audience "Segment" without people' in mirror_world.run(0, dry_run=True).output
    assert not mirror_world.pinterest.audiences_named("Segment")
    assert mirror_world.run(0).succeeded
    (audience,) = mirror_world.pinterest.audiences_named("Segment")
    assert mirror_world.members(audience.id) == digests(200)
    assert audience.description == "of a segment"
    mirror_world.pinterest.add_audience("Segment", customer_list_id=mirror_world.pinterest.add_list("another").id)
    assert '2 audiences are named "Segment"' in str(mirror_world.run(1).error)


@pytest.mark.parametrize("step", range(1, 14))
def test_creation_of_a_mirrored_audience_survives_a_death_at_any_step(mirror_world: World, step: int) -> None:
    mirror_world.settings |= {"audience_name": "Segment", "limit_records_per_request": 100}
    mirror_world.set_people(people(200))
    assert not mirror_world.run(0, death=Death(step=step, how="after")).succeeded
    mirror_world.set_people(people(190))
    assert mirror_world.run(0).succeeded
    (audience,) = mirror_world.pinterest.audiences_named("Segment")
    assert mirror_world.members(audience.id) == digests(190)
    mirror_world.set_people(people(185))
    assert mirror_world.run(1).sent == {"REMOVE": 5}


# A day with refusals takes 30 statements and writes.
@pytest.mark.parametrize("step", range(1, 31))
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("ignores", [True, False], ids=["skip", "stop"])
def test_day_with_refusals_both_ways_survives_a_death_at_any_step(
    mirror_world: World, audience_id: str, step: int, how: str, ignores: bool
) -> None:
    mirror_world.pinterest.switches.refused_to_add = frozenset(digests(3, first=200))
    mirror_world.pinterest.switches.refused_to_remove = frozenset(digests(2))
    mirror_world.settings |= {"limit_records_per_request": 100, "ignore_invalid_records": ignores}
    mirror_world.set_people(people(205, first=5))
    died = mirror_world.run(1, death=Death(step=step, how=how, seed=step))
    assert len(died.steps) == step
    assert mirror_world.run(2).succeeded == ignores
    members = digests(205, first=5) - digests(3, first=200) | digests(2)
    assert mirror_world.members() == find_ledger_members(mirror_world) == members


def test_first_mirrors_of_two_audiences_at_once_share_a_new_ledger(mirror_world: World) -> None:
    other = mirror_world.audience(name="Others")
    mirror_world.audience()
    mirror_world.set_people(people(200))

    def create_ledger() -> None:
        beside = mirror_world.run(0, session="others", audience_id=other, expected_audience_name="Others")
        assert beside.succeeded
        # Whether an engine looks again before it fails is not known.
        mirror_world.td.job_faults.add(JobFault(query="create the ledger", message="Table already exists", times=1))

    with run_at_statement("create the ledger", create_ledger):
        ran = mirror_world.run(0)
    assert ran.succeeded, ran.output
    assert mirror_world.members() == mirror_world.members(other) == digests(200)


def test_ledger_of_another_database_has_the_temporary_tables_too(mirror_world: World) -> None:
    mirror_world.td.create("crm", "customers", [{"id": 1}])
    mirror_world.audience()
    mirror_world.set_people(people(200))
    tables: set[str] = set()

    def note_tables() -> None:
        tables.update(table.name for table in mirror_world.td.warehouse.tables("crm"))

    with run_at_statement("count who joins", note_tables):
        assert mirror_world.run(0, ledger="crm.members").succeeded
    assert [name for name in tables if name.startswith("pinterest_changes_")]
    assert {table.name for table in mirror_world.td.warehouse.tables("crm")} == {"customers", "members"}
    assert mirror_world.tables() == {"people"}
    mirror_world.set_people(people(195))
    assert mirror_world.run(1, ledger="crm.members").sent == {"REMOVE": 5}


@pytest.fixture
def audience_with_large_ledger(mirror_world: World, audience_id: str) -> str:
    """A ledger so large that the next day compacts it."""
    mirror_world.settings["max_leave_ratio"] = 1.0
    for day in range(1, 3):
        mirror_world.follow(day, people(200, first=100 * day))
    assert not mirror_world.sql(f"SELECT 1 FROM {LEDGER} WHERE op = 'compacted'")
    mirror_world.set_people(people(200, first=300))
    return audience_id


def test_mirror_compacts_the_ledger_and_continues(mirror_world: World, audience_with_large_ledger: str) -> None:
    assert mirror_world.run(3).succeeded
    ops = mirror_world.sql(f"SELECT op, count(*) FROM {LEDGER} GROUP BY op ORDER BY op")
    assert ops == [("compacted", 1), ("in", 200)]
    assert mirror_world.tables() == {"people", LEDGER}
    ran = mirror_world.follow(4, people(200, first=303))
    assert ran.sent == {"ADD": 3, "REMOVE": 3}
    assert ran.stored["members"] == 200


def test_replace_with_no_people_empties_the_audience(mirror_world: World) -> None:
    mirror_world.audience(people(30, first=1000))
    mirror_world.set_people([])
    assert mirror_world.run(0, allow_empty=True, min_records=0).stored["members"] == 0
    assert not mirror_world.members() & digests(30, first=1000)
    mirror_world.set_people(people(120))
    assert mirror_world.run(1, begin=None).sent == {"ADD": 120}


@pytest.mark.parametrize(
    ("statement", "how"),
    [(0, "after"), (1, "before"), (1, "midway"), (2, "midway"), (3, "midway"), (3, "after")],
)
def test_compaction_that_dies_changes_nothing_and_is_repeated(
    mirror_world: World, audience_with_large_ledger: str, statement: int, how: str
) -> None:
    # The statements and writes before it: 8 statements, 29 removes and 29 adds.
    died = mirror_world.run(3, death=Death(step=8 + 2 * 29 + 1 + statement, how=how, seed=statement))
    assert died.steps[-1] in COMPACTION
    assert mirror_world.members() == digests(200, first=300)
    assert mirror_world.follow(4, people(200, first=302)).sent == {"ADD": 2, "REMOVE": 2}
    assert mirror_world.run(5).succeeded
    assert mirror_world.count_rows() < 3 * 200 + 100


@pytest.mark.parametrize("before", [0, 2])
def test_plan_that_is_overtaken_and_deleted_by_a_compaction_sends_no_more(
    mirror_world: World, audience_with_large_ledger: str, before: int
) -> None:
    def run_second() -> None:
        mirror_world.follow(3, people(200, first=150), session="a newer session")
        assert {op for (op,) in mirror_world.sql(f"SELECT op FROM {LEDGER}")} == {"compacted", "in"}

    mirror_world.settings["max_in_flight"] = 1
    with run_during_wait(mirror_world, run_second, after=before):
        older = mirror_world.run(3)
    assert "was superseded: another run has since made plan" in str(older.error)
    assert mirror_world.members() == digests(200, first=150)
    mirror_world.follow(4, people(200, first=160))


def test_failed_compaction_is_a_warning(mirror_world: World, audience_with_large_ledger: str) -> None:
    mirror_world.td.job_faults.add(JobFault(query="write a row for each member"))
    ran = mirror_world.run(3)
    assert ran.succeeded
    assert "the ledger could not be compacted; the next run tries again: job" in ran.output
    assert mirror_world.run(4).succeeded
    assert mirror_world.count_rows() == 201


def list_digests(mirror_world: World) -> set[str]:
    """Return the digests in all tables of the database but the people's own."""
    found = set()
    for table in mirror_world.tables() - {"people"}:
        columns = {name for (name, *_) in mirror_world.sql(f"DESCRIBE {table}")} & {"digest", "answer"}
        for column in columns:
            found |= {digest for (digest,) in mirror_world.sql(f"SELECT {column} FROM {table}")}
    return found


@pytest.mark.parametrize("is_refused", [False, True], ids=["left", "refused"])
@pytest.mark.parametrize("changes", [True, False], ids=["others change", "nothing changes"])
def test_person_who_left_is_out_of_the_ledger_within_thirty_days(
    mirror_world: World, audience_id: str, is_refused: bool, changes: bool
) -> None:
    gone = digests(1, first=200 if is_refused else 0)
    mirror_world.pinterest.switches.poison = frozenset(digests(1, first=200))
    mirror_world.set_people(people(201) if is_refused else people(199, first=1))
    assert mirror_world.run(1.1).succeeded
    for day in (2, 16, 29, 30, 31, 32):
        found = people(199 if not changes or day < 30 else 198, first=1)
        ran = mirror_world.follow(day, found)
        assert gone & list_digests(mirror_world) == (gone if day < 31 else set())
        assert ran.steps.count("write a row for each member into the ledger") == (day == 31)
    mirror_world.follow(33, people(190, first=2))


def test_rebuild_begins_with_an_empty_ledger(mirror_world: World, audience_id: str) -> None:
    mirror_world.follow(1, people(200, first=3))
    # Three people have left long ago: without the rebuild, the ledger would be compacted.
    mirror_world.follow(40, people(190, first=5), rebuild=True)
    assert list_digests(mirror_world) == digests(190, first=5) | {None}
    assert mirror_world.count_rows() == 190 + 2


def test_void_rows_that_could_not_be_deleted_are_deleted_by_the_next_run(mirror_world: World, audience_id: str) -> None:
    mirror_world.td.job_faults.add(JobFault(query="DELETE"))
    ran = mirror_world.follow(1, people(190, first=5), rebuild=True)
    assert "the ledger could not be compacted; the next run tries again: job" in ran.output
    assert digests(5) < list_digests(mirror_world)
    unchanged = mirror_world.follow(2, people(190, first=5))
    assert not unchanged.sent
    assert not digests(5) & list_digests(mirror_world)


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 3, 20])
def test_plan_with_the_number_of_a_settled_one_does_not_count(
    mirror_world: World, audience_id: str, milliseconds: int
) -> None:
    """The plan of a run that stopped, as another run had read the ledger in the same millisecond, or nearly."""
    mirror_world.pinterest.switches.poison = frozenset(digests(1, first=300))
    time = mirror_world.time
    time.held = BEGIN.timestamp() + 86_400

    def run_newer() -> None:
        time.held = (time.held or 0) + milliseconds / 1000
        mirror_world.set_people([*people(201), *people(1, first=300)])
        assert mirror_world.run(1, session="of the same moment").succeeded

    mirror_world.set_people(people(180))
    with run_at_statement("read the columns", run_newer):
        mirror_world.set_people(people(180))
        older = mirror_world.run(1)
    time.held = None
    assert "another run has made a newer plan" in str(older.error)
    # Twenty were to leave by the plan that stopped.
    assert mirror_world.sql(f"SELECT count(DISTINCT plan) FROM {LEDGER} WHERE op = 'planned'") == [
        (1 if milliseconds == 0 else 2,)
    ]
    assert mirror_world.follow(2, people(180)).sent["REMOVE"] >= 21
    assert not mirror_world.run(3).sent


def test_tables_left_by_earlier_attempts_are_dropped(mirror_world: World, audience_id: str) -> None:
    kinds = ("changes", "digests", "suppress", "consent")
    audiences = (audience_id, f"{audience_id}1", "new")
    ours = {f"pinterest_{kind}_{audience}_0123abcd_4567cdef" for kind in kinds for audience in audiences}
    ends = ("", "_crm", "_0123abcd_vip_2026", "_0123abcd_4567cdef_1")
    others = {f"pinterest_digests_{audience_id}{end}" for end in ends} | {"pinterest_digests_new_customers"}
    for name in ours | others:
        mirror_world.td.create(DATABASE, name, [{"email": "a@b.cc"}])
    assert ours < mirror_world.tables()
    for wait, left in ((0, ours), (6 * 3600 - 600, ours), (601, set[str]())):
        mirror_world.time.sleep(wait)
        assert mirror_world.run(0).succeeded
        assert mirror_world.tables() == left | others | {LEDGER, "people"}


@pytest.mark.parametrize("missing", ["audience_id", "session", "digest"])
def test_table_that_is_no_ledger_is_refused_and_unchanged(mirror_world: World, missing: str) -> None:
    mirror_world.audience()
    mirror_world.follow(0, people(200))
    mirror_world.sql(f"ALTER TABLE {LEDGER} DROP COLUMN {missing}")
    rows = mirror_world.count_rows()
    stopped = mirror_world.run(1)
    assert f"is one of a version before 0.7: it lacks the column {missing}. Nothing was sent" in str(stopped.error)
    assert stopped.steps == []
    assert mirror_world.count_rows() == rows


def test_mirror_without_a_presto_or_trino_query_is_an_error(mirror_world: World, audience_id: str) -> None:
    del mirror_world.task["query"]
    mirror_world.task["job_id"] = "12"
    assert "a mirror and hash_in: warehouse need `query` and its database in place of" in mirror_world.run(1).output
    mirror_world.task |= {"job_id": None, "query": "SELECT 1", "engine": "hive"}
    del mirror_world.task["job_id"]
    assert "and the engine presto or trino" in mirror_world.run(1).output
