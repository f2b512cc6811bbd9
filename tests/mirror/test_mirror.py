"""What the mirror does on its first day, on the days after, and after errors and outside changes."""

import re
from typing import Any

import pytest

from td_pinterest_op.records.prepared import compute_fingerprint
from tests import guard
from tests.campaigns import campaign
from tests.emulators.td import JobFault
from tests.emulators.td.warehouse import trino_type
from tests.exporting import digest, digests, people
from tests.mirror.days import BEGIN, DATABASE, LEDGER, Death, World, run_at_statement
from tests.mirror.test_overtaking import run_during_wait

# The statements and writes of a first day, as `Death` counts them.
MOVE = 38
# The last ones of a day with a compaction.
COMPACTION = (
    "write a row for each member into the ledger",
    "count them",
    "let them replace the older rows",
    "delete void rows from the ledger",
)


@pytest.fixture
def audience_id(mirror_world: World) -> str:
    """An audience that follows 200 people, after the first day."""
    found = mirror_world.audience(people(30, first=1000))
    mirror_world.set_people(people(200))
    assert mirror_world.run(0).succeeded
    return found


def count_ledger_rows(world: World) -> int:
    return int(world.sql(f"SELECT count(*) FROM {LEDGER}")[0][0])


def test_first_run_replaces_the_members_by_one_switch(mirror_world: World) -> None:
    audience_id = mirror_world.audience(people(30, first=1000))
    before = mirror_world.pinterest.audiences[audience_id].rule["customer_list_id"]
    mirror_world.set_people(people(200))
    ran = mirror_world.run(0)
    assert ran.succeeded
    assert 'Mirrored audience "Newsletter": all members were replaced by 200 people.' == ran.stored["summary"]
    assert (200, 0) == tuple(ran.stored["mirror"][name] for name in ("joined", "left"))
    assert digests(200) == mirror_world.members(audience_id)
    assert digests(30, first=1000) == set(mirror_world.pinterest.members(before))
    assert 1 == len(mirror_world.pinterest.calls.of("audiences/update"))


def test_only_joiners_and_leavers_are_sent(mirror_world: World, audience_id: str) -> None:
    mirror_world.set_people(people(200, first=10))
    with mirror_world.count_sent() as sent:
        ran = mirror_world.run(1)
    assert ran.succeeded
    assert {"ADD": 10, "REMOVE": 10} == sent
    assert digests(200, first=10) == mirror_world.members(audience_id)
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


def test_day_takes_eight_statements_four_ledger_reads_and_one_token_exchange(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.set_people(people(200, first=10))
    jobs, tokens = len(mirror_world.td.jobs.all()), len(mirror_world.pinterest.calls.of("oauth/token"))
    ran = mirror_world.run(1)
    issued = [job.query for job in mirror_world.td.jobs.all()[: len(mirror_world.td.jobs.all()) - jobs]][::-1]
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
    assert 1 == len(mirror_world.pinterest.calls.of("oauth/token")) - tokens
    assert all(
        re.search(r"job \d+ issued \(presto on database sandbox\): " + re.escape(step), ran.output)
        for step in ("read the plan back", "settle the plan")
    )


def test_lists_are_hashed_right_before_the_one_statement_that_reads_the_people(mirror_world: World) -> None:
    mirror_world.audience()
    mirror_world.set_people(people(200))
    mirror_world.task["query"] = f"-- set session a = 'b'\n--x\n{mirror_world.task['query']}"
    mirror_world.td.create(DATABASE, "opted_out", [{"email": person} for person in people(5)])
    mirror_world.task["suppress"] = "-- set session c = 'd'\nSELECT email FROM opted_out"
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
    of_people = [job.query for job in mirror_world.td.jobs.all() if "FROM people" in job.query]
    assert len(of_people) == 2
    of_list = [job.query for job in mirror_world.td.jobs.all() if "FROM opted_out" in job.query]
    assert len(of_list) == 2
    first = r"-- td_pinterest_op: .*\n{}\n(-- [a-z_]+: .*\n)*(CREATE|SELECT)"
    assert all(re.match(first.format("-- set session a = 'b'\n--x"), query) for query in of_people)
    assert all(re.match(first.format("-- set session c = 'd'"), query) for query in of_list)
    ours = ["pinterest_changes", "pinterest_digests", "pinterest_suppress", LEDGER]
    assert set().union(*(types[name] for name in ours)) == {"bigint", "integer", "varchar"}


def test_unchanged_day_sends_nothing_and_writes_no_plan(mirror_world: World, audience_id: str) -> None:
    rows = count_ledger_rows(mirror_world)
    with mirror_world.count_sent() as sent:
        ran = mirror_world.run(1)
    assert ran.succeeded
    assert not sent
    assert rows == count_ledger_rows(mirror_world)
    assert (None, 0, 200) == (ran.stored["mirror"]["plan"], ran.stored["records"]["sent"], ran.stored["members"])
    assert 'Mirrored audience "Newsletter": no changes.' == ran.stored["summary"]


def test_dry_run_shows_figures_without_writing_to_ledger_or_pinterest(mirror_world: World) -> None:
    audience_id = mirror_world.audience(people(30, first=1000))
    mirror_world.set_people(people(200))
    used = mirror_world.pinterest.audiences[audience_id].rule["customer_list_id"]
    first = mirror_world.run(0, dry_run=True)
    assert first.succeeded
    assert "200 people, 0 known members; all members are replaced by 200 people" in first.output
    assert f'switch audience {audience_id} "Newsletter" to it; customer list {used} is orphaned' in first.output
    assert "0 leave" not in first.output
    assert {"people"} == mirror_world.tables()
    assert mirror_world.run(0).succeeded
    mirror_world.set_people(people(195, first=10))
    rows, writes = count_ledger_rows(mirror_world), len(mirror_world.pinterest.calls.writes())
    ran = mirror_world.run(1, dry_run=True)
    assert ran.succeeded
    assert (rows, writes) == (count_ledger_rows(mirror_world), len(mirror_world.pinterest.calls.writes()))
    assert digests(200) == mirror_world.members(audience_id)
    assert "195 people, 200 known members; 5 join, 10 leave" in ran.output
    assert "requests  3 to write (3 of records)" in ran.output
    assert (
        'Dry run: would mirror audience "Newsletter": 5 join, 10 leave; nothing was written.' == ran.stored["summary"]
    )
    assert (5, 10, 0) == tuple(ran.stored["mirror"][name] for name in ("joined", "left", "resent"))


def test_no_plain_identifier_leaves_the_warehouse_or_stays_in_a_table(mirror_world: World, audience_id: str) -> None:
    mirror_world.set_people([*people(200), "Not an address@shop.example", "n/a"])
    ran = mirror_world.run(1)
    assert ran.succeeded
    # Only the result of a job can be downloaded.
    results = [job.output.unpacked() for job in mirror_world.td.jobs.all() if job.output is not None]
    content = b"".join(chunk for result in results for chunk in result.chunks(0, None))
    assert content.count(b"join") >= 200
    assert b"shop.example" not in content
    assert {"people", LEDGER} == mirror_world.tables()
    reasons = {name: count for name, count in ran.stored["rows"]["invalid_by_reason"].items() if count}
    assert {"contains_separator": 1, "placeholder": 1} == reasons
    assert (202, 200) == (ran.stored["rows"]["read"], ran.stored["rows"]["valid"])
    guard.check(ran.output, "the log")


@pytest.mark.parametrize(("share", "goes_on"), [(0.0, False), (1.0, True)])
def test_ledger_created_concurrently_by_another_run_is_used(mirror_world: World, share: float, goes_on: bool) -> None:
    audience_id = mirror_world.audience()
    mirror_world.set_people(people(200))
    mirror_world.td.job_faults.add(JobFault(query="create the ledger", share=share, message="Table already exists"))
    ran = mirror_world.run(0)
    assert (goes_on, "(create the ledger) ended with status error" in ran.output) == (ran.succeeded, not goes_on)
    assert (digests(200) if goes_on else set()) == mirror_world.members(audience_id)


def test_adopt_keeps_the_present_members(mirror_world: World) -> None:
    audience_id = mirror_world.audience(people(30, first=1000))
    mirror_world.settings["begin"] = "adopt"
    mirror_world.set_people(people(200))
    ran = mirror_world.run(0)
    assert (True, None) == (ran.succeeded, ran.stored["members"])
    assert digests(200) | digests(30, first=1000) == mirror_world.members(audience_id)
    mirror_world.set_people(people(190))
    assert mirror_world.run(1).succeeded
    assert digests(190) | digests(30, first=1000) == mirror_world.members(audience_id)


@pytest.mark.parametrize(
    ("found", "message", "settings"),
    [
        (0, "there is no valid record to send (0 rows read, 0 invalid)", {"allow_empty": True, "min_records": 0}),
        (99, "99 unique records are fewer than min_records (100)", {"min_records": 99}),
        (142, "58 of 200 members would leave, a greater share than max_leave_ratio allows (0.2)", {}),
        (210, "210 unique records are more than max_records (205)", {"max_records": 210}),
    ],
)
def test_query_with_few_people_stops_before_a_write_until_the_limit_is_raised(
    mirror_world: World, audience_id: str, found: int, message: str, settings: dict[str, Any]
) -> None:
    mirror_world.set_people(people(found))
    mirror_world.settings["max_records"] = 205
    rows = count_ledger_rows(mirror_world)
    with mirror_world.count_sent() as sent:
        stopped = mirror_world.run(1)
    assert not stopped.succeeded
    assert message in stopped.output
    assert "Nothing was sent" in stopped.output
    assert not sent
    assert rows == count_ledger_rows(mirror_world)
    assert {"people", LEDGER} == mirror_world.tables()
    exact_share = (200 - min(found, 200)) / 200
    assert mirror_world.run(1, max_leave_ratio=str(exact_share), **settings).succeeded
    assert digests(found) == mirror_world.members(audience_id)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ignore_invalid_records": False}, "3 of 205 rows are invalid (placeholder 2, unsure 1). Nothing was sent"),
        ({"max_invalid_ratio": 0.01}, "a share of 0.0146 of the rows, more than max_invalid_ratio allows (0.01)"),
        ({"expect_values": "plain"}, "expect_values is plain, but 5 of 202 valid values look hashed already"),
        ({"expect_values": "hashed"}, "expect_values is hashed, but 197 of 202 valid values are plain"),
    ],
)
def test_limits_on_rows_apply_to_the_counts_of_the_warehouse(
    mirror_world: World, audience_id: str, settings: dict[str, Any], message: str
) -> None:
    mirror_world.set_people([*people(197), *digests(5, first=500), "n/a", "none", "SOFI\u03a3@shop.example"])
    rows = count_ledger_rows(mirror_world)
    stopped = mirror_world.run(1, **settings)
    assert not stopped.succeeded
    assert message in stopped.output
    assert rows == count_ledger_rows(mirror_world)
    ran = mirror_world.run(1)
    assert ran.succeeded
    assert {"plain": 197, "hashed": 5} == ran.stored["values"]
    assert 1 == ran.stored["mirror"]["unsure"] == ran.stored["rows"]["invalid_by_reason"]["unsure"]
    assert digests(197) | digests(5, first=500) == mirror_world.members(audience_id)


def test_audience_switched_by_somebody_else_gets_nothing_until_a_rebuild(mirror_world: World, audience_id: str) -> None:
    other = mirror_world.pinterest.add_list("Somebody else's")
    mirror_world.pinterest.move_audience(audience_id, other.id)
    mirror_world.set_people(people(210))
    with mirror_world.count_sent() as sent:
        stopped = mirror_world.run(1)
    assert not stopped.succeeded
    assert f"the audience uses customer list {other.id} of ad account" in str(stopped.error)
    assert "Nothing was sent. To go on, set rebuild: true for one run" in str(stopped.error)
    assert not sent
    assert mirror_world.run(2, rebuild=True).succeeded
    assert digests(210) == mirror_world.members(audience_id)
    mirror_world.set_people(people(205))
    with mirror_world.count_sent() as sent:
        assert mirror_world.run(3).succeeded
    assert {"REMOVE": 5} == sent


def test_rebuild_says_that_all_members_are_replaced_and_how_many_known_ones_leave(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.set_people(people(195, first=10))
    planned = mirror_world.run(1, rebuild=True, dry_run=True)
    replaced = "all members are replaced by 195 people; of the known members, 10 leave"
    assert f"195 people, 200 known members; {replaced}" in planned.output
    would = f'Dry run: would mirror audience "Newsletter": {replaced}; nothing was written.'
    assert would == planned.stored["summary"]
    done = 'Mirrored audience "Newsletter": all members were replaced by 195 people; of the known members, 10 left.'
    rebuilt = mirror_world.run(2, rebuild=True)
    assert rebuilt.stored["summary"] == done
    warning = "replaces everybody in the audience and orphans a customer list, and so did the run before"
    assert warning in mirror_world.run(3, rebuild=True).output
    mirror_world.set_people(people(190, first=10))
    assert warning not in mirror_world.run(4).output + mirror_world.run(5, rebuild=True).output


def test_audience_switched_while_its_plan_is_sent_is_an_error(mirror_world: World, audience_id: str) -> None:
    other = mirror_world.pinterest.add_list("Somebody else's").id
    mirror_world.set_people(people(190))
    with run_at_statement("read the plan back", lambda: mirror_world.pinterest.move_audience(audience_id, other)):
        stopped = mirror_world.run(1)
    assert not stopped.succeeded
    assert f"uses customer list {other} now" in stopped.output
    assert set() == mirror_world.members(audience_id)
    assert not mirror_world.run(2).succeeded


@pytest.mark.parametrize("rebuild", [False, True])
def test_whom_pinterest_refuses_to_add_is_no_member_and_never_removed(
    mirror_world: World, audience_id: str, rebuild: bool
) -> None:
    refused = digests(3, first=200)
    mirror_world.pinterest.switches.poison = frozenset(refused)
    mirror_world.set_people(people(210))
    for day, sent in ((1, 3), (2, 0)):
        ran = mirror_world.run(day, rebuild=rebuild and day == 1)
        assert ran.succeeded, ran.output
        assert (ran.stored["records"]["refused"], ran.stored["members"]) == (sent, 207)
        assert mirror_world.members(audience_id) == digests(210) - refused
    assert ran.stored["mirror"]["members"] == 207
    # Once in so many days they are tried again, with others.
    assert mirror_world.run(3, resend_days=1).stored["records"]["refused"] == 3
    mirror_world.set_people(people(200))
    with mirror_world.count_sent() as sent_records:
        ran = mirror_world.run(4)
    assert ran.succeeded, ran.output
    assert (ran.stored["mirror"]["left"], ran.stored["members"]) == (7, 200)
    assert sent_records == {"REMOVE": 7}
    assert mirror_world.members(audience_id) == digests(200)


def test_refused_members_do_not_hinder_a_compaction(mirror_world: World, audience_with_large_ledger: str) -> None:
    refused = digests(2, first=498)
    mirror_world.pinterest.switches.poison = frozenset(refused)
    assert mirror_world.run(3).stored["members"] == 198
    assert mirror_world.sql(f"SELECT count(*) FROM {LEDGER} WHERE op = 'member'") == [(198,)]
    with mirror_world.count_sent() as sent:
        assert mirror_world.run(4).stored["members"] == 198
        mirror_world.set_people(people(198, first=300))
        assert mirror_world.run(5).stored["members"] == 198
    assert not sent


def test_refused_removal_fails_the_run_and_is_repeated_by_the_next(mirror_world: World, audience_id: str) -> None:
    refused = digest(people(1)[0])
    mirror_world.pinterest.switches.poison = frozenset([refused])
    mirror_world.set_people(people(200, first=10))
    for day in (1, 2):
        stopped = mirror_world.run(day)
        assert not stopped.succeeded
        assert "Pinterest refused to remove 1 record (400) from the audience" in stopped.output
        assert digests(200, first=10) | {refused} == mirror_world.members(audience_id)
    mirror_world.pinterest.switches.poison = frozenset()
    assert mirror_world.run(3).succeeded
    assert digests(200, first=10) == mirror_world.members(audience_id)
    with mirror_world.count_sent() as sent:
        assert mirror_world.run(4).succeeded
    assert not sent


@pytest.mark.parametrize(
    ("killed", "settings", "found", "error"),
    [
        (people(300), {}, people(200), ""),
        (people(165), {}, people(140), ""),
        (people(200), {"rebuild": True}, people(150), "50 of 200 members would leave"),
        (people(300), {"rebuild": True}, people(190), ""),
        (people(300), {}, people(150), "50 of 200 members would leave"),
    ],
    ids=["joiners", "leavers", "rebuild", "joiners of a rebuild", "members next to joiners"],
)
def test_only_people_of_settled_plans_count_for_max_leave_ratio(
    mirror_world: World,
    audience_id: str,
    killed: list[str],
    settings: dict[str, Any],
    found: list[str],
    error: str,
) -> None:
    mirror_world.set_people(killed)
    died = mirror_world.run(1, death=Death(step=5, how="after"), **settings)
    assert "write the plan into the ledger" == died.steps[-1]
    mirror_world.set_people(found)
    for _ in range(2):
        ran = mirror_world.run(2)
        assert (not error, error in ran.output) == (ran.succeeded, True)
    assert (digests(200) if error else {digest(person) for person in found}) == mirror_world.members(audience_id)


@pytest.mark.parametrize(
    ("update", "settings", "error"),
    [
        ("ad_account_id = '549755885999'", {}, "of ad account 549755885999: somebody else has switched"),
        ("digest = md5(digest)", {}, "200 rows of the ledger have something else than 64 hex digits as the digest"),
        ("digest = upper(digest)", {}, "If a policy masks columns, let the user of td.apikey view those of the ledger"),
        ("", {"expected_audience_name": "Readers"}, 'is named "Newsletter", but expected_audience_name is "Readers"'),
        ("", {"audience_name": "Readers"}, '"Newsletter" is not named "Readers"'),
    ],
)
def test_mirror_stops_before_a_plan_if_ledger_or_audience_is_another(
    mirror_world: World, audience_id: str, update: str, settings: dict[str, Any], error: str
) -> None:
    if update:
        mirror_world.sql(f"UPDATE {LEDGER} SET {update} WHERE {update.split(' ')[0]} IS NOT NULL")
    mirror_world.set_people(people(190))
    rows = count_ledger_rows(mirror_world)
    with mirror_world.count_sent() as sent:
        stopped = mirror_world.run(1, **settings)
    assert error in str(stopped.error)
    assert not sent
    assert count_ledger_rows(mirror_world) == rows
    if update:
        assert mirror_world.run(2, rebuild=True).succeeded
        assert mirror_world.members(audience_id) == digests(190)


def test_first_replace_without_a_recorded_end_is_repeated(mirror_world: World) -> None:
    audience_id = mirror_world.audience(people(30, first=1000))
    mirror_world.set_people(people(200))
    died = mirror_world.run(0, death=Death(step=MOVE, how="after"))
    assert died.steps[-1].endswith(f"/audiences/{audience_id}")
    assert digests(200) == mirror_world.members(audience_id)
    mirror_world.set_people(people(150))
    # It was allowed to remove people when it began.
    assert mirror_world.run(1, begin=None).succeeded
    assert digests(150) == mirror_world.members(audience_id)


def bucket(digest: str, *, days: int) -> int:
    return int(digest[:6], 16) % days


@pytest.mark.parametrize(
    ("days", "run_days"),
    [
        (5, [1, 2, 3, 4, 5, 6]),
        (5, [1, 4, 4, 5, 20, 21]),
        (30, [1, 7, 14, 21, 28, 75]),
    ],
    ids=["daily", "with pauses and twice a day", "weekly"],
)
def test_each_member_is_sent_again_on_the_days_of_its_bucket(
    mirror_world: World, days: int, run_days: list[int]
) -> None:
    audience_id = mirror_world.audience()
    mirror_world.settings["resend_days"] = days
    mirror_world.set_people(people(200))
    assert mirror_world.run(0).succeeded
    epoch_day = int(BEGIN.timestamp()) // 86_400
    last = 0
    for number, day in enumerate(run_days):
        due = {(epoch_day + each) % days for each in range(last + 1, day + 1)}
        expected = sum(bucket(each, days=days) in due for each in digests(200))
        with mirror_world.count_sent() as sent:
            ran = mirror_world.run(day, session=f"run {number}")
        assert ran.stored["mirror"]["resent"] == ran.stored["records"]["sent"] == sent.total() == expected
        assert f"0 joined, 0 left, {expected} sent again" in ran.stored["summary"] or not expected
        last = day
    assert mirror_world.members(audience_id) == digests(200)


def test_rejected_values_and_joiners_are_in_no_bucket(mirror_world: World) -> None:
    mirror_world.audience()
    mirror_world.set_people(people(200))
    assert mirror_world.run(0).succeeded
    mirror_world.set_people([*people(195, first=10), "n/a", "not an address"])
    ran = mirror_world.run(1, resend_days=1)
    assert [ran.stored["mirror"][name] for name in ("joined", "left", "resent")] == [5, 10, 190]


def test_mirror_supports_device_ids_together_with_addresses(mirror_world: World) -> None:
    audience_id = mirror_world.audience()
    maid = "5eed0123-4567-89ab-cdef-0123456789ab"
    rows: list[dict[str, Any]] = [
        {"mail": person, "MAID": "n/a" if n % 2 else None} for n, person in enumerate(people(120))
    ]
    of_device: list[dict[str, Any]] = [{"mail": None, "MAID": maid.upper()}, {"mail": None, "MAID": None}]
    mirror_world.td.create("sandbox", "people", [*rows, *of_device])
    mirror_world.task["query"] = 'SELECT mail, "MAID" FROM people -- all of them'
    ran = mirror_world.run(0, columns={"mail": "email"})
    assert ran.succeeded, ran.output
    assert digests(120) | {digest(maid)} == mirror_world.members(audience_id)
    figures = ran.stored["rows"]
    assert (122, 121, 61) == tuple(figures[name] for name in ("read", "valid", "invalid"))
    assert (1, 60) == tuple(figures["invalid_by_reason"][name] for name in ("null", "placeholder"))
    assert (
        "a share of 0.5000 of the rows" in mirror_world.run(1, columns={"mail": "email"}, max_invalid_ratio=0.4).output
    )


def test_mirror_includes_each_element_of_an_array(mirror_world: World) -> None:
    audience_id = mirror_world.audience()
    mirror_world.td.create("sandbox", "people", [{"email": person, "n": n} for n, person in enumerate(people(120))])
    mirror_world.task["query"] = "SELECT array_agg(email) AS email FROM people GROUP BY n % 40;"
    ran = mirror_world.run(0)
    assert ran.succeeded, ran.output
    assert digests(120) == mirror_world.members(audience_id)
    assert (40, 120) == tuple(ran.stored["rows"][name] for name in ("read", "valid"))


def test_list_of_device_ids_has_their_type(mirror_world: World) -> None:
    audience_id = mirror_world.audience()
    ids = [f"5eed0123-4567-89ab-cdef-{number:012x}" for number in range(120)]
    mirror_world.set_people(ids, column="idfa")
    assert mirror_world.run(0).succeeded, "idfa"
    behind = mirror_world.pinterest.lists[mirror_world.pinterest.audiences[audience_id].rule["customer_list_id"]]
    assert "IDFA" == behind.list_type
    assert {digest(one.upper()) for one in ids} == mirror_world.members(audience_id)


@pytest.mark.parametrize(
    ("name", "members", "counters", "size", "stops_at"),
    [
        ("Shop's", 60, True, 1, "already has 60 people"),
        ("Shop's", 60, True, None, "already has 60 people"),
        ("Shop's", 60, True, 70, "already has 70 people"),
        ("Shop's", 60, False, 1, "already has 1 people"),
        ("Shop's", 60, False, 0, "may have people: how many is not known"),
        ("Shop's", 1, True, 0, "already has 1 people"),
        ("Shop's", 0, True, 0, ""),
        ("Shop's (td 0a0a0a0a 12 0b0b0b0b)", 1, True, 0, "already has 1 people"),
        (f"Shop's (td 0a0a0a0a - {compute_fingerprint()})", 0, False, None, ""),
        (f"Shop's (td 0a0a0a0a - {compute_fingerprint()})", 1, True, 0, "already has 1 people"),
        ("Shop's (td 0a0a0a0a - 0b0b0b0b)", 1, True, 0, ""),
        ("Shop's (td 0a0a0a0a - 0b0b0b0b)", 2, True, 0, "already has 1 people"),
    ],
)
def test_first_run_without_begin_stops_if_the_audience_may_have_people(
    mirror_world: World, name: str, members: int, counters: bool, size: int | None, stops_at: str
) -> None:
    audience_id = mirror_world.audience(people(members, first=1000))
    audience = mirror_world.pinterest.audiences[audience_id]
    mirror_world.pinterest.lists[audience.rule["customer_list_id"]].name = name
    mirror_world.pinterest.switches.upload_counters, audience.size = counters, size
    mirror_world.set_people(people(200))
    ran = mirror_world.run(0, begin=None)
    assert (not stops_at, stops_at in ran.output) == (ran.succeeded, True), ran.output[-2000:]
    assert (digests(members, first=1000) if stops_at else digests(200)) == mirror_world.members(audience_id)


def test_named_audience_is_created_and_then_mirrored(mirror_world: World) -> None:
    mirror_world.settings |= {"audience_name": "Segment", "audience_description": "of a segment"}
    mirror_world.set_people(people(200))
    planned = mirror_world.run(0, dry_run=True)
    assert 'create audience "Segment" without people' in planned.output
    assert [] == mirror_world.pinterest.audiences_named("Segment")
    assert mirror_world.run(0).succeeded
    (audience,) = mirror_world.pinterest.audiences_named("Segment")
    assert (digests(200), "of a segment") == (mirror_world.members(audience.id), audience.description)
    mirror_world.set_people(people(195))
    with mirror_world.count_sent() as sent:
        assert mirror_world.run(1).succeeded
    assert {"REMOVE": 5} == sent
    mirror_world.pinterest.add_audience("Segment", customer_list_id=mirror_world.pinterest.add_list("another").id)
    assert '2 audiences are named "Segment"' in mirror_world.run(2).output


@pytest.mark.parametrize("step", range(1, 14))
def test_creation_of_a_mirrored_audience_survives_a_death_at_any_step(mirror_world: World, step: int) -> None:
    mirror_world.settings |= {"audience_name": "Segment", "limit_records_per_request": 100}
    mirror_world.set_people(people(200))
    assert not mirror_world.run(0, death=Death(step=step, how="after")).succeeded
    mirror_world.set_people(people(190))
    assert mirror_world.run(0).succeeded
    (audience,) = mirror_world.pinterest.audiences_named("Segment")
    assert digests(190) == mirror_world.members(audience.id)
    mirror_world.set_people(people(185))
    with mirror_world.count_sent() as sent:
        assert mirror_world.run(1).succeeded
    assert {"REMOVE": 5} == sent


@pytest.fixture
def audience_with_large_ledger(mirror_world: World, audience_id: str) -> str:
    """A ledger so large that the next day compacts it."""
    mirror_world.settings["max_leave_ratio"] = 1.0
    for day in range(1, 3):
        mirror_world.set_people(people(200, first=100 * day))
        assert mirror_world.run(day).succeeded
    assert not mirror_world.sql(f"SELECT 1 FROM {LEDGER} WHERE op = 'compacted'")
    mirror_world.set_people(people(200, first=300))
    return audience_id


def test_mirror_compacts_the_ledger_and_continues(mirror_world: World, audience_with_large_ledger: str) -> None:
    assert mirror_world.run(3).succeeded
    assert [("compacted", 1), ("member", 200)] == mirror_world.sql(
        f"SELECT op, count(*) FROM {LEDGER} GROUP BY op ORDER BY op"
    )
    assert {"people", LEDGER} == mirror_world.tables()
    mirror_world.set_people(people(200, first=303))
    with mirror_world.count_sent() as sent:
        ran = mirror_world.run(4)
    assert {"ADD": 3, "REMOVE": 3} == sent
    assert digests(200, first=303) == mirror_world.members(audience_with_large_ledger)
    assert 200 == ran.stored["members"]


@campaign
def test_member_count_of_an_adopted_audience_stays_unknown_after_compaction(mirror_world: World) -> None:
    mirror_world.audience(people(30, first=1000))
    mirror_world.settings |= {"begin": "adopt", "max_leave_ratio": 1.0}
    for day in range(5):
        mirror_world.set_people(people(200, first=100 * day))
        ran = mirror_world.run(day)
        assert (True, None) == (ran.succeeded, ran.stored["members"])
    assert mirror_world.sql(f"SELECT 1 FROM {LEDGER} WHERE op = 'compacted'")
    assert 200 == mirror_world.run(5, rebuild=True).stored["members"]
    assert 200 == mirror_world.run(6).stored["members"]


def test_replace_by_nobody_empties_the_audience(mirror_world: World) -> None:
    audience_id = mirror_world.audience(people(30, first=1000))
    mirror_world.set_people([])
    ran = mirror_world.run(0, allow_empty=True, min_records=0)
    assert (True, 0) == (ran.succeeded, ran.stored["members"])
    assert not mirror_world.members(audience_id) & digests(30, first=1000)
    mirror_world.set_people(people(120))
    with mirror_world.count_sent() as sent:
        assert mirror_world.run(1, begin=None).succeeded
    assert {"ADD": 120} == sent
    assert digests(120) <= mirror_world.members(audience_id)


@pytest.mark.parametrize("how", ["before", "midway", "after"])
@pytest.mark.parametrize("statement", range(4))
def test_compaction_that_dies_changes_nothing_and_is_repeated(
    mirror_world: World, audience_with_large_ledger: str, statement: int, how: str
) -> None:
    # The statements and writes before it: 8 statements, 29 removes and 29 adds.
    died = mirror_world.run(3, death=Death(step=8 + 2 * 29 + 1 + statement, how=how, seed=statement))
    assert died.steps[-1] in COMPACTION
    assert digests(200, first=300) == mirror_world.members(audience_with_large_ledger)
    mirror_world.set_people(people(200, first=302))
    with mirror_world.count_sent() as sent:
        assert mirror_world.run(4).succeeded
    assert {"ADD": 2, "REMOVE": 2} == sent
    assert digests(200, first=302) == mirror_world.members(audience_with_large_ledger)
    assert mirror_world.run(5).succeeded
    assert count_ledger_rows(mirror_world) < 3 * 200 + 100


@campaign
@pytest.mark.parametrize("purpose", COMPACTION)
def test_plan_made_during_a_compaction_counts(
    mirror_world: World, audience_with_large_ledger: str, purpose: str
) -> None:
    def second() -> None:
        mirror_world.set_people(people(190, first=310))
        assert mirror_world.run(3, session="a newer session").succeeded

    with run_at_statement(purpose, second):
        assert mirror_world.run(3).succeeded
    assert digests(190, first=310) == mirror_world.members(audience_with_large_ledger)
    mirror_world.set_people(people(200, first=315))
    with mirror_world.count_sent() as sent:
        assert mirror_world.run(4).succeeded
    assert {"ADD": 15, "REMOVE": 5} == sent
    assert digests(200, first=315) == mirror_world.members(audience_with_large_ledger)


@pytest.mark.parametrize("before", [0, 2])
def test_plan_that_is_overtaken_and_deleted_by_a_compaction_sends_no_more(
    mirror_world: World, audience_with_large_ledger: str, before: int
) -> None:
    def second() -> None:
        mirror_world.set_people(people(200, first=150))
        assert mirror_world.run(3, session="a newer session").succeeded
        assert ["compacted", "member"] == [
            op for (op,) in mirror_world.sql(f"SELECT DISTINCT op FROM {LEDGER} ORDER BY 1")
        ]

    mirror_world.settings["max_in_flight"] = 1
    with run_during_wait(mirror_world, second, after=before):
        older = mirror_world.run(3)
    assert "was superseded: another run has since made plan" in older.output
    assert digests(200, first=150) == mirror_world.members(audience_with_large_ledger)
    mirror_world.set_people(people(200, first=160))
    assert mirror_world.run(4).succeeded
    assert digests(200, first=160) == mirror_world.members(audience_with_large_ledger)


def test_failed_compaction_is_a_warning(mirror_world: World, audience_with_large_ledger: str) -> None:
    mirror_world.td.job_faults.add(JobFault(query="write a row for each member"))
    ran = mirror_world.run(3)
    assert ran.succeeded
    assert "the ledger could not be compacted; the next run tries again: job" in ran.output
    assert digests(200, first=300) == mirror_world.members(audience_with_large_ledger)
    assert mirror_world.run(4).succeeded
    assert 201 == count_ledger_rows(mirror_world)


def test_tables_left_by_earlier_attempts_are_dropped(mirror_world: World, audience_id: str) -> None:
    kinds = ("changes", "digests", "suppress", "consent")
    ours = {f"pinterest_{kind}_{audience_id}_0123abcd_4567cdef" for kind in kinds}
    ends = ("", "_crm", "1_0123abcd_4567cdef", "_0123abcd_vip_2026")
    others = {f"pinterest_digests_{audience_id}{end}" for end in ends} | {"pinterest_digests_new_customers"}
    for name in ours | others:
        mirror_world.td.create(DATABASE, name, [{"email": "a@b.cc"}])
    assert ours < mirror_world.tables()
    assert mirror_world.run(1).succeeded
    assert others | {LEDGER, "people"} == mirror_world.tables()
