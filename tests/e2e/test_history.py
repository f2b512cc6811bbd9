"""The history that every workflow keeps, and the follow-up's workflow, run from the bundle."""

from pathlib import Path

import pytest

from tests.e2e.project import ENGINES, Run, edit_file, read_history, use_audience
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digests, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(autouse=True)
def people_to_export(services: Services) -> None:
    services.td.create_people("sandbox", people(120), opted_in=1)


def test_history_is_turned_off_by_one_line(run: Run, services: Services, project: Path) -> None:
    use_audience(project, services.audience(people(3)))
    for name in ("export", "status"):
        edit_file(project / "config" / f"{name}.yml", ("^history: .*$", "history: ''"))
    for workflow in ("pinterest_export", "pinterest_status"):
        assert "the history" not in run(workflow).log
    assert [table.name for table in services.td.warehouse.tables("sandbox")] == ["people"]


def test_each_day_of_follow_up_writes_a_row_and_fails_for_too_small(
    run: Run, services: Services, project: Path
) -> None:
    use_audience(project, audience_id := services.audience(people(40)))
    held = services.pinterest.audiences[audience_id]
    succeeded = []
    for status, size in (("TOO_SMALL", 40), ("READY", 4000)):
        held.status = status
        held.size = size
        ran = run("pinterest_status")
        succeeded.append(ran.succeeded)
        problem = f'ad account {AD_ACCOUNT_ID}: audience {audience_id} "Shoppers": its status is TOO_SMALL'
        assert (problem in ran.log) == (status == "TOO_SMALL")
    assert succeeded == [False, True]
    names = ("kind", "outcome", "audience_id", "audience_status", "audience_size")
    assert [tuple(row[name] for name in names) for row in read_history(services)] == [
        ("follow-up", "failed", audience_id, "TOO_SMALL", 40),
        ("follow-up", "success", audience_id, "READY", 4000),
    ]


def test_erasure_removes_people_from_every_list_and_writes_a_row(run: Run, services: Services) -> None:
    services.td.create_people("sandbox", people(5), table="opt_outs")
    held = [services.pinterest.add_list(f"List {number}", members=digests(9)) for number in range(3)]
    ran = run("pinterest_erasure")
    assert ran.succeeded, ran.log
    assert "Pinterest was asked to remove 5 records from 3 of 3 customer lists." in ran.log
    for behind in held:
        assert services.pinterest.members(behind.id) == digests(4, first=5)
    (row,) = read_history(services)
    assert tuple(row[name] for name in ("outcome", "action", "rows_read", "requests_sent")) == (
        "success",
        "erase",
        5,
        3,
    )
