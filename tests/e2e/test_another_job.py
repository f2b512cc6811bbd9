"""The same session with another job, or another audience: what a list of the session is not gone on with for."""

from __future__ import annotations

import pytest

from td_pinterest_op.errors import JobError, LimitError
from td_pinterest_op.treasure_data.api import TreasureData
from tests.e2e.audiences import CLEAR, NEW, REPLACE, list_behind, list_name, the_audience
from tests.emulators.pinterest import Answer, Fault
from tests.emulators.td.faults import Fault as TreasureDataFault
from tests.exporting import Services, digests, people


def test_create_with_the_same_people_goes_on_with_the_list_of_the_earlier_job(services: Services) -> None:
    services.export(NEW, job_id=services.job(people(9)))
    stored = services.export(NEW, job_id=services.job(reversed([person.upper() for person in people(9)])))
    assert digests(9) == services.pinterest.members_of_audience(the_audience(services))
    assert 1 == len(services.pinterest.lists)
    assert list_behind(services, the_audience(services)) == stored["customer_list_id"]


def test_create_with_other_people_leaves_one_audience_of_these_people_only(services: Services) -> None:
    services.export(NEW, job_id=services.job(people(9)))
    before = list_behind(services, the_audience(services))
    stored = services.export(NEW, job_id=services.job(people(5, first=7)))
    assert digests(5, first=7) == services.pinterest.members_of_audience(the_audience(services))
    assert before == stored["previous_customer_list_id"]


@pytest.mark.parametrize("settings", [NEW, {"action": REPLACE}], ids=["create", "replace"])
def test_people_of_a_try_that_died_half_way_are_not_mixed_with_those_of_another_job(
    services: Services, settings: dict[str, str]
) -> None:
    audience = {} if settings is NEW else {"audience_id": services.audience(people(3, first=100))}
    batches = settings | audience | {"limit_records_per_request": "2", "retry_count": 0, "max_in_flight": 1}
    services.pinterest.inject(Fault(effect=Answer(status=500), operation="customer_lists/update", after=1, times=None))
    with pytest.raises(Exception, match="Partly sent: of 9 records 4 are in"):
        services.export(batches, job_id=services.job(people(9)))
    services.pinterest.faults.clear()
    services.export(batches, job_id=services.job(people(9, first=50)))
    audience_id = audience.get("audience_id") or the_audience(services)
    assert digests(9, first=50) == services.pinterest.members_of_audience(audience_id)


def test_replace_goes_on_with_the_earlier_list_when_that_job_has_the_same_people(services: Services) -> None:
    settings = {"action": REPLACE, "audience_id": services.audience(people(3, first=100))}
    first = services.job(people(9))
    services.export(settings, job_id=first)
    services.export(settings, job_id=services.job(people(9)))
    assert [list_name("Shoppers", first, digests(9))] == [
        customer_list.name for customer_list in services.pinterest.lists.values() if "(td " in customer_list.name
    ]


def test_the_earlier_job_is_not_read_again(services: Services) -> None:
    settings = {"action": REPLACE, "audience_id": (audience_id := services.audience(people(3, first=100)))}
    first = services.job(people(9))
    services.export(settings, job_id=first)
    services.td.set_status(first, "error")
    services.export(settings, job_id=services.job(people(9)))
    assert digests(9) == services.pinterest.members_of_audience(audience_id)
    assert 2 == len(services.pinterest.lists)


@pytest.mark.parametrize(
    "settings",
    [{"action": REPLACE}, {"action": REPLACE, "allow_empty": True}, {"action": CLEAR}],
    ids=["replace", "replace with nobody", "clear"],
)
def test_two_audiences_of_one_name_never_stand_on_one_list(services: Services, settings: dict[str, object]) -> None:
    records = [] if "allow_empty" in settings else people(9)
    job = None if settings["action"] == CLEAR else services.job(records)
    twin, other = services.audience(people(2), name="Twin"), services.audience(people(3), name="Twin")
    for audience_id in (twin, other, twin, other):
        services.export(settings | {"audience_id": audience_id}, job_id=job)
    assert list_behind(services, twin) != list_behind(services, other)
    assert 4 == len(services.pinterest.lists)


def test_the_share_of_invalid_rows_counts_rows_when_there_are_several_columns(services: Services) -> None:
    rows = [(person, "no device") for person in people(10)]
    job = services.td.add_job(columns=[("email", "varchar"), ("maid", "varchar")], rows=rows)
    settings = {"action": REPLACE, "audience_id": services.audience(), "ignore_invalid_records": True}
    with pytest.raises(LimitError, match=r"a share of 1\.0000 of the rows"):
        services.export(settings | {"max_invalid_ratio": "0.9"}, job_id=job)


def test_a_result_that_another_user_keeps_to_himself_is_named_as_such(services: Services) -> None:
    job_id = services.job(people(9))
    services.td.faults.add(TreasureDataFault(kind="status", status=403, path="/v3/job/result/", times=1))
    with pytest.raises(JobError, match=f"may not read the result of job {job_id}: another user ran it. Run the query"):
        services.export(NEW, job_id=job_id)
    assert [] == services.pinterest.calls.writes()


def test_the_connections_to_both_services_are_closed_after_a_run(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []
    monkeypatch.setattr(TreasureData, "close", lambda td: closed.append(td))
    services.export(NEW, job_id=services.job(people(9)))
    assert [TreasureData] == [type(td) for td in closed]
