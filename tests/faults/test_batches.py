"""Many batches, several in flight: every record is sent once whatever fails, and rate limits are obeyed."""

from typing import Any

import pytest

from tests.emulators.pinterest import Answer, Call, Fault, Reset, When
from tests.exporting import NOBODY, digests, people
from tests.faults.conftest import Stage

RECORDS = 1_000
TWO: dict[str, Any] = {"limit_records_per_request": 2}
BATCH = "customer_lists/update"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(effect=Reset(), when=When.AFTER, operation=BATCH, after=10),
        Fault(effect=Reset(), when=When.AFTER, operation=BATCH, every=4, times=None),
        Fault(effect=Answer(status=500), operation=BATCH, every=3, times=None),
        Fault(effect=Answer(status=500), when=When.AFTER, operation=BATCH, every=3, times=None),
        Fault(effect=Answer(status=500), every=3, times=None),
    ],
    ids=["reset once after applying", "reset often after applying", "500", "500 after applying", "500 to anything"],
)
def test_failed_batches_are_repeated_until_every_record_is_sent(stage: Stage, fault: Fault) -> None:
    stage.pinterest.inject(fault)
    audience_id, stats = stage.add(people(200), **TWO)
    assert stage.pinterest.members_of_audience(audience_id) == digests(200)
    assert stats["records"] == {"unique": 200, "duplicate": 0, "sent": 200, "refused": 0, "withheld": NOBODY}
    writes = stage.pinterest.calls.writes()
    failed = len([call for call in writes if call.fault])
    assert (len(writes), failed) == (stats["requests"]["sent"], stats["requests"]["failed"])
    assert len(writes) - 100 == failed == stats["requests"]["retried"]


# -- 429 and rate limits

WAIT = 7
SECONDS = Answer(status=429, retry_after=WAIT)
DATE = Answer(status=429, retry_after=WAIT, retry_after_is_date=True)


def split_at_throttling(stage: Stage) -> tuple[Call, list[Call]]:
    """Return the request with status 429, and those that arrived after it."""
    calls = stage.pinterest.calls.all()
    hit = next(call for call in calls if call.status == 429)
    return hit, calls[hit.number - calls[0].number + 1 :]


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("oauth/token", SECONDS),
        ("audiences/get", DATE),
        ("customer_lists/get", SECONDS),
        ("customer_lists/update", DATE),
    ],
)
def test_no_request_is_sent_before_the_time_named_by_a_429(stage: Stage, answer: Answer, operation: str) -> None:
    # Retry-After alone says how long.
    stage.pinterest.switches.ratelimit_headers = "off"
    stage.pinterest.inject(Fault(effect=answer, operation=operation))
    audience_id, _ = stage.add(people(10), **TWO, max_in_flight=1)
    hit, later = split_at_throttling(stage)
    assert [call for call in later if call.arrived < hit.arrived + WAIT] == []
    assert stage.pinterest.members_of_audience(audience_id) == digests(10)


def test_all_requests_in_flight_wait_after_one_429(stage: Stage) -> None:
    stage.pinterest.switches.latency_seconds = 0.005
    stage.pinterest.switches.ratelimit_headers = "off"
    stage.pinterest.inject(Fault(effect=SECONDS, operation=BATCH, after=20))

    def hold(call: Call) -> None:
        """Let a request that arrives after the one that is hit have no response before the end of the wait."""
        hit = [each for each in stage.pinterest.calls.all() if each.operation == BATCH][20:21]
        if hit and call.number > hit[0].number:
            stage.pinterest.callbacks.wait_while(lambda: stage.services.time.now() < hit[0].arrived + WAIT)

    stage.pinterest.on_request(hold)
    audience_id, stats = stage.add(people(200), **TWO)
    hit, later = split_at_throttling(stage)
    assert stage.pinterest.calls.max_writes_under_way > 1
    # Requests sent before the response are in flight already; the 429 was one of eight.
    assert len([call for call in later if call.arrived < hit.arrived + WAIT]) < 8
    assert stage.pinterest.members_of_audience(audience_id) == digests(200)
    assert stats["seconds"]["waiting"] >= WAIT
