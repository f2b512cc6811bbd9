"""Sends batches of records: several at once, halved if Pinterest refuses one. Errors count the sent records."""

import enum
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from td_pinterest_op.errors import ConnectionBrokenError, ExportError, RecordsRefusedError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.prepared import Batch, PreparedRecords
from td_pinterest_op.runtime.shutdown import start_thread
from td_pinterest_op.runtime.unexpected import to_export_error
from td_pinterest_op.settings.table import SendingSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.workflow.progress import Phase, ProgressReporter

log = logging.getLogger(__name__)

# A 400 that every piece of a batch gets, this many halvings deep, is about the request and not about its records.
MAX_HALVINGS = 3
# Seconds between two reports of the progress while no request ends.
_POLL_SECONDS = 1.0

SendRecords = Callable[[Batch], Response | None]
"""Sends records in one request. Returns None if the request created the list."""

_ROWS_ADVICE = (
    ". These are records with several keys (records_v2), and Pinterest accepted none of them: if it refuses this "
    "kind of record, set records: identifiers"
)


class _Outcome(enum.Enum):
    """The outcome of a request that sends a part of a batch. BROKEN: the connection broke twice."""

    ACCEPTED = enum.auto()
    REFUSED = enum.auto()  # some of its records (400)
    TOO_LARGE = enum.auto()
    BROKEN = enum.auto()


@dataclass(slots=True, kw_only=True)
class _BatchResult:
    """The result of sending a batch. `broken`: how often in a row the outcome of a request was BROKEN."""

    records: Batch
    accepted: int = 0
    refused: int = 0
    throttled: bool = False
    error: ExportError | None = None
    broken: int = 0


@dataclass(slots=True)
class _Piece:
    """A part of a batch, for one request. `halvings`: how often a 400 halved it. `in_doubt`: it may have been sent."""

    records: Batch
    halvings: int = 0
    in_doubt: bool = False

    def split(self, size: int, *, halvings: int = 0) -> "list[_Piece]":
        """Return pieces of up to `size` records each. `halvings` is added to the number of their halvings."""
        return [_Piece(part, self.halvings + halvings, self.in_doubt) for part in self.records.split(size)]

    def halve(self, *, halvings: int = 0) -> "list[_Piece]":
        """Return the two halves, or nothing for a single record. `halvings` is added to the number of halvings."""
        return self.split((len(self.records) + 1) // 2, halvings=halvings) if len(self.records) > 1 else []


class ConcurrencyLimit:
    """The number of requests that may be in flight. It grows from 1, and halves after a 429, as in TCP."""

    def __init__(self, *, maximum: int) -> None:
        self._maximum, self._size, self._has_halved = maximum, 1.0, False
        self._unsettled = 0  # responses still to come to requests from before the last halving

    @property
    def size(self) -> int:
        """The number of requests that may be in flight now."""
        return int(self._size)

    def lower_maximum(self, maximum: int) -> None:
        """Allow no more than `maximum` requests from now on."""
        self._maximum, self._size = maximum, min(self._size, maximum)

    def record_response(self, *, throttled: bool) -> None:
        """Adjust the limit after a response. `throttled`: the request, or an earlier try of it, got a 429."""
        self._unsettled = max(self._unsettled - 1, 0)
        if not throttled:
            # At first one more for each response, which doubles the size every round trip; later one more a round trip.
            self._size = min(self._maximum, self._size + (1 / self._size if self._has_halved else 1))
        elif not self._unsettled:
            self._unsettled, self._size, self._has_halved = self.size, max(1.0, self._size / 2), True


@dataclass(kw_only=True)
class Sender:
    """Sends the records of one run, in batches. `phase`: the name of this work in messages about the progress."""

    client: Client
    settings: SendingSettings
    stats: Stats
    reporter: ProgressReporter
    phase: str = "sending"
    # Records in one request. `_largest` is set once a batch was too large, for all later batches.
    _largest: int | None = None
    _most_accepted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._concurrency = ConcurrencyLimit(maximum=self.settings.max_in_flight)

    def send(self, prepared: PreparedRecords, send_records: SendRecords) -> None:
        """Send every batch with `send_records`: first a single request, then several at a time, in any order.

        Raises the first error once the outcome of the batches in flight is known. Its message counts the records that
        were sent and those that were not.
        """
        settings, rate_limiter, total = self.settings, self.client.rate_limiter, prepared.unique_count
        pace = settings.records_per_second
        phase = Phase(name=self.phase, unit="records", total=total, pace=pace, pause=lambda: rate_limiter.pause)
        try:
            with self.reporter.show_progress(phase) as progress:
                self._send_all(prepared.read_batches(settings.limit_records_per_request), send_records, progress)
        except Exception as error:
            known = to_export_error(error)
            # After a signal, or a failure of the spool: the threads must not send the batches that they have.
            rate_limiter.stop(known)
            raise known.extend(self._describe_progress()) from None

    def _send_all(self, batches: Iterator[Batch], send_records: SendRecords, progress: Callable[[int], None]) -> None:
        """Send the batches, and raise the first error once all requests have ended."""
        before = self.stats.sent + self.stats.refused
        failure: ExportError | None = None
        # Daemon threads: a run that is stopped must not wait for a response that may take minutes.
        running: set[Future[_BatchResult]] = set()
        batch = next(batches, None)
        while True:
            while batch is not None and not failure and len(running) < self._concurrency.size:
                try:
                    running.add(start_thread(partial(self._send_batch, batch, send_records)))
                except RuntimeError:
                    if not running:
                        raise
                    log.warning(
                        "the system refused to start another thread: sending at most %d requests at once", len(running)
                    )
                    self._concurrency.lower_maximum(len(running))
                else:
                    batch = next(batches, None)
            if not running:
                break
            ended, running = futures.wait(running, timeout=_POLL_SECONDS, return_when=futures.FIRST_COMPLETED)
            for result in [future.result() for future in ended]:
                if result.error:
                    failure = failure or result.error
                    # No request leaves any more, nor is one repeated. Those in flight are waited for.
                    self.client.rate_limiter.stop(failure)
                self._concurrency.record_response(throttled=result.throttled)
            progress(self.stats.sent + self.stats.refused - before)
        if failure:
            raise failure

    def _describe_progress(self) -> str:
        """Return the numbers of records sent, refused and not sent, for an error message."""
        # Read once each: requests that are still in flight may be counted meanwhile.
        stats = self.stats
        unique, sent, refused, in_doubt = stats.to_send_count, stats.sent, stats.refused, stats.in_doubt
        return (
            f". Partly sent: {sent} of {unique} records sent, {refused} refused, "
            f"{unique - sent - refused - in_doubt} not sent"
            + (f", {in_doubt} unknown" if in_doubt else "")
            + ". Running this task again is safe: it sends all records again "
            f"[last x-pinterest-rid {self.client.last_request_id}]"
        )

    def _send_batch(self, records: Batch, send_records: SendRecords) -> _BatchResult:
        """Send a batch and return its result, which has the error if there is one."""
        batch = _BatchResult(records=records)
        try:
            for part in records.split(self._largest or len(records)):
                self._send_in_pieces(part, batch, send_records)
            self._raise_if_rejected(batch)
        except Exception as error:
            batch.error = to_export_error(error)
        return batch

    def _send_in_pieces(self, records: Batch, batch: _BatchResult, send_records: SendRecords) -> None:
        """Send records, and halve each refused piece until every invalid record is in a piece of its own.

        Raises RequestRefusedError if Pinterest accepts no piece after MAX_HALVINGS: the request must be the cause.
        """
        accepted_before, halvings = batch.accepted, 0
        pieces = deque([_Piece(records)])
        while pieces:
            piece = pieces.popleft()
            if self._largest and len(piece.records) > self._largest:
                pieces.extendleft(piece.split(self._largest))
                continue
            if piece.halvings > MAX_HALVINGS and batch.accepted == accepted_before:
                break
            outcome = self._send_piece(piece, batch, send_records)
            if outcome is _Outcome.REFUSED:
                halvings = piece.halvings
                # Last in the queue: all of a batch is tried at one size before any of it at half of that.
                pieces.extend(piece.halve(halvings=1))
            elif outcome is not _Outcome.ACCEPTED:
                pieces.extendleft(piece.halve())
        if halvings >= MAX_HALVINGS and batch.accepted == accepted_before:
            raise self._build_request_error(
                f"Pinterest refused a batch (400), and also every part of it after {MAX_HALVINGS} halvings: the cause "
                "seems to be the request, not its records. If Pinterest does refuse that many records, set a much "
                "smaller limit_records_per_request to find them",
                batch,
            )

    def _send_piece(self, piece: _Piece, batch: _BatchResult, send_records: SendRecords) -> _Outcome:
        """Send a piece, and return the outcome. Raises errors that do not concern the records of the piece."""
        size, count, was_in_doubt = len(piece.records), piece.records.record_count, piece.in_doubt
        # In doubt until the outcome is known.
        self.stats.count_records(in_doubt=count * (not was_in_doubt))
        try:
            response = send_records(piece.records)
        except ExportError as error:
            outcome = _classify_error(error, size)
            refused = outcome is _Outcome.REFUSED and size == 1
            piece.in_doubt = not refused and (was_in_doubt or error.maybe_applied or outcome is _Outcome.BROKEN)
            self.stats.count_records(refused=count * refused, in_doubt=-count * (not piece.in_doubt))
            batch.refused += refused
            if outcome is None:
                raise
            self._learn_from_failure(error, outcome, size, batch)
            return outcome
        self.stats.count_records(sent=count, in_doubt=-count)
        self._learn_from_success(response, size, batch)
        return _Outcome.ACCEPTED

    def _learn_from_success(self, response: Response | None, records: int, batch: _BatchResult) -> None:
        """Count the accepted records. If the connection broke at larger sizes, limit all later batches to this size."""
        batch.accepted += records
        batch.throttled = batch.throttled or bool(response and response.throttled)
        if batch.broken and records >= self._most_accepted:
            # No larger piece was ever accepted: the size is the cause, and not the connection.
            self._lower_batch_size(records)
            log.warning("a batch of %d records was accepted; from now on, batches have at most that many", records)
        batch.broken = 0
        self._most_accepted = max(self._most_accepted, records)

    def _learn_from_failure(self, error: ExportError, outcome: _Outcome, records: int, batch: _BatchResult) -> None:
        """Wait before the next try if the connection broke, or lower the batch size if the request was too large."""
        half = (records + 1) // 2
        if outcome is _Outcome.BROKEN:
            # Wait as between retries, since a gateway that drops large bodies looks like one that is down.
            batch.broken += 1
            retry, tried = self.client.retry, 2 * batch.broken
            if tried > retry.count:
                raise error.extend(f"; tried {tried} times")
            self.client.rate_limiter.wait(sum(islice(retry.iterate_waits(), tried - 1, tried + 1)))
            log.warning(
                "the connection broke twice while sending a batch of %d records; trying batches of half that size",
                records,
            )
        elif outcome is _Outcome.TOO_LARGE:
            self._lower_batch_size(half)
            log.warning(
                "a batch of %d records is too large for Pinterest; from now on, batches have at most %d", records, half
            )

    def _lower_batch_size(self, records: int) -> None:
        """Limit all later batches to this number of records."""
        with self._lock:
            self._largest = min(records, self._largest or records)

    def _raise_if_rejected(self, batch: _BatchResult) -> None:
        """Raise an error if refused records are not to be ignored, or if Pinterest has accepted none so far."""
        if batch.refused and not self.settings.ignore_invalid_records:
            raise RecordsRefusedError(
                f"Pinterest refused {batch.refused} of the {len(batch.records)} records of a batch (400); set "
                f"ignore_invalid_records: true to skip and count such records{self._build_rows_advice(batch)}"
            )
        if not self.stats.sent and self.stats.refused >= min(2**MAX_HALVINGS, self.stats.to_send_count):
            raise self._build_request_error(
                f"Pinterest refused the first {self.stats.refused} records one by one (400), and accepted none: the "
                "cause is the request, not its records",
                batch,
            )

    def _build_request_error(self, text: str, batch: _BatchResult) -> RequestRefusedError:
        """Return the error for a request that Pinterest refuses, whatever records it contains."""
        rid = f"[x-pinterest-rid {self.client.last_request_id}]"
        return RequestRefusedError(f"{text}{self._build_rows_advice(batch)} {rid}")

    def _build_rows_advice(self, batch: _BatchResult) -> str:
        """Return advice about the setting `records: rows`, or "" if it is not set or a record was accepted."""
        return "" if self.stats.sent or not batch.records.has_rows else _ROWS_ADVICE


def _classify_error(error: ExportError, records: int) -> _Outcome | None:
    """Return the outcome that an error means, or None if the error does not concern the records of the request."""
    if isinstance(error, ConnectionBrokenError):
        return _Outcome.BROKEN
    if not isinstance(error, RequestRefusedError):
        return None
    if error.status == 400:
        return _Outcome.REFUSED
    return _Outcome.TOO_LARGE if error.status == 413 and records > 1 else None
