"""Concurrent runs, and delayed reads of Pinterest: each run ends as specified, with exact members."""

from typing import Any

import pytest

from td_pinterest_op.errors import AudienceError, RequestRefusedError
from tests.e2e.audiences import (
    ADD,
    CREATE,
    DELETE,
    NEW,
    NEXT_DAY,
    REMOVE,
    REPLACE,
    current_list_id,
    members_of,
    run_during,
    settings_of,
)
from tests.emulators.pinterest import Answer, Fault, When
from tests.exporting import Services, digests, people

# The end of an error when another session has won after records were sent.
SENT = "Before that, 9 of 9 records were sent"


# -- two sessions


@pytest.mark.parametrize(
    ("if_exists", "said", "after"),
    [
        ("fail", f"already exists.*{SENT}", set()),
        ("add", "Run this task again, which then uses it", digests(9) | digests(1, first=50)),
        ("replace", "Run this task again, which then uses it", digests(9)),
    ],
)
def test_name_taken_while_sending_is_noticed_before_the_audience_is_created(
    services: Services, if_exists: str, said: str, after: set[str]
) -> None:
    new = {**NEW, "if_exists": if_exists}
    job = services.job(people(9))
    run_during(services, "customer_lists/create", lambda: services.audience(people(1, first=50), name="Spring"))
    with pytest.raises(AudienceError, match=said):
        services.export(new, job_id=job)
    assert services.pinterest.calls.of("audiences/create") == []
    if after:
        services.export(new, job_id=job)
        assert after == members_of(services, NEW)


# -- concurrent jobs and actions


@pytest.mark.parametrize(
    ("operation", "when", "refusal"),
    [
        ("audiences/get", When.BEFORE, "off"),
        ("customer_lists/create", When.BEFORE, "off"),
        ("audiences/update", When.AFTER, "409"),  # while it waits for its list
    ],
)
@pytest.mark.parametrize("replace_newer", [False, True])
def test_older_job_does_not_overwrite_a_newer_one(
    services: Services, operation: str, when: When, refusal: str, replace_newer: bool
) -> None:
    settings = {"action": REPLACE, "audience_id": (audience_id := services.audience(people(3, first=500)))}
    older = services.job(people(9))
    newer = services.job(people(4, first=50))
    services.pinterest.switches.set({"processing_seconds": 5, "processing_refusal": refusal})
    run_during(services, operation, lambda: services.export(settings, job_id=newer, session_time=NEXT_DAY), when=when)
    if replace_newer:
        services.export(settings | {"replace_newer": True}, job_id=older)
    else:
        message = rf"of a newer run \(job {newer}, here job {older}\), and keeps it"
        with pytest.raises(AudienceError, match=message) as caught:
            services.export(settings, job_id=older)
        assert (operation != "audiences/get") == (SENT in str(caught.value))
        assert "running this task again" not in str(caught.value).lower()
    members = digests(9) if replace_newer else digests(4, first=50)
    assert members == services.pinterest.members_of_audience(audience_id)


def test_replace_overtaken_by_another_of_the_same_job_is_an_error_that_asks_for_a_rerun(services: Services) -> None:
    settings = settings_of(services, REPLACE, people(9)) | {"limit_records_per_request": 2}
    job = services.job(people(4))
    run_during(services, "customer_lists/update", lambda: services.export(settings, job_id=job, session_time=NEXT_DAY))
    with pytest.raises(
        AudienceError, match=rf"\(job {job}, here job {job}\), and keeps it\. .*To replace it, run this task again"
    ):
        services.export(settings, job_id=job)


@pytest.mark.parametrize(
    ("action", "after"), [(ADD, digests(3) | digests(4, first=50)), (REMOVE, digests(4, first=50))]
)
def test_add_or_remove_during_a_replace_is_an_error_and_a_rerun_succeeds(
    services: Services, action: str, after: set[str]
) -> None:
    audience_id = services.audience(people(9))
    job = services.job(people(3))
    replace = {"action": REPLACE, "audience_id": audience_id}
    replacement = services.job(people(4, first=50) + (people(2) if action == REMOVE else []))
    run_during(services, "customer_lists/update", lambda: services.export(replace, job_id=replacement))
    with pytest.raises(AudienceError, match="was changed by somebody else during this export"):
        services.export({"action": action, "audience_id": audience_id}, job_id=job, session_time=NEXT_DAY)
    services.export({"action": action, "audience_id": audience_id}, job_id=job, session_time=NEXT_DAY)
    assert after == services.pinterest.members_of_audience(audience_id)


@pytest.mark.parametrize("removed", ["gone", "readable"])
def test_audience_removed_during_an_add_is_an_error(services: Services, removed: str) -> None:
    services.pinterest.switches.removed_audiences = removed
    audience_id = services.audience(people(9))
    job = services.job(people(3))
    delete = {"action": DELETE, "audience_id": audience_id}
    run_during(services, "customer_lists/update", lambda: services.export(delete))
    with pytest.raises(AudienceError, match=r"it was removed.* no effect on the audience"):
        services.export({"action": ADD, "audience_id": audience_id}, job_id=job)


# -- delayed reads


@pytest.mark.parametrize(
    ("action", "switches"),
    [
        (CREATE, {"new_list_missing_seconds": 8}),
        (REPLACE, {"processing_seconds": 20, "processing_refusal": "400"}),
        (CREATE, {"processing_seconds": 20, "processing_refusal": "409"}),
        (REPLACE, {"processing_seconds": 20, "processing_refusal": "409"}),
    ],
)
@pytest.mark.parametrize("retry_count", [0, 7])
def test_export_waits_for_a_new_list_to_become_ready(
    services: Services, action: str, switches: dict[str, Any], retry_count: int
) -> None:
    settings = settings_of(services, action, people(2))
    services.time.sleep(60)
    services.pinterest.switches.set(switches)
    settings |= {"limit_records_per_request": 4, "retry_count": retry_count}
    services.export(settings, job_id=services.job(people(9)))
    assert members_of(services, settings) == digests(9)


@pytest.mark.parametrize(("listing", "status"), [("audiences/list", 400), ("customer_lists/list", 413)])
def test_listing_refused_after_a_new_list_loses_nobody(services: Services, listing: str, status: int) -> None:
    services.pinterest.switches.max_records = 6
    job = services.job(people(9))
    fault = Fault(effect=Answer(status=status), operation=listing)
    run_during(services, "customer_lists/create", lambda: services.pinterest.inject(fault), when=When.AFTER)
    with pytest.raises(RequestRefusedError, match=r"Partly sent: 0 of 9 records sent, 0 refused"):
        services.export(NEW, job_id=job)
    services.export(NEW, job_id=job)
    assert members_of(services, NEW) == digests(9)


@pytest.mark.parametrize("action", [ADD, REPLACE])
def test_action_waits_for_an_audience_and_list_that_reads_do_not_show_yet(services: Services, action: str) -> None:
    audience_id = services.audience(people(3))
    services.pinterest.answer(404, operation="audiences/get")
    services.pinterest.answer(404, operation="customer_lists/get")
    services.pinterest.switches.set({"new_list_missing_seconds": 3, "listing_lag_seconds": 3})
    services.export({"action": action, "audience_id": audience_id}, job_id=services.job(people(9)))
    assert services.pinterest.members_of_audience(audience_id) == digests(9)


def test_export_waits_at_least_half_a_minute_for_a_slow_switch(services: Services) -> None:
    services.pinterest.switches.move_lag_seconds = 25
    audience_id = services.audience(people(5))
    settings = {"action": REPLACE, "audience_id": audience_id, "retry_count": 0}
    stored = services.export(settings, job_id=services.job(people(9)))
    assert current_list_id(services, audience_id) == stored["customer_list_id"]


# -- if_exists, expected_audience_name


@pytest.mark.parametrize(
    ("again", "others"),
    [(people(6), set()), (people(9, first=50), digests(9, first=50)), ([], set())],
    ids=["the same people", "other people", "nobody"],
)
def test_rerun_of_create_with_if_exists_add_keeps_people_of_other_sessions(
    services: Services, again: list[str], others: set[str]
) -> None:
    settings = NEW | {"if_exists": "add", "allow_empty": True}
    first = services.export(settings, job_id=services.job(people(6)))
    services.export(settings, job_id=services.job(people(6, first=6)), session_time=NEXT_DAY)
    stored = services.export(settings, job_id=services.job(again))
    assert members_of(services, NEW) == digests(12) | others
    assert first["customer_list_id"] == stored["customer_list_id"]
    assert (stored["members"], len(services.pinterest.lists)) == (None, 1)


def test_several_audiences_of_one_name_are_an_error_with_their_ids(services: Services) -> None:
    ids = [services.audience(name="Spring"), services.audience(name="Spring")]
    with pytest.raises(AudienceError) as caught:
        services.export(NEW | {"if_exists": "add"}, job_id=services.job(people(3)))
    assert f"(ids {', '.join(ids)})" in str(caught.value)
    assert services.pinterest.calls.writes() == []


def test_expected_name_is_compared_without_blanks_at_its_ends(services: Services) -> None:
    audience_id = services.audience(name=" Shoppers  ")
    settings = {"action": ADD, "audience_id": audience_id, "expected_audience_name": "Shoppers "}
    services.export(settings, job_id=services.job(people(3)))
    assert services.pinterest.members_of_audience(audience_id) == digests(3)


def test_unreadable_audience_does_not_have_the_expected_name(services: Services) -> None:
    settings = {"action": DELETE, "audience_id": "123", "expected_audience_name": "Customers"}
    with pytest.raises(AudienceError, match="cannot be read, so its name is unknown"):
        services.export(settings)
    assert services.pinterest.calls.writes() == []
