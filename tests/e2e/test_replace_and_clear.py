"""Replacing and clearing: the audience is switched to another list, and keeps its members until then."""

from datetime import datetime, timezone
from typing import Any

import pytest

from td_pinterest_op.errors import AudienceError, ExportError, PinterestError, RequestRefusedError
from tests.e2e.audiences import (
    ADD,
    CLEAR,
    CREATE,
    NEW,
    NEXT_DAY,
    REPLACE,
    current_list_id,
    fingerprint,
    is_cleared,
    list_name,
    session_task_key,
    settings_of,
)
from tests.emulators.pinterest import Call, When
from tests.exporting import SESSION, Services, digests, people


def test_replace_switches_the_audience_to_a_list_of_the_querys_people_after_the_last_batch(services: Services) -> None:
    audience_id = services.audience(people(5, first=100))
    before = current_list_id(services, audience_id)
    job = services.job(people(10))
    settings = {"action": REPLACE, "audience_id": audience_id, "limit_records_per_request": 4}
    stored = services.export(settings, job_id=job)
    after = current_list_id(services, audience_id)
    assert services.pinterest.members_of_audience(audience_id) == digests(10)
    assert list_name("Shoppers", job, digests(10)) == services.pinterest.lists[after].name
    assert (before, after) == (stored["previous_customer_list_id"], stored["customer_list_id"])
    assert services.pinterest.members(before) == digests(5, first=100)
    operations = [call.operation for call in services.pinterest.calls.writes()]
    assert operations == ["customer_lists/create", *["customer_lists/update"] * 2, "audiences/update"]


@pytest.mark.parametrize("settings", [{"action": REPLACE}, NEW], ids=["replace", "create"])
def test_replace_or_create_repeated_in_its_session_removes_people_added_since(
    services: Services, settings: dict[str, Any]
) -> None:
    if settings["action"] == REPLACE:
        settings = settings | {"audience_id": services.audience(people(3, first=900))}
    job = services.job(people(60))
    first = services.export(settings, job_id=job)
    by_mistake = {"action": ADD, "audience_id": first["audience_id"]}
    services.export(by_mistake, job_id=services.job(people(50, first=100)))
    dry = services.export({**settings, "dry_run": True}, job_id=job)
    stored = services.export(settings, job_id=job)
    assert services.pinterest.members_of_audience(first["audience_id"]) == digests(60)
    assert (dry["members"], stored["members"]) == (None, 60)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"processing_seconds": 1e9, "processing_refusal": "400"}, "Pinterest answered 400"),
        ({"new_list_missing_seconds": 1e9}, "Pinterest answered 404.*4 of 10 records sent"),
    ],
    ids=["never finished", "never found"],
)
def test_list_that_never_becomes_ready_is_not_used_after_waiting(
    services: Services, switches: dict[str, Any], message: str
) -> None:
    services.pinterest.switches.set(switches)
    audience_id = services.audience(people(5))
    begin = services.time.now()
    settings = {"action": REPLACE, "audience_id": audience_id, "limit_records_per_request": 4, "retry_count": 2}
    with pytest.raises(RequestRefusedError, match=message):
        services.export(settings, job_id=services.job(people(10)))
    assert services.pinterest.members_of_audience(audience_id) == digests(5)
    assert 30 <= services.time.now() - begin < 75  # several batches wait at once


def clear(services: Services, audience_id: str, **params: Any) -> dict[str, Any]:
    return services.export({"action": CLEAR, "audience_id": audience_id}, **params)


def test_clear_creates_no_second_list_after_an_unrelated_rejection(services: Services) -> None:
    audience_id = services.audience(people(5))
    services.pinterest.answer(422, operation="customer_lists/create", times=None)
    with pytest.raises(RequestRefusedError, match="Pinterest answered 422"):
        clear(services, audience_id)
    assert len(services.pinterest.calls.of("customer_lists/create")) == 1
    assert services.pinterest.members_of_audience(audience_id) == digests(5)


@pytest.mark.parametrize("demands_records", [True, False])
def test_clear_switches_the_audience_to_a_new_empty_email_list(services: Services, demands_records: bool) -> None:
    services.pinterest.switches.records_required = demands_records
    audience_id = services.audience(people(5))
    before = current_list_id(services, audience_id)
    stored = clear(services, audience_id)
    behind = services.pinterest.lists[current_list_id(services, audience_id)]
    assert is_cleared(services, audience_id)
    assert (len(behind.members), behind.list_type) == (int(demands_records), "EMAIL")
    assert f"Shoppers (td {session_task_key()} - {fingerprint([])} {int(demands_records)})" == behind.name
    assert (before, behind.id) == (stored["previous_customer_list_id"], stored["customer_list_id"])
    assert services.pinterest.members(before) == digests(5)
    assert services.td.requests == []


def test_clear_of_an_audience_with_a_lone_surrogate_in_its_name_succeeds(services: Services) -> None:
    services.pinterest.switches.records_required = True
    audience_id = services.audience(people(5), name="Shop \ud83d")
    clear(services, audience_id)
    assert is_cleared(services, audience_id)


@pytest.mark.parametrize("session_time", [SESSION, NEXT_DAY], ids=["the same session", "another session"])
def test_clear_of_a_cleared_audience_writes_nothing(services: Services, session_time: str) -> None:
    audience_id = services.audience(people(5))
    clear(services, audience_id)
    services.pinterest.calls.clear()
    stored = clear(services, audience_id, session_time=session_time)
    assert services.pinterest.calls.writes() == []
    assert (
        stored["previous_customer_list_id"],
        stored["customer_list_id"],
    ) == (None, current_list_id(services, audience_id))


@pytest.mark.parametrize(
    ("came", "demands_records", "session_time"), [(1, True, SESSION), (1, False, NEXT_DAY), (3, True, NEXT_DAY)]
)
def test_clear_removes_people_added_since_the_last_clear(
    services: Services, session_time: str, came: int, demands_records: bool
) -> None:
    services.pinterest.switches.records_required = demands_records
    audience_id = services.audience(people(5))
    clear(services, audience_id)
    services.export({"action": ADD, "audience_id": audience_id}, job_id=services.job(people(came)))
    clear(services, audience_id, session_time=session_time)
    assert is_cleared(services, audience_id)
    assert len(services.pinterest.lists) == 3


@pytest.mark.parametrize(
    "switches", [{"upload_counters": False}, {"reading_lag_seconds": 5.0, "listing_lag_seconds": 5.0}]
)
def test_clear_repeats_when_the_upload_counter_is_missing_or_late(services: Services, switches: dict[str, Any]) -> None:
    audience_id = services.audience(people(5))
    clear(services, audience_id)
    services.time.sleep(60)
    services.export({"action": ADD, "audience_id": audience_id}, job_id=services.job(people(3)))
    services.pinterest.switches.set(switches)
    clear(services, audience_id)
    assert is_cleared(services, audience_id)


OVER_OLD = NEW | {"if_exists": "replace"}


def switching_settings(services: Services, action: str) -> dict[str, Any]:
    """Return the settings of an action that switches an audience with three people to a new list."""
    audience_id = services.audience(people(3, first=100), name=str(NEW["audience_name"]))
    return OVER_OLD if action == CREATE else {"action": action, "audience_id": audience_id}


@pytest.mark.parametrize("action", [REPLACE, CLEAR, CREATE])
@pytest.mark.parametrize(
    ("status", "seconds"), [(400, 0), (403, 0), (404, 0), (422, 0), (409, None)], ids=lambda value: str(value)
)
def test_refused_switch_is_an_error_that_names_the_actions_without_a_switch(
    services: Services, action: str, status: int, seconds: int | None
) -> None:
    settings = switching_settings(services, action)
    (audience,) = services.pinterest.audiences_named("Spring")
    job = None if action == CLEAR else services.job(people(10))
    services.pinterest.answer(status, operation="audiences/update", times=None)
    times: dict[str, float] = {}
    services.pinterest.on_request(lambda call: times.setdefault(call.operation, services.time.now()))
    with pytest.raises(ExportError) as caught:
        services.export(settings, job_id=job)
    made = max(services.pinterest.lists, key=int)
    assert f"The audience is unchanged, and customer list {made} stays without use" in str(caught.value)
    ways = (
        ["remove_people_from_current_audience"]
        if action == CLEAR
        else ["create_new_audience with another audience_name", "begin: adopt, which leaves in people"]
    )
    assert [way for way in ways if way not in str(caught.value)] == []
    assert services.pinterest.members_of_audience(audience.id) == digests(3, first=100)
    if seconds is not None:
        assert services.time.now() - times["audiences/update"] == seconds
        assert len(services.pinterest.calls.of("audiences/update")) == 1
    services.pinterest.faults.clear()
    services.export(settings, job_id=job)
    assert current_list_id(services, audience.id) == made == max(services.pinterest.lists, key=int)


@pytest.mark.parametrize("action", [REPLACE, CLEAR, CREATE])
def test_ignored_switch_is_an_error_after_half_a_minute(services: Services, action: str) -> None:
    services.pinterest.switches.moves_rules = False
    settings = switching_settings(services, action)
    (audience,) = services.pinterest.audiences_named("Spring")
    before = current_list_id(services, audience.id)
    job = None if action == CLEAR else services.job(people(10))
    times: dict[str, float] = {}
    services.pinterest.on_request(lambda call: times.setdefault(call.operation, services.time.now()))
    with pytest.raises(PinterestError) as caught:
        services.export(settings, job_id=job)
    assert services.time.now() - times["audiences/update"] == 30
    assert services.pinterest.members_of_audience(audience.id) == digests(3, first=100)
    for part in (
        audience.id,
        f"when the audience was last read, it used customer list {before}. ",
        "may appear later",
        "again is safe",
        "remove_people_from_current_audience" if action == CLEAR else "begin: adopt",
    ):
        assert part in str(caught.value)
    assert "delete" not in str(caught.value).lower()
    assert (action != CLEAR) == ("Before that, 10 of 10 records were sent" in str(caught.value))
    services.pinterest.switches.moves_rules = True
    services.export(settings, job_id=job)
    assert len(services.pinterest.lists) == 2


@pytest.mark.parametrize("action", [REPLACE, CLEAR, CREATE])
@pytest.mark.parametrize("is_used_list_older", [True, False])
def test_requests_do_not_grow_with_the_lists_that_earlier_days_left_behind(
    services: Services, action: str, is_used_list_older: bool
) -> None:
    settings = dict(NEW) if action == CREATE else {"action": action}
    counts = []
    for old_lists in (0, 600):
        audience_id = services.audience(people(3)) if action != CREATE and is_used_list_older else None
        for number in range(old_lists):
            services.pinterest.add_list(f"Old {number}")
        if action != CREATE:
            settings["audience_id"] = audience_id or services.audience(people(3))
        services.time.sleep(3 * 86_400)
        services.pinterest.calls.clear()
        day = datetime.fromtimestamp(services.time.now(), timezone.utc).isoformat(timespec="seconds")
        job = None if action == CLEAR else services.job(people(10))
        services.export(settings | ({"audience_name": day} if action == CREATE else {}), job_id=job, session_time=day)
        counts.append(len(services.pinterest.calls.of("customer_lists/list")))
    assert counts[1] - counts[0] in (0, 1)


def test_listing_that_is_not_newest_first_is_read_to_its_end(services: Services) -> None:
    services.pinterest.switches.ignores_order = True
    settings = settings_of(services, REPLACE, people(3, first=100))
    for number in range(300):
        services.pinterest.add_list(f"Old {number}")
    job = services.job(people(9))
    services.pinterest.answer(422, operation="audiences/update", times=1)
    with pytest.raises(RequestRefusedError):
        services.export(settings, job_id=job)
    begun = max(services.pinterest.lists, key=int)
    assert services.export(settings, job_id=job)["customer_list_id"] == begun


def test_retry_of_an_older_replace_does_not_bring_back_cleared_people(services: Services) -> None:
    settings = settings_of(services, REPLACE, people(3, first=100))
    older = services.job(people(5))
    newer = services.job(people(9))
    services.export(settings, job_id=newer)
    clear(services, settings["audience_id"], session_time=NEXT_DAY)
    with pytest.raises(AudienceError, match=rf"\(job {newer}, here job {older}\), and keeps it"):
        services.export(settings, job_id=older)
    assert is_cleared(services, settings["audience_id"])


def test_older_list_that_is_switched_to_meanwhile_is_replaced_once_more(services: Services) -> None:
    settings = settings_of(services, REPLACE, people(3, first=100))
    services.export(settings, job_id=services.job(people(5)))
    older_list = current_list_id(services, settings["audience_id"])

    def switch_back(call: Call) -> None:
        if call.operation == "audiences/update" and len(services.pinterest.calls.of("audiences/update")) == 2:
            services.pinterest.move_audience(settings["audience_id"], older_list)

    services.pinterest.on_request(switch_back, when=When.AFTER)
    stored = services.export(settings, job_id=services.job(people(9)), session_time=NEXT_DAY)
    assert services.pinterest.members_of_audience(settings["audience_id"]) == digests(9)
    assert current_list_id(services, settings["audience_id"]) == stored["customer_list_id"]
    assert len(services.pinterest.calls.of("audiences/update")) == 3


@pytest.mark.parametrize("change", ["somebody else's list", "removed"])
def test_audience_that_somebody_else_changes_after_the_switch_is_left_alone(services: Services, change: str) -> None:
    settings = settings_of(services, REPLACE, people(3, first=100))
    audience = services.pinterest.audiences[settings["audience_id"]]
    other = services.pinterest.add_list("Of somebody else")

    def intervene(call: Call) -> None:
        if call.operation == "audiences/update":
            audience.rule = {"customer_list_id": other.id}
            audience.removed = change == "removed"

    services.pinterest.on_request(intervene, when=When.AFTER)
    message = "was removed by somebody else" if change == "removed" else f"it uses customer list {other.id} now"
    with pytest.raises(AudienceError, match=message):
        services.export(settings, job_id=services.job(people(9)))
    assert len(services.pinterest.calls.of("audiences/update")) == 1
