"""Where the digest of an erased person is, in every table: with a mirror that goes on, is killed, or is deleted."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.erasure import erase_people
from td_pinterest_op.errors import ExportError, JobError, MirrorError, SettingsError, StoppedError
from td_pinterest_op.task_runtime.task import Task
from tests import guard
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.emulators.td import JobFault
from tests.exporting import digest, digests, people
from tests.mirror.days import DATABASE, LEDGER, World, run_at_statement
from tests.mirror.test_withholding import set_lists

ERASED = people(1)
DIGEST = digest(ERASED[0])
PAGE = Path(__file__).parent.parent.parent / "docs" / "privacy.md"
DAY = 24 * 3600


def erase(mirror_world: World, opted_out: Sequence[object] = ERASED, **settings: Any) -> dict[str, Any]:
    """Run an erasure, at the time of now. `settings` may hold the task's parameters, too."""
    mirror_world.td.create(DATABASE, "opted_out", [{"email": person} for person in opted_out])
    query = "-- set session a = 'b'\nSELECT email FROM opted_out"
    task = {"database": DATABASE, "query": query, "engine": "presto", "job_id": None}
    params: dict[str, Any] = {name: settings.pop(name, value) for name, value in task.items()}
    given = {"ad_account_id": AD_ACCOUNT_ID, "ledgers": LEDGER, "ignore_invalid_records": True} | settings
    params = {name: value for name, value in params.items() if value is not None} | {"result_settings": given}
    stored = erase_people(Task(params=params, environ=mirror_world.environ), mirror_world.time.timing)
    guard.check(str(stored), "the store")
    return stored


def find_tables(mirror_world: World) -> set[str]:
    """Return the tables that have the digest of the erased person."""
    found = set()
    for table in mirror_world.tables():
        for row in mirror_world.sql(f"SELECT * FROM {table}"):
            if DIGEST in row:
                found.add(re.sub(r"_[0-9]+_[0-9a-f]{8}_[0-9a-f]{8}$", "", table))
    return found


def test_an_address_that_the_warehouse_cannot_hash_leaves_the_ledger_as_it_is(
    mirror_world: World, audience_id: str
) -> None:
    mirror_world.follow(1, people(195))
    with pytest.raises(JobError, match=f"the warehouse cannot hash: .* but {DATABASE}.{LEDGER} may still have them"):
        erase(mirror_world, [*ERASED, "SOFI\u03a3@shop.example"])
    assert find_tables(mirror_world) == {LEDGER}
    assert mirror_world.members() == digests(194, first=1)


def test_erasure_deletes_people_from_ledgers_and_names_them_in_the_receipt(
    mirror_world: World, audience_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    mirror_world.follow(1, people(195))
    opted_out = [people(1)[0].upper(), digests(1, first=1).pop(), "n/a", *people(1, first=500)]
    jobs = len(mirror_world.td.jobs.all())
    planned = erase(mirror_world, opted_out, dry_run=True)
    assert planned["ledgers"] == []
    assert f"2 requests, and delete them from {DATABASE}.{LEDGER} (dry run: nothing is written)" in caplog.text
    assert find_tables(mirror_world) == {LEDGER}
    stored = erase(mirror_world, opted_out, ledgers=[LEDGER])
    assert stored["ledgers"] == [f"{DATABASE}.{LEDGER}"]
    left = {each for (each,) in mirror_world.sql(f"SELECT digest FROM {LEDGER} WHERE digest IS NOT NULL")}
    assert left == digests(198, first=2)
    assert mirror_world.members() == digests(193, first=2)
    queries = [job.query for job in mirror_world.td.jobs.all()[:-jobs]]
    # Treasure Data keeps the text of a job.
    assert not [query for query in queries for each in digests(2) if each in query]
    assert queries[0].startswith(
        "-- td_pinterest_op: delete people from a mirror's ledger\n-- set session a = 'b'\nDELETE"
    )
    # The mirror goes on.
    set_lists(mirror_world, suppress=opted_out[:2])
    assert mirror_world.run(2).stored["members"] == 193
    assert not mirror_world.run(3).sent


def test_mirror_after_an_erasure_without_ledgers_counts_people_as_members_until_they_leave(
    mirror_world: World, audience_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    erase(mirror_world, ledgers="")
    assert "a mirror counts these people as members until its next run removes them" in caplog.text
    assert mirror_world.run(1).stored["members"] == 200
    assert mirror_world.members() == digests(199, first=1)
    set_lists(mirror_world, suppress=ERASED)
    ran = mirror_world.run(2)
    assert (ran.sent, ran.stored["mirror"]["left"], ran.stored["members"]) == ({"REMOVE": 1}, 1, 199)
    assert not mirror_world.run(3).sent


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"query": None, "job_id": "12"}, SettingsError, "ledgers needs `query` and `database` on this task"),
        ({"engine": "hive"}, SettingsError, "and the engine presto or trino"),
        ({"ledgers": "no_such_table"}, JobError, "there is no table sandbox.no_such_table, which `ledgers` names"),
        ({"ledgers": "nowhere.ledger"}, JobError, 'there is no database "nowhere"'),
        ({"ledgers": [LEDGER, "people"]}, MirrorError, "the table sandbox.people is not a mirror's ledger, or"),
    ],
)
def test_ledger_that_cannot_be_erased_from_ends_an_erasure_before_it_begins(
    mirror_world: World, audience_id: str, settings: dict[str, Any], kind: type[ExportError], message: str
) -> None:
    writes = len(mirror_world.pinterest.calls.writes())
    with pytest.raises(kind, match=re.escape(message)):
        erase(mirror_world, **settings)
    assert len(mirror_world.pinterest.calls.writes()) == writes
    assert find_tables(mirror_world) == {LEDGER}


def test_failed_deletion_is_an_error_and_a_rerun_repeats_it(mirror_world: World, audience_id: str) -> None:
    mirror_world.td.job_faults.add(JobFault(query="DELETE"))
    with pytest.raises(JobError, match=f"Pinterest was asked to remove the people, but {DATABASE}.{LEDGER} may still"):
        erase(mirror_world)
    assert mirror_world.members() == digests(199, first=1)
    mirror_world.td.job_faults.clear()
    assert erase(mirror_world)["ledgers"] == [f"{DATABASE}.{LEDGER}"]
    assert find_tables(mirror_world) == set()


def test_ledger_keeps_people_of_whom_a_list_is_not_rid(mirror_world: World, audience_id: str) -> None:
    mirror_world.pinterest.answer(403, operation="customer_lists/update", times=None)
    with pytest.raises(ExportError, match="2 of 2 lists may still contain people"):
        erase(mirror_world)
    assert find_tables(mirror_world) == {LEDGER}


@pytest.mark.parametrize("uses_ledgers", [True, False], ids=["ledgers", "by itself"])
@pytest.mark.parametrize("mirror", ["goes on", "is killed", "is killed for good", "is deleted"])
def test_digest_of_an_erased_person_is_nowhere_after_thirty_days(
    mirror_world: World, audience_id: str, mirror: str, uses_ledgers: bool
) -> None:
    """The tables with the digest an hour, a day and 31 days after the erasure."""
    set_lists(mirror_world, suppress=ERASED)
    erased_at = mirror_world.time.now()

    def stop() -> None:
        raise StoppedError("killed")

    if mirror.startswith("is killed"):
        # The lists are hashed, and nothing is cleaned up.
        with run_at_statement("compare the people", stop), pytest.MonkeyPatch.context() as patch:
            patch.setattr("td_pinterest_op.mirroring.mirror_jobs.MirrorJobs.drop_tables", lambda *_: None)
            assert not mirror_world.run(0.001, session="killed").succeeded
    erase(mirror_world, ledgers=LEDGER if uses_ledgers else "")
    seen = [find_tables(mirror_world)]
    for days in (1 / 24, 0.5, 1, 10.5, 20.5, 30.5, 31):
        mirror_world.time.sleep(max(erased_at + days * DAY - mirror_world.time.now(), 0))
        if days % 1 == 0.5:
            assert mirror not in ("goes on", "is killed") or mirror_world.run(days).succeeded
            continue
        if days == 1 and mirror == "is deleted":
            (statement,) = re.findall(r"```sql\n(DELETE .*)\n```", PAGE.read_text())
            mirror_world.sql(statement.replace("2542620905475", audience_id))
        seen.append(find_tables(mirror_world))
    by_itself = set() if uses_ledgers else {LEDGER}
    temporary = {"pinterest_suppress"} if mirror.startswith("is killed") else set[str]()
    assert (
        seen
        == {
            "goes on": [by_itself, by_itself, by_itself, set()],
            "is killed": [by_itself | temporary, by_itself | temporary, by_itself, set()],
            # Nobody but its owner can end this.
            "is killed for good": [by_itself | temporary] * 4,
            "is deleted": [by_itself, by_itself, set(), set()],
        }[mirror]
    )
