"""Batches → requests: how many, how large, and what a failed batch means."""

import contextlib
import errno
import logging
import re
import threading
import types
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.audiences import sender
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import (
    AccountError,
    ExportError,
    RecordsRefusedError,
    RequestRefusedError,
    StoppedError,
    UnavailableError,
    UnexpectedError,
)
from td_pinterest_op.http.retry import RetrySchedule
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.prepared import SINGLE_DIGEST_LAYOUT, Batch, PreparedRecords
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.settings.table import PeopleSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.progress import ProgressReporter
from tests.campaigns import examples
from tests.unit.scripted import answer

RETRY = RetrySchedule(count=7, initial_wait=0.5, longest_wait=300.0, random=lambda: 0.0)

Rule = Callable[[list[int]], None]


def decode(records: Batch) -> list[int]:
    """Return the numbers of which a batch's digests were made."""
    digests = b"".join(data for _, data in records.parts)
    return [int.from_bytes(digests[at : at + DIGEST_BYTES], "big") for at in range(0, len(digests), DIGEST_BYTES)]


class FakeClient:
    """Takes records (numbers) unless `rule` raises. Plays the rate limiter, too."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._lock = threading.Lock()
        self.requests: list[int] = []
        self.members: list[int] = []
        self.rate_limiter = self
        self.retry = RETRY
        self.waited: list[float] = []
        self.stopped = threading.Event()

    def stop(self, reason: Exception) -> None:
        self.stopped.set()

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)

    def put(self, records: Batch) -> Response:
        numbers = decode(records)
        with self._lock:
            self.requests.append(len(numbers))
        self._rule(numbers)
        with self._lock:
            self.members += numbers
        return answer()


def refused(status: int) -> ExportError:
    return RequestRefusedError(f"Pinterest answered {status}", status=status)


def accept(numbers: list[int]) -> None:
    pass


def culprits(*bad: int) -> Rule:
    def rule(numbers: list[int]) -> None:
        if set(bad) & set(numbers):
            raise refused(400)

    return rule


def at_most(maximum: int, status: int = 413) -> Rule:
    def rule(numbers: list[int]) -> None:
        if len(numbers) > maximum:
            raise refused(status)

    return rule


def refuse_all(numbers: list[int]) -> None:
    raise refused(400)


def fails(error: Exception) -> Rule:
    """The third batch of ten fails."""

    def rule(numbers: list[int]) -> None:
        if 20 in numbers:
            raise error

    return rule


class Run:
    """One run of a sender over the records 0, 1, 2, …"""

    def __init__(
        self,
        rule: Rule,
        *,
        records: int,
        batch: int,
        skip: bool = True,
        maximum: int = 1,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.api = FakeClient(rule)
        self.stats = Stats(action="add", ad_account_id="1", dry_run=False, unique=records)
        asked = types.SimpleNamespace(
            limit_records_per_request=batch,
            ignore_invalid_records=skip,
            max_in_flight=maximum,
            requests_per_minute=390,
        )
        reporter = types.SimpleNamespace(show_progress=lambda *_: contextlib.nullcontext(progress))
        self.sender = Sender(
            client=cast(Client, self.api),
            settings=cast(PeopleSettings, asked),
            stats=self.stats,
            reporter=cast(ProgressReporter, reporter),
        )
        self.spool = Spool()

    def send(self) -> "Run":
        with contextlib.closing(self.spool) as spool:
            spool.add([number.to_bytes(DIGEST_BYTES, "big") for number in range(self.stats.unique)])
            spool.finish()
            self.sender.send(PreparedRecords({SINGLE_DIGEST_LAYOUT: spool}), self.api.put)
        return self

    def fail(self) -> ExportError:
        with pytest.raises(ExportError) as caught:
            self.send()
        return caught.value

    @property
    def counts(self) -> tuple[int, int]:
        return self.stats.sent, self.stats.refused


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Future[Any]]]:
    """What the threads of a test return; none of them stays."""
    made: list[Future[Any]] = []
    start = shutdown.start_thread

    def start_thread(function: Callable[[], Any]) -> Future[Any]:
        made.append(start(function))
        return made[-1]

    monkeypatch.setattr(sender, "start_thread", start_thread)
    yield made
    assert not futures.wait(made, timeout=10).not_done


# -- all goes well


@pytest.mark.parametrize("maximum", [1, 2, 8])
@pytest.mark.parametrize(("records", "batch", "requests"), [(0, 10, 0), (1, 10, 1), (10, 10, 1), (101, 10, 11)])
def test_every_record_is_sent_once_in_full_batches(maximum: int, records: int, batch: int, requests: int) -> None:
    run = Run(accept, records=records, batch=batch, maximum=maximum).send()
    assert list(range(records)) == sorted(run.api.members)
    assert requests == len(run.api.requests)
    assert all(size == batch for size in sorted(run.api.requests, reverse=True)[:-1])
    assert run.counts == (records, 0)


def test_progress_is_shown_while_no_request_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_PROGRESS_SECONDS", 0.001)
    told: list[int] = []
    seen = threading.Event()

    def tell(records: int) -> None:
        told.append(records)
        seen.set()

    def rule(numbers: list[int]) -> None:
        assert seen.wait(10)

    Run(rule, records=5, batch=10, progress=tell).send()
    assert (told[0], told[-1]) == (0, 5)


@pytest.mark.parametrize(("first_success", "expected"), [(1, [1, 2, 4, 8, 1, 2]), (4, [1, 1, 1, 1, 2, 4])])
def test_requests_at_once_grow_by_one_from_the_first_success_and_halve_after_each_429(
    first_success: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []

    def end_all(running: set[Future[bool]], **_: object) -> tuple[set[Future[bool]], set[Future[bool]]]:
        rounds.append(len(running))
        for future in running:
            future.set_result(len(running) == 8)  # whether it was throttled
        if len(rounds) >= first_success:
            run.stats.add(sent=len(running))
        return running, set()

    monkeypatch.setattr(sender, "start_thread", lambda _: Future())
    monkeypatch.setattr(futures, "wait", end_all)
    run = Run(accept, records=40, batch=1, maximum=10)
    run.send()
    assert rounds[:6] == expected
    monkeypatch.undo()


# -- 400: some records are at fault


@pytest.mark.parametrize("culprit", [0, 4_999, 6_249, 9_999])
def test_invalid_record_in_ten_thousand_is_found_in_few_requests_and_skipped(culprit: int) -> None:
    run = Run(culprits(culprit), records=10_000, batch=10_000).send()
    assert len(run.api.requests) <= 29
    assert run.counts == (9_999, 1)
    assert set(range(10_000)) - {culprit} == set(run.api.members)


@pytest.mark.parametrize("bad", [(3,), (3, 4, 90)])
def test_stop_mode_error_counts_refused_records(bad: tuple[int, ...]) -> None:
    run = Run(culprits(*bad), records=300, batch=100, skip=False)
    error = run.fail()
    assert RecordsRefusedError is type(error)
    assert f"Pinterest refused {len(bad)} of the 100 records of a batch (400)" in str(error)
    assert "Set ignore_invalid_records: true" in str(error)
    taken = 100 - len(bad)
    assert f"{taken} of 300 records sent, {len(bad)} refused, 200 not sent. Set ignore" in str(error)
    assert (taken, len(bad)) == run.counts
    assert run.api.requests[0] == 100
    assert 100 not in run.api.requests[1:]


@pytest.mark.parametrize(
    ("records", "batch", "skip", "requests"),
    [
        *((records, 10_000, skip, 15) for records in (10_000, 100_000) for skip in (True, False)),
        *((records, batch, True, 15) for records, batch in [(8, 8), (1_000, 9)]),
        # Batches that are too small to be halved three times.
        *((records, batch, True, 24) for records, batch in [(1, 10), (7, 7), (7, 1), (1_000, 1), (1_000, 5)]),
        # Advice to skip these few would only lead to this error.
        *((records, 10, False, 15) for records in (1, 4)),
    ],
)
def test_400_for_all_records_is_about_the_request(records: int, batch: int, skip: bool, requests: int) -> None:
    run = Run(refuse_all, records=records, batch=batch, skip=skip)
    error = run.fail()
    assert RequestRefusedError is type(error)
    assert "the cause seems to be the request, not" in str(error)
    assert len(run.api.requests) <= requests
    assert run.stats.sent == 0


def test_400_for_one_record_of_every_batch_is_about_the_records() -> None:
    bad = [*range(0, 800, 100)]
    run = Run(culprits(*bad), records=800, batch=100, maximum=4).send()
    assert run.counts == (792, 8)


@settings(max_examples=examples(60))
@given(
    records=st.integers(1, 200),
    batch=st.integers(1, 50),
    bad=st.sets(st.integers(0, 199), max_size=6),
    most_records=st.integers(1, 60),
    maximum=st.integers(1, 4),
)
def test_all_records_are_counted_whichever_are_refused(
    records: int, batch: int, bad: set[int], most_records: int, maximum: int
) -> None:
    def rule(numbers: list[int]) -> None:
        at_most(most_records)(numbers)
        culprits(*bad)(numbers)

    run = Run(rule, records=records, batch=batch, maximum=maximum)
    try:
        run.send()
    except RequestRefusedError:
        assert run.stats.sent == len(run.api.members)
    else:
        assert records == sum(run.counts)
        assert set(range(records)) - bad == set(run.api.members)
    assert len(set(run.api.members)) == len(run.api.members)


# -- 413: too many records


def test_smaller_size_is_kept_after_a_413(caplog: pytest.LogCaptureFixture) -> None:
    run = Run(at_most(300), records=3_000, batch=1_000).send()
    assert run.api.requests == [1000, 500, *[250] * 12]
    assert run.counts == (3_000, 0)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.split(";")[0] for text in warnings] == [
        "a batch of 1000 records is too large for Pinterest",
        "a batch of 500 records is too large for Pinterest",
    ]


def test_smaller_size_is_not_kept_after_a_400() -> None:
    run = Run(at_most(300, 400), records=2_000, batch=1_000).send()
    assert run.api.requests == [1000, 500, 500, 250, 250, 250, 250] * 2


def test_single_record_that_is_too_large_is_an_error() -> None:
    run = Run(at_most(0), records=100, batch=8)
    error = run.fail()
    assert (type(error), error.status) == (RequestRefusedError, 413)
    assert len(run.api.requests) <= 5


# -- errors midway


@pytest.mark.parametrize("error", [AccountError("no"), UnavailableError("no"), refused(404)])
def test_error_counts_sent_and_unsent_records(error: ExportError) -> None:
    run = Run(fails(error), records=100, batch=10)
    raised = run.fail()
    assert type(error) is type(raised)
    assert "20 of 100 records sent, 0 refused, 80 not sent. A repeated run" in str(raised)
    assert str(raised).endswith("A repeated run sends all records again, which is safe")
    assert raised.__suppress_context__
    assert run.api.requests == [10, 10, 10]
    assert run.api.stopped.is_set()


def test_advice_of_an_error_follows_what_was_sent_and_precedes_that_of_a_repetition() -> None:
    error = Run(fails(UnavailableError("no", advice="Run this task again later")), records=100, batch=10).fail()
    expected = (
        "no. Partly sent: 20 of 100 records sent, 0 refused, 80 not sent. Run this task again later. A repeated run"
    )
    assert str(error).startswith(expected)


def test_only_the_piece_in_flight_of_a_halved_batch_is_in_doubt() -> None:
    def rule(numbers: list[int]) -> None:
        culprits(0, 1)(numbers)
        if numbers == [2, 3]:
            raise UnavailableError("no answer", maybe_applied=True)

    # 0–7 are refused, then 0–3, while 4–7 are in; then of 0–1 and 2–3 the latter is asked first and gets no answer.
    text = str(Run(rule, records=24, batch=8).fail())
    assert "4 of 24 records sent, 0 refused, 18 not sent, 2 unknown." in text


@pytest.mark.parametrize(
    ("other", "told", "members"),
    [
        (None, "20 of 100 records sent, 0 refused, 80 not sent. A repeated run", {*range(10), *range(20, 30)}),
        (
            StoppedError("stopped after a try", maybe_applied=True),
            "10 of 100 records sent, 0 refused, 80 not sent, 10 unknown.",
            {*range(10)},
        ),
    ],
    ids=["which succeeds", "which is stopped"],
)
def test_error_starts_no_more_batches_and_waits_for_those_in_flight(
    other: ExportError | None, told: str, members: set[int]
) -> None:
    run: Run

    def rule(numbers: list[int]) -> None:
        if numbers[0] == 10:
            assert others.wait(timeout=10)
            raise AccountError("role")
        if numbers[0] == 20:
            others.set()
            assert run.api.stopped.wait(timeout=10)
            if other:
                raise other

    others = threading.Event()
    # One at first; two after its answer: 10 and 20.
    run = Run(rule, records=100, batch=10, maximum=8)
    error = run.fail()
    assert AccountError is type(error)
    assert str(error).startswith(f"role. Partly sent: {told}")
    assert members == set(run.api.members)
    assert len(run.api.requests) == 3


def test_unexpected_error_shows_only_its_type_and_leaves_its_batch_in_doubt() -> None:
    error = Run(fails(KeyError("jane@shop.example")), records=100, batch=10).fail()
    assert type(error) is UnexpectedError
    assert re.match(r"KeyError at test_sender\.py:\d+, in rule: a bug in td_pinterest_op", str(error))
    assert "Partly sent: 20 of 100 records sent, 0 refused, " in str(error)
    assert "70 not sent, 10 unknown." in str(error)


def test_records_in_doubt_stay_so_until_a_later_request_settles_them() -> None:
    def rule(numbers: list[int]) -> None:
        if len(numbers) > 4:
            raise RequestRefusedError("too large after a lost try", status=413, maybe_applied=True)
        if 4 in numbers:
            raise AccountError("role")

    text = str(Run(rule, records=8, batch=8).fail())
    assert "4 of 8 records sent, 0 refused, 0 not sent, 4 unknown" in text


# -- threads


def test_error_of_a_thread_that_does_not_start_counts_sent_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(function: Callable[[], Any]) -> Future[Any]:
        raise OSError(errno.EAGAIN, "no thread starts")

    monkeypatch.setattr(sender, "start_thread", refuse)
    error = Run(accept, records=500, batch=1, maximum=8).fail()
    assert "0 of 500 records sent, 0 refused, 500 not sent." in str(error)
    assert "Give the machine or container what it lacks, such as memory, threads," in str(error)


def test_stopped_run_counts_records_whose_request_was_not_applied_as_not_sent() -> None:
    """A request that waits after a 429 ends as soon as no request may leave any more."""

    def wait_after_429(numbers: list[int]) -> None:
        run.api.stopped.wait()
        raise StoppedError("the run was stopped")

    def stop(_: int) -> None:
        raise StoppedError("the run was stopped")

    run = Run(wait_after_429, records=10, batch=10, progress=stop)
    with pytest.raises(StoppedError, match=r"0 of 10 records sent, 0 refused, 10 not sent\. A repeated run"):
        run.send()
