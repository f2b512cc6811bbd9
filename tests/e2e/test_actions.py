"""Add, remove and delete between the two emulators, and audiences that no action can change."""

from collections.abc import Callable
from typing import Any

import pytest

from td_pinterest_op.errors import AudienceError, RequestRefusedError
from tests.e2e.audiences import ADD, CLEAR, CREATE, DELETE, REMOVE, REPLACE, settings_of
from tests.emulators.pinterest import AD_ACCOUNT_ID, Fault, Reset, When
from tests.exporting import Services, digests, people


@pytest.mark.parametrize("action", [CREATE, REPLACE, CLEAR, DELETE])
def test_status_201_for_a_creation_or_update_is_a_success(services: Services, action: str) -> None:
    services.pinterest.switches.created_status = 201
    job_id = services.job(people(10)) if action in (CREATE, REPLACE) else None
    stored = services.export(settings_of(services, action), job_id=job_id)
    kept = services.pinterest.audiences_named(stored["audience_name"])
    assert [stored["audience_id"]] * (action != DELETE) == [audience.id for audience in kept]


def test_remove_removes_only_the_given_records(services: Services) -> None:
    audience_id = services.audience(people(10))
    stored = services.export({"action": REMOVE, "audience_id": audience_id}, job_id=services.job(people(4)))
    assert services.pinterest.members_of_audience(audience_id) == digests(6, first=4)
    assert stored["records"]["sent"] == 4
    # The previous members among them are unknown.
    assert stored["summary"] == 'Asked Pinterest to remove 4 records from audience "Shoppers".'
    assert [call.operation_type for call in services.pinterest.calls.writes()] == ["REMOVE"]


def delete(services: Services, audience_id: str) -> dict[str, Any]:
    return services.export({"action": DELETE, "audience_id": audience_id})


def test_delete_removes_the_audience_without_reading_rows(services: Services) -> None:
    audience_id = services.audience(people(5))
    stored = delete(services, audience_id)
    assert services.pinterest.audiences[audience_id].removed
    assert services.td.requests == []
    assert (stored["audience_id"], stored["audience_name"], stored["job_id"]) == (audience_id, "Shoppers", None)


@pytest.mark.parametrize(
    ("removed_audiences", "second_remove"), [("readable", "accepted"), ("readable", "404"), ("gone", "accepted")]
)
def test_delete_of_a_removed_audience_succeeds_and_is_reported(
    services: Services, removed_audiences: str, second_remove: str
) -> None:
    services.pinterest.switches.set({"removed_audiences": removed_audiences, "second_remove": second_remove})
    audience_id = services.audience(people(5))
    for _ in range(2):
        stored = delete(services, audience_id)
    assert audience_id == stored["audience_id"]
    past = " was deleted already." if removed_audiences == "readable" else ", or it was deleted before."
    assert stored["summary"].endswith(past)


@pytest.mark.parametrize("known", [True, False], ids=["deleted before", "never there"])
def test_removal_with_status_404_names_both_causes(services: Services, known: bool) -> None:
    services.pinterest.switches.set({"removed_audiences": "gone", "second_remove": "404"})
    audience_id = "123456789"
    if known:
        audience_id = services.audience()
        delete(services, audience_id)
    with pytest.raises(AudienceError) as caught:
        delete(services, audience_id)
    for part in (audience_id, AD_ACCOUNT_ID, "deleted before", "never existed"):
        assert part in str(caught.value)


def test_removal_with_status_404_of_an_audience_that_stays_is_an_error(services: Services) -> None:
    audience_id = services.audience()
    services.pinterest.answer(404, operation="audiences/update")
    with pytest.raises(AudienceError, match=r"to remove in ad account \d+ \(404\): either it was deleted before, or"):
        delete(services, audience_id)


def test_rejected_removal_is_an_error_and_the_audience_stays(services: Services) -> None:
    audience_id = services.audience(people(5))
    services.pinterest.answer(422, operation="audiences/update", times=None)
    with pytest.raises(RequestRefusedError, match="Pinterest answered 422"):
        delete(services, audience_id)
    assert not services.pinterest.audiences[audience_id].removed


@pytest.mark.parametrize("lag", [0.0, 5.0])
@pytest.mark.parametrize("removed", ["gone", "readable"])
def test_removal_whose_response_was_lost_is_a_success(services: Services, removed: str, lag: float) -> None:
    audience_id = services.audience(people(5))
    services.time.sleep(60)
    services.pinterest.switches.set({"removed_audiences": removed, "second_remove": "404"})
    services.pinterest.switches.reading_lag_seconds = lag
    services.pinterest.inject(Fault(effect=Reset(), when=When.AFTER, operation="audiences/update"))
    delete(services, audience_id)
    assert services.pinterest.audiences[audience_id].removed


def unknown_audience_id(services: Services) -> str:
    return "123456789"


def add_removed_audience(services: Services) -> str:
    audience_id = services.audience()
    services.pinterest.audiences[audience_id].removed = True
    return audience_id


def build_audience(**fields: Any) -> Callable[[Services], str]:
    """Return a function that creates an audience with these fields."""

    def made(services: Services) -> str:
        services.pinterest.add_ad_account("77")
        return services.pinterest.add_audience("Other", **fields).id

    return made


_alike = build_audience(audience_type="ACTALIKE")
_shared = build_audience(ad_account_id="77", shared_with=[AD_ACCOUNT_ID])


@pytest.mark.parametrize(
    ("action", "made", "complaint"),
    [
        (ADD, _alike, "is of type ACTALIKE: only CUSTOMER_LIST audiences accept records"),
        (REMOVE, _shared, "belongs to ad account 77 and is only shared with 549755885175"),
        (REPLACE, build_audience(customer_list_id="999"), "has no customer list that Pinterest shows"),
        (CLEAR, build_audience(), "has no customer list"),
        (REPLACE, unknown_audience_id, "there is no audience 123456789 in ad account 549755885175"),
        (ADD, add_removed_audience, "was removed"),
        (DELETE, _alike, "is of type ACTALIKE"),
        (DELETE, _shared, "belongs to ad account 77"),
    ],
)
def test_unusable_audience_is_an_error_before_rows_are_read_or_sent(
    services: Services, action: str, made: Callable[[Services], str], complaint: str
) -> None:
    audience_id = made(services)
    with pytest.raises(AudienceError) as caught:
        services.export({"action": action, "audience_id": audience_id}, job_id=services.job(people(3)))
    assert complaint in str(caught.value)
    assert audience_id in str(caught.value)
    assert services.pinterest.calls.writes() == []
    assert services.td.requests == []


@pytest.mark.parametrize(
    ("action", "told"), [(ADD, "Nothing was sent"), (CLEAR, "Nothing was changed"), (REPLACE, "Nothing was sent")]
)
def test_error_before_the_first_write_says_so_before_it_advises(services: Services, action: str, told: str) -> None:
    with pytest.raises(AudienceError) as caught:
        services.export({"action": action, "audience_id": "77"}, job_id=services.job([]) if action != CLEAR else None)
    assert str(caught.value) == f"there is no audience 77 in ad account {AD_ACCOUNT_ID}. {told}. Check both ids"
