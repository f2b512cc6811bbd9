"""Look-alike audiences: created once, and only of a seed that Pinterest can work with."""

from typing import Any

import pytest

from td_pinterest_op.errors import AudienceError
from tests.e2e.audiences import NEXT_DAY
from tests.emulators.pinterest import Call, Fault, Reset, When
from tests.exporting import Services, people

ACTALIKE = {"action": "create_actalike_audience", "audience_name": "Like shoppers", "country": "US", "percentage": "5"}


def seed(services: Services, size: int = 150) -> str:
    return services.audience(people(size))


def made(services: Services) -> list[Any]:
    return services.pinterest.audiences_named("Like shoppers")


def test_actalike_is_planned_and_created_on_its_seed(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    seed_id = seed(services)
    stored = services.export({**ACTALIKE, "seed_audience_id": seed_id, "audience_description": "For spring"})
    (audience,) = made(services)
    assert f"the 5 % of the people in US who are most like audience {seed_id}" in caplog.text
    assert audience.audience_type == "ACTALIKE"
    assert audience.rule == {"seed_id": [seed_id], "country": "US", "percentage": 5}
    assert str(audience.description).startswith("For spring (td ")
    assert tuple(stored[name] for name in ("audience_id", "audience_name", "customer_list_id")) == (
        audience.id,
        "Like shoppers",
        None,
    )
    assert stored["summary"] == 'Created look-alike audience "Like shoppers".'


def test_actalike_that_is_removed_after_the_plan_is_not_created_again(services: Services) -> None:
    settings = {**ACTALIKE, "seed_audience_id": seed(services)}
    services.export(settings)
    (audience,) = made(services)
    calls = services.pinterest.calls
    before = len(calls.of("audiences/list"))
    writes = len(calls.writes())

    def remove_after_plan(call: Call) -> None:
        if call.operation == "audiences/list" and len(calls.of("audiences/list")) - before == 2:
            audience.removed = True

    services.pinterest.on_request(remove_after_plan, when=When.AFTER)
    services.export(settings)
    assert writes == len(calls.writes())


def test_actalike_of_another_session_fails_because_the_name_is_taken(services: Services) -> None:
    settings = {**ACTALIKE, "seed_audience_id": seed(services)}
    first = services.export(settings)
    with pytest.raises(AudienceError, match=rf'named "Like shoppers" already exists \(id {first["audience_id"]}\)'):
        services.export(settings, session_time=NEXT_DAY)
    assert len(made(services)) == 1


def test_lost_response_or_a_rerun_of_the_session_creates_no_second_actalike(services: Services) -> None:
    services.pinterest.switches.listing_lag_seconds = 2.0
    settings = {**ACTALIKE, "seed_audience_id": seed(services)}
    services.pinterest.inject(Fault(effect=Reset(), operation="audiences/create", when=When.AFTER))
    for _ in range(2):
        stored = services.export(settings)
        assert [stored["audience_id"]] == [audience.id for audience in made(services)]


@pytest.mark.parametrize(
    ("size", "fields", "reason"),
    [
        (99, {}, "has the status TOO_SMALL, not READY: it needs at least 100 matched people"),
        (150, {"status": "INITIALIZING"}, "has the status INITIALIZING, not READY: it needs"),
        (150, {"removed": True}, "has the status REMOVED, not READY: .* Name another seed"),
    ],
)
def test_seed_that_is_not_ready_or_too_small_is_an_error_before_the_first_write(
    services: Services, size: int, fields: dict[str, Any], reason: str
) -> None:
    seed_id = seed(services, size)
    for name, value in fields.items():
        setattr(services.pinterest.audiences[seed_id], name, value)
    with pytest.raises(AudienceError, match=reason):
        services.export({**ACTALIKE, "seed_audience_id": seed_id})
    assert services.pinterest.calls.writes() == []
