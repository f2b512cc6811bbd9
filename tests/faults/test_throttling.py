"""429 and the pace: nothing is sent before the server allows it, and never more than was set."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulators.pinterest import Answer, Call, Fault
from tests.exporting import digests, people
from tests.faults.conftest import Stage

WAIT = 7
SECONDS = Answer(status=429, retry_after=WAIT)
TWO: dict[str, Any] = {"limit_records_per_request": 2}
DATE = Answer(status=429, retry_after=WAIT, retry_after_is_date=True)


def throttled(stage: Stage) -> tuple[Call, list[Call]]:
    """The call that was answered 429, and those that arrived after it."""
    calls = stage.pinterest.calls.all()
    hit = next(call for call in calls if call.status == 429)
    return hit, calls[hit.number - calls[0].number + 1 :]


@pytest.mark.parametrize("answer", [SECONDS, DATE], ids=["seconds", "date"])
@pytest.mark.parametrize("operation", ["oauth/token", "audiences/get", "customer_lists/get", "customer_lists/update"])
def test_no_request_of_any_kind_arrives_before_the_time_that_a_429_names(
    stage: Stage, answer: Answer, operation: str
) -> None:
    # Retry-After alone says how long.
    stage.pinterest.switches.ratelimit_headers = "off"
    stage.pinterest.inject(Fault(effect=answer, operation=operation))
    audience_id, _ = stage.add(people(10), **TWO, max_in_flight=1)
    hit, later = throttled(stage)
    assert [] == [call for call in later if call.arrived < hit.arrived + WAIT]
    assert digests(10) == stage.pinterest.members_of_audience(audience_id)


@pytest.mark.parametrize("answer", [SECONDS, DATE], ids=["seconds", "date"])
def test_all_requests_in_flight_wait_for_one_429(stage: Stage, answer: Answer) -> None:
    stage.pinterest.switches.latency_seconds = 0.005
    stage.pinterest.switches.ratelimit_headers = "off"
    stage.pinterest.inject(Fault(effect=answer, operation="customer_lists/update", after=20))
    audience_id, stats = stage.add(people(200), **TWO)
    hit, later = throttled(stage)
    assert stage.pinterest.calls.max_writes_under_way > 1
    # Those that had left before the answer came are on their way already; the 429 itself was one of eight.
    assert len([call for call in later if call.arrived < hit.arrived + WAIT]) < 8
    assert digests(200) == stage.pinterest.members_of_audience(audience_id)
    assert stats["seconds"]["waiting"] >= WAIT


@pytest.mark.parametrize("per_minute", [7, 30])
def test_no_window_of_a_minute_sees_more_writes_than_were_set(stage: Stage, per_minute: int) -> None:
    audience_id, _ = stage.add(people(150), **TWO, requests_per_minute=per_minute)
    assert stage.pinterest.calls.busiest() <= per_minute
    assert digests(150) == stage.pinterest.members_of_audience(audience_id)


@pytest.mark.parametrize("headers", ["delta", "epoch"])
def test_a_server_that_allows_less_than_was_set_is_obeyed(stage: Stage, headers: str) -> None:
    stage.pinterest.switches.limits = {"ads_write": 20}
    stage.pinterest.switches.ratelimit_headers = headers
    audience_id, _ = stage.add(people(150), **TWO)
    accepted = [call for call in stage.pinterest.calls.writes() if call.status == 200]
    assert 75 == len(accepted)
    assert len(stage.pinterest.calls.writes()) - 75 <= 8
    assert digests(150) == stage.pinterest.members_of_audience(audience_id)
