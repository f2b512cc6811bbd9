"""Faults in the middle of many batches, with several under way: every record is in once, and the figures say so."""

from __future__ import annotations

import time

import pytest

from td_pinterest_op.errors import UnavailableError
from tests.emulators.pinterest import Answer, Effect, Fault, Mangle, Reset, StopReading, When
from tests.exporting import NOBODY, digests, people
from tests.faults.conftest import Stage

RECORDS = 1_000
PER_BATCH = 2
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
def test_failing_batches_are_repeated_until_every_record_is_in(stage: Stage, fault: Fault) -> None:
    stage.pinterest.inject(fault)
    audience_id, stats = stage.add(people(200), limit_records_per_request=PER_BATCH)
    assert digests(200) == stage.pinterest.members_of_audience(audience_id)
    assert {"unique": 200, "duplicate": 0, "sent": 200, "refused": 0, "withheld": NOBODY} == stats["records"]
    writes = stage.pinterest.calls.writes()
    failed = len([call for call in writes if call.fault])
    assert (len(writes), failed) == (stats["requests"]["sent"], stats["requests"]["failed"])
    # More than the batches and their repetitions only if a connection broke twice: then halves were sent.
    halved = isinstance(fault.effect, Reset) and fault.times is None
    assert halved or len(writes) - 100 == failed == stats["requests"]["retried"]


MISHAPS: tuple[tuple[Effect, When], ...] = (
    (Answer(status=500), When.BEFORE),
    (Answer(status=502), When.AFTER),
    (Answer(status=503, retry_after=1), When.BEFORE),
    (Answer(status=429, retry_after=2), When.BEFORE),
    (Answer(status=401), When.BEFORE),
    (Reset(), When.BEFORE),
    (Reset(), When.AFTER),
    (Mangle(how="truncated"), When.AFTER),
)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_in_a_hundred_requests_failing_at_random_lose_nothing(stage: Stage, seed: int) -> None:
    share = 0.02 / len(MISHAPS)
    stage.pinterest.inject(
        *(
            Fault(effect=effect, when=when, probability=share, seed=seed * 100 + number, times=None, operation=BATCH)
            for number, (effect, when) in enumerate(MISHAPS)
        )
    )
    audience_id, stats = stage.add(people(RECORDS), limit_records_per_request=PER_BATCH)
    assert digests(RECORDS) == stage.pinterest.members_of_audience(audience_id)
    assert RECORDS == stats["records"]["sent"] == stats["records"]["unique"]
    assert [call for call in stage.pinterest.calls.writes() if call.fault]


def test_a_server_that_stops_reading_ends_the_send_after_the_write_timeout(stage: Stage) -> None:
    stage.pinterest.inject(Fault(effect=StopReading(), operation=BATCH, times=None))
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match="stopped reading for write_timeout_secs"):
        stage.add(people(70_000), limit_records_per_request=70_000, write_timeout_secs=1, retry_count=0)
    assert 1 <= time.monotonic() - begin < 10
