"""429 and the pace: nothing is sent before the server allows it, and never more than was set."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulators.pinterest import Answer, Call, Fault
from tests.exporting import digests, people
from tests.faults.conftest import Stage

WAIT = 7
SECONDS = Answer(status=429, retry_after=WAIT)
DATE = Answer(status=429, retry_after=WAIT, retry_after_is_date=True)


def add(stage: Stage, records: int, **settings: Any) -> tuple[str, dict[str, Any]]:
    """Add so many people, two in a batch unless told; returns the audience's id and the statistics."""
    audience_id = stage.audience([], name="Shoppers")
    stats = stage.export(
        {
            "action": "add_people_to_current_audience",
            "audience_id": audience_id,
            "limit_records_per_request": 2,
            **settings,
        },
        job_id=stage.services.job(people(records)),
    )
    return audience_id, stats


def throttled(stage: Stage) -> tuple[Call, list[Call]]:
    """The call that was answered 429, and those that arrived after it."""
    calls = stage.pinterest.calls.all()
    hit = next(call for call in calls if call.status == 429)
    return hit, calls[hit.number - calls[0].number + 1 :]


@pytest.mark.parametrize("answer", [SECONDS, DATE], ids=["seconds", "date"])
@pytest.mark.parametrize(
    ("operation", "after"),
    [("oauth/token", 0), ("audiences/get", 0), ("customer_lists/get", 0), ("customer_lists/update", 0)],
)
def test_no_request_of_any_kind_arrives_before_the_time_that_a_429_names(
    stage: Stage, answer: Answer, operation: str, after: int
) -> None:
    # Retry-After alone says how long.
    stage.pinterest.switches.ratelimit_headers = "off"
    stage.pinterest.inject(Fault(effect=answer, operation=operation, after=after))
    audience_id, _ = add(stage, 10, max_in_flight=1)
    hit, later = throttled(stage)
    assert [] == [call for call in later if call.arrived < hit.arrived + WAIT]
    assert digests(10) == stage.pinterest.members_of_audience(audience_id)


@pytest.mark.parametrize("answer", [SECONDS, DATE], ids=["seconds", "date"])
def test_all_requests_in_flight_wait_for_one_429(stage: Stage, answer: Answer) -> None:
    stage.pinterest.switches.latency_seconds = 0.005
    stage.pinterest.switches.ratelimit_headers = "off"
    stage.pinterest.inject(Fault(effect=answer, operation="customer_lists/update", after=20))
    audience_id, stats = add(stage, 200)
    hit, later = throttled(stage)
    assert stage.pinterest.calls.max_writes_under_way > 1
    # Those that had left before the answer came are on their way already; the 429 itself was one of eight.
    assert len([call for call in later if call.arrived < hit.arrived + WAIT]) < 8
    assert digests(200) == stage.pinterest.members_of_audience(audience_id)
    assert stats["seconds"]["waiting"] >= WAIT


@pytest.mark.parametrize("per_minute", [7, 30])
def test_no_window_of_a_minute_sees_more_writes_than_were_set(stage: Stage, per_minute: int) -> None:
    audience_id, _ = add(stage, 150, requests_per_minute=per_minute)
    assert stage.pinterest.calls.busiest() <= per_minute
    assert digests(150) == stage.pinterest.members_of_audience(audience_id)


@pytest.mark.parametrize("headers", ["delta", "epoch"])
def test_a_server_that_allows_less_than_was_set_is_obeyed(stage: Stage, headers: str) -> None:
    stage.pinterest.switches.limits = {"ads_write": 20}
    stage.pinterest.switches.ratelimit_headers = headers
    audience_id, _ = add(stage, 150)
    accepted = [call for call in stage.pinterest.calls.writes() if call.status == 200]
    assert 75 == len(accepted)
    assert len(stage.pinterest.calls.writes()) - 75 <= 8
    assert digests(150) == stage.pinterest.members_of_audience(audience_id)
