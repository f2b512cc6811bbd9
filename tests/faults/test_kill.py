"""The process dies: at every request of a run once, by SIGKILL; and in the middle of sending, by SIGTERM."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests import guard
from tests.emulators.pinterest import Call, Fault, Stall, When
from tests.exporting import Services, digests, people
from tests.faults import child
from tests.faults.child import KILLED, Killer
from tests.faults.test_lists import SENT, create_queries

RECORDS = 12
BATCH = 4
NAME = "Shoppers"
# How many requests a run makes at most.
CREATE_REQUESTS = 15
REPLACE_REQUESTS = 19


def run_until_killed(
    services: Services, settings: dict[str, Any], job_id: str | None, number: int, folder: Path, **task: Any
) -> list[str]:
    """Run an export in its own process and kill it; return the operations that took effect."""
    # After it took effect and before its response.
    services.pinterest.on_request((killer := Killer(number)).append, when=When.AFTER)
    code, said = killer.wait(child.start_run(services, settings, job_id=job_id, folder=folder / "run", **task))
    # A run with fewer requests ends before it is killed.
    assert (KILLED if len(killer) >= number else 0) == code, said
    return [call.operation for call in killer]


def run_until_killed_at_job(
    services: Services, settings: dict[str, Any], number: int, folder: Path, **task: Any
) -> bool:
    """Run an export in its own process and kill it after its `number`-th job; return whether it had that many."""
    services.td.jobs.on_end = (killer := Killer(number)).append
    code, said = killer.wait(child.start_run(services, settings, job_id=None, folder=folder / "run", **task))
    services.td.jobs.on_end = lambda _: None
    assert (KILLED if len(killer) >= number else 0) == code, said
    return len(killer) >= number


def settings_of(action: str, **more: str) -> dict[str, Any]:
    return {"action": action, "limit_records_per_request": BATCH, "max_in_flight": 2, **more}


@pytest.mark.parametrize("number", range(1, CREATE_REQUESTS + 2))
def test_creation_with_a_list_survives_a_kill_at_any_request(services: Services, number: int, tmp_path: Path) -> None:
    settings = settings_of("create_new_audience", audience_name=NAME)
    task = create_queries(services)
    operations = run_until_killed(services, settings, None, number, tmp_path, **task)
    assert number <= CREATE_REQUESTS or len(operations) < number
    assert all(services.pinterest.members(held) <= SENT for held in services.pinterest.lists)
    services.export(settings, **task)
    (audience,) = services.pinterest.audiences_named(NAME, removed=None)
    assert services.pinterest.members_of_audience(audience.id) == SENT
    assert len(services.pinterest.lists) <= 2  # the list of opt-outs is asked anew in every try


@pytest.mark.parametrize("number", range(1, REPLACE_REQUESTS + 2))
def test_replacement_survives_a_kill_at_any_request(services: Services, number: int, tmp_path: Path) -> None:
    job_id = services.job(people(RECORDS))
    old = digests(3, first=500)
    audience_id = services.audience(people(3, first=500), name=NAME)
    (old_list,) = services.pinterest.lists
    settings = settings_of("replace_current_audience", audience_id=audience_id)
    operations = run_until_killed(services, settings, job_id, number, tmp_path)
    assert number <= REPLACE_REQUESTS or len(operations) < number
    moved = "audiences/update" in operations
    assert (digests(RECORDS) if moved else old) == services.pinterest.members_of_audience(audience_id)
    services.export(settings, job_id=job_id)
    assert services.pinterest.members_of_audience(audience_id) == digests(RECORDS)
    assert old == services.pinterest.members(old_list)
    assert len(services.pinterest.lists) == 2 + moved  # a list in use is not filled again
    assert len(services.pinterest.audiences) == 1


# A day of the mirror: its jobs, and its requests with leavers and joiners.
MIRROR_JOBS = 9
MIRROR_REQUESTS = 10
MIRROR: dict[str, Any] = {
    "database": "crm",
    "query": "SELECT email FROM people",
    "suppress": "SELECT email FROM opt_outs",
}


def set_people(services: Services, everybody: list[str], *, opted_out: list[str]) -> None:
    for name, found in (("people", everybody), ("opt_outs", opted_out)):
        services.td.create_people("crm", found, table=name)


@pytest.fixture
def mirror(services: Services) -> dict[str, Any]:
    """The settings of a mirror that follows twelve people, after its first day."""
    audience_id = services.audience(name=NAME)
    set_people(services, people(RECORDS), opted_out=["else@shop.example"])
    limits = {"min_records": 0, "max_leave_ratio": 1, "max_in_flight": 1}
    settings = settings_of("mirror_current_audience", audience_id=audience_id) | limits
    services.export(settings, **MIRROR)
    # Five leave and six join.
    set_people(services, people(RECORDS + 1, first=5), opted_out=["else@shop.example"])
    return settings


def check_rerun(services: Services, settings: dict[str, Any]) -> None:
    """Let two more people opt out, run the same session again, and check its members."""
    set_people(services, people(RECORDS + 1, first=5), opted_out=people(2, first=5))
    services.export(settings, **MIRROR)
    assert services.pinterest.members_of_audience(settings["audience_id"]) == digests(RECORDS - 1, first=7)
    assert {table.name for table in services.td.warehouse.tables("crm")} == {"people", "opt_outs", "pinterest_ledger"}


@pytest.mark.parametrize("number", range(1, MIRROR_JOBS + 2))
def test_mirror_survives_a_kill_at_any_statement(
    services: Services, mirror: dict[str, Any], number: int, tmp_path: Path
) -> None:
    was_killed = run_until_killed_at_job(services, mirror, number, tmp_path, **MIRROR)
    assert (number <= MIRROR_JOBS + 2) == was_killed
    check_rerun(services, mirror)


@pytest.mark.parametrize("number", range(1, MIRROR_REQUESTS + 1))
def test_mirror_survives_a_kill_at_any_request(
    services: Services, mirror: dict[str, Any], number: int, tmp_path: Path
) -> None:
    assert number == len(run_until_killed(services, mirror, None, number, tmp_path, **MIRROR))
    check_rerun(services, mirror)


def test_sigterm_ends_a_run_within_seconds_with_its_progress(services: Services, tmp_path: Path) -> None:
    audience_id = services.audience(name=NAME)
    services.pinterest.inject(Fault(effect=Stall(), operation="customer_lists/update", after=2, times=None))
    asked: list[float] = []

    def told_to_end(call: Call) -> None:
        if call.records and not asked and len(services.pinterest.calls.of("customer_lists/update")) >= 4:
            asked.append(time.monotonic())
            run.send_signal(signal.SIGTERM)

    settings = settings_of("add_people_to_current_audience", audience_id=audience_id)
    services.pinterest.on_request(told_to_end)
    run = child.start_run(services, settings, job_id=services.job(people(40)), folder=tmp_path / "run")
    code, said = run.wait()
    assert time.monotonic() - asked[0] < 30  # far less than the time limits of requests
    assert code > 0
    assert "the run was stopped (SIGTERM)" in said
    assert "Partly sent: 8 of 40 records sent" in said
    assert "A repeated run sends all records again, which is safe" in said
    assert list(run.temp.iterdir()) == []
    guard.check(said, "the output")
    services.pinterest.faults.clear()
    services.export(settings, job_id=services.job(people(40)))
    assert services.pinterest.members_of_audience(audience_id) == digests(40)
