"""Creating an audience: one list and one audience, wherever the task is killed and however often it is repeated."""

from typing import Any

import pytest

from td_pinterest_op.errors import AudienceError, PinterestError, RequestRefusedError
from tests.e2e.audiences import ADD, NEW, NEXT_DAY, REPLACE, current_list_id, list_name, only_audience_id
from tests.emulators.pinterest import AD_ACCOUNT_ID, Fault, Mangle, When
from tests.exporting import SESSION, Services, digest, digests, people

DEVICE = "5eed0001-aaaa-4bbb-8ccc-000000000001"


def test_create_fills_a_list_before_it_creates_the_audience(services: Services) -> None:
    job = services.job(people(10))
    stored = services.export(NEW | {"audience_description": "Spring buyers"}, job_id=job)
    audience_id = only_audience_id(services)
    assert services.pinterest.members_of_audience(audience_id) == digests(10)
    assert (
        list_name("Spring", job, digests(10)) == services.pinterest.lists[current_list_id(services, audience_id)].name
    )
    assert services.pinterest.audiences[audience_id].description == "Spring buyers"
    operations = [call.operation for call in services.pinterest.calls.writes()]
    assert operations == ["customer_lists/create", "audiences/create"]
    assert (stored["audience_id"], stored["audience_name"]) == (audience_id, "Spring")
    assert current_list_id(services, audience_id) == stored["customer_list_id"]


def test_list_has_the_type_of_its_column(services: Services) -> None:
    services.export(NEW, job_id=services.job([DEVICE], column="idfa"))
    behind = services.pinterest.lists[current_list_id(services, only_audience_id(services))]
    assert behind.list_type == "IDFA"
    assert services.pinterest.members(behind.id) == {digest(DEVICE.upper())}


def test_create_in_another_session_names_the_audience_with_that_name_and_what_to_do(services: Services) -> None:
    services.export(NEW, job_id=services.job(people(3)))
    services.pinterest.calls.clear()
    with pytest.raises(AudienceError) as caught:
        services.export(NEW, job_id=services.job(people(5)), session_time=NEXT_DAY)
    for part in ('"Spring" already exists', f"(id {only_audience_id(services)})", ADD, REPLACE, "audience_name"):
        assert part in str(caught.value)
    assert services.pinterest.calls.writes() == []
    assert len(services.pinterest.lists) == 1


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Spring", {"removed": True}),
        ("Spring", {"shared_with": [AD_ACCOUNT_ID], "ad_account_id": "77"}),
        ("Spring 2", {}),
    ],
)
def test_removed_received_or_similarly_named_audience_does_not_block_a_name(
    services: Services, name: str, fields: dict[str, Any]
) -> None:
    services.pinterest.add_ad_account("77")
    other = services.pinterest.add_audience(name, **fields)
    stored = services.export(NEW, job_id=services.job(people(3)))
    assert other.id != stored["audience_id"]
    assert services.pinterest.members_of_audience(stored["audience_id"]) == digests(3)


@pytest.mark.parametrize(
    ("second", "last"),
    [(SESSION, {}), (NEXT_DAY, {}), (SESSION, {"if_exists": "add"})],
    ids=["of one session", "of two sessions", "before others are added"],
)
def test_rerun_keeps_the_oldest_of_two_audiences_that_appear_late(
    services: Services, second: str, last: dict[str, str]
) -> None:
    job_id = services.job(people(10))
    services.pinterest.switches.listing_lag_seconds = 60
    mangled = Fault(effect=Mangle(how="no_id"), operation="audiences/create", when=When.AFTER, times=2)
    services.pinterest.inject(mangled)
    for session_time in (SESSION, second):
        with pytest.raises(PinterestError, match="does not have an id of digits"):
            services.export(NEW, job_id=job_id, session_time=session_time)
    older, newer = services.pinterest.audiences_named("Spring")
    services.time.sleep(60)
    if second != SESSION:
        with pytest.raises(AudienceError, match=rf'"Spring" already exists \(id {older.id}\)'):
            services.export(NEW, job_id=job_id, session_time=second)
    services.export(NEW | last, job_id=services.job(people(12)) if last else job_id)
    assert [older.id] == [audience.id for audience in services.pinterest.audiences_named("Spring")]
    assert newer.removed
    assert services.pinterest.members_of_audience(older.id) == digests(12 if last else 10)


@pytest.mark.parametrize(
    ("if_exists", "said"),
    [
        ("fail", 'Replaced the members of audience "Spring" (which this session had created before) with 5 records.'),
        ("add", 'Added 5 records to audience "Spring" (which this session had created before).'),
    ],
)
def test_rerun_of_a_finished_create_says_what_it_did_and_not_that_it_created(
    services: Services, if_exists: str, said: str
) -> None:
    settings = NEW | {"if_exists": if_exists}
    services.export(settings, job_id=services.job(people(3)))
    assert services.export(settings, job_id=services.job(people(5)))["summary"] == said


def test_rerun_keeps_its_audience_when_an_older_one_gets_its_name_later(services: Services) -> None:
    other = services.pinterest.add_audience("Other")
    job_id = services.job(people(10))
    first = services.export(NEW, job_id=job_id)
    services.time.sleep(86_400)
    other.name = "Spring"
    services.export(NEW, job_id=job_id)
    assert not services.pinterest.audiences[first["audience_id"]].removed


def test_refused_creation_of_the_audience_tells_how_many_records_were_sent(services: Services) -> None:
    services.pinterest.answer(400, operation="audiences/create", times=None)
    with pytest.raises(RequestRefusedError, match="Before that, 10 of 10 records were sent"):
        services.export(NEW, job_id=services.job(people(10)))
