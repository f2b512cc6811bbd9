"""Batches → requests: several at once, halved if Pinterest refuses one. An error says what happened to the records."""

import enum
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice

from td_pinterest_op.audiences.concurrency import ConcurrencyLimit, Workers
from td_pinterest_op.errors import ConnectionBrokenError, ExportError, RecordsRefusedError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.batch import Batch, RowRecords
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.runtime.unexpected import to_export_error
from td_pinterest_op.settings.table import SendingSettings
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

# A 400 that every piece of a batch gets, this many halvings deep, is about the request and not about its records.
MAX_HALVINGS = 3

# Sends one piece; returns None when it is in and nothing is known of the latency.
Put = Callable[[Batch], Response | None]
# Shows the sending of `total` records; yields a function that takes the number done.
ShowProgress = Callable[..., AbstractContextManager[Callable[[int], None]]]


_ROWS_ADVICE = (
    ". These are records with several keys (records_v2), and Pinterest accepted none of them: if it refuses this "
    "kind of record, set records: identifiers"
)


class _Answer(enum.Enum):
    """How Pinterest answered a request with a piece of a batch. BROKEN: the connection broke twice."""

    ACCEPTED = enum.auto()
    REFUSED = enum.auto()  # some of its records (400)
    TOO_LARGE = enum.auto()
    BROKEN = enum.auto()


class _Status(enum.Enum):
    """How the statistics count the records of a piece. IN_DOUBT: a request may have added them."""

    UNSENT = enum.auto()
    IN_DOUBT = enum.auto()
    SENT = enum.auto()
    REFUSED = enum.auto()


@dataclass(slots=True, kw_only=True)
class _BatchResult:
    """The outcome of a batch. `latency`: seconds, None if unknown. `broken`: BROKEN answers since a success."""

    records: Batch
    accepted: int = 0
    refused: int = 0
    latency: float | None = None
    throttled: bool = False
    error: ExportError | None = None
    broken: int = 0


@dataclass(slots=True)
class _Piece:
    """Part of a batch. `halvings`: how often it was halved because of a 400."""

    records: Batch
    halvings: int = 0
    status: _Status = _Status.UNSENT

    def split(self, size: int, *, halvings: int = 0) -> "list[_Piece]":
        """Return pieces of `size` records."""
        return [_Piece(part, self.halvings + halvings, self.status) for part in self.records.split(size)]

    def halve(self, *, halvings: int = 0) -> "list[_Piece]":
        """Return two halves, nothing for a single record."""
        return self.split((len(self.records) + 1) // 2, halvings=halvings) if len(self.records) > 1 else []


class Sender:
    """Sends the records of one run, in batches."""

    def __init__(self, *, client: Client, settings: SendingSettings, stats: Stats, progress: ShowProgress) -> None:
        self._client, self._settings, self._stats, self._progress = client, settings, stats, progress
        self._concurrency = ConcurrencyLimit(maximum=settings.max_in_flight)
        # Records: set once a batch was too large, for all batches from then on.
        self._largest: int | None = None
        self._most_accepted = 0  # records in one request
        self._lock = threading.Lock()

    def send(self, prepared: Prepared, put: Put) -> None:
        """Send every batch with `put`: one request at first, then several at once, in any order.

        Raises the first error once the outcome of the batches in flight is known. Its message says how many records are
        in and how many are not.
        """
        workers = Workers(partial(self._send_batch, put=put), limit=self._concurrency)
        try:
            with self._progress(total=prepared.unique_count, pause=lambda: self._client.rate_limiter.pause) as progress:
                self._send_all(prepared.batches(self._settings.limit_records_per_request), workers, progress)
        except Exception as error:
            known = to_export_error(error)
            # After a signal, or a failure of the spool: the threads must not go on with what they have.
            self._client.rate_limiter.stop(known)
            raise known.extend(self._progress_text()) from None
        finally:
            workers.close()

    def _send_all(
        self, batches: Iterator[Batch], workers: Workers[Batch, _BatchResult], progress: Callable[[int], None]
    ) -> None:
        """Send the batches, and raise the first error once all requests have ended."""
        before = self._stats.sent + self._stats.refused

        def show_progress() -> None:
            progress(self._stats.sent + self._stats.refused - before)

        failure: ExportError | None = None
        for batch in workers.results(batches, poll=show_progress):
            if batch.error:
                failure = failure or batch.error
                # No request leaves any more, nor is one repeated; those in flight are waited for.
                workers.end()
                self._client.rate_limiter.stop(failure)
            self._concurrency.record_response(latency=batch.latency, throttled=batch.throttled)
            show_progress()
        if failure:
            raise failure

    def _progress_text(self) -> str:
        """Return how many records were sent, refused and not sent, for an error message."""
        # Read once each: requests that are still in flight may be counted meanwhile.
        stats = self._stats
        unique, sent, refused, in_doubt = stats.to_send_count, stats.sent, stats.refused, stats.in_doubt
        return (
            f". Partly sent: {sent} of {unique} records sent, {refused} refused, "
            f"{unique - sent - refused - in_doubt} not sent"
            + (f", {in_doubt} unknown" if in_doubt else "")
            + ". Running this task again is safe: it sends all records again "
            f"[last x-pinterest-rid {self._client.last_request_id}]"
        )

    def _send_batch(self, records: Batch, put: Put) -> _BatchResult:
        """Send a batch and return its result, which has the error if there is one."""
        batch = _BatchResult(records=records)
        try:
            for part in records.split(self._largest or len(records)):
                self._send_halving(part, batch, put)
            self._raise_if_rejected(batch)
        except Exception as error:
            batch.error = to_export_error(error)
        return batch

    def _send_halving(self, records: Batch, batch: _BatchResult, put: Put) -> None:
        """Send records, and halve refused pieces until the invalid records are alone.

        Raises RequestRefusedError if that many halvings bring nothing in that the request must be at fault.
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
            answer = self._send_piece(piece, batch, put)
            if answer is _Answer.REFUSED:
                halvings = piece.halvings
                # Last in the queue: all of a batch is tried at one size before any of it at half of that.
                pieces.extend(piece.halve(halvings=1))
            elif answer is not _Answer.ACCEPTED:
                pieces.extendleft(piece.halve())
        if halvings >= MAX_HALVINGS and batch.accepted == accepted_before:
            raise RequestRefusedError(
                f"Pinterest answered 400 to a batch and to every part of it, after {MAX_HALVINGS} halvings: the cause "
                "seems to be the request, not its records. If Pinterest does refuse that many records, set a much "
                f"smaller limit_records_per_request to find them{self._rows_advice(batch)} [x-pinterest-rid "
                f"{self._client.last_request_id}]"
            )

    def _send_piece(self, piece: _Piece, batch: _BatchResult, put: Put) -> _Answer:
        """Send a piece and return the answer. Raises errors that do not concern its records."""
        was_in_doubt = piece.status is _Status.IN_DOUBT
        self._set_status(piece, _Status.IN_DOUBT)
        try:
            response = put(piece.records)
        except ExportError as error:
            answer = _classify_error(error, len(piece.records))
            if answer is _Answer.REFUSED and len(piece.records) == 1:
                self._set_status(piece, _Status.REFUSED)
                batch.refused += 1
            elif not (was_in_doubt or error.maybe_applied or answer is _Answer.BROKEN):
                self._set_status(piece, _Status.UNSENT)
            if answer is None:
                raise
            self._learn_from_failure(error, answer, len(piece.records), batch)
            return answer
        self._set_status(piece, _Status.SENT)
        self._learn_from_success(response, len(piece.records), batch)
        return _Answer.ACCEPTED

    def _set_status(self, piece: _Piece, status: _Status) -> None:
        """Give a piece a status, and count its records under it."""
        count = piece.records.record_count
        self._stats.count_records(
            sent=count * (status is _Status.SENT),
            refused=count * (status is _Status.REFUSED),
            in_doubt=count * ((status is _Status.IN_DOUBT) - (piece.status is _Status.IN_DOUBT)),
        )
        piece.status = status

    def _learn_from_success(self, response: Response | None, records: int, batch: _BatchResult) -> None:
        """Note the latency. After broken connections, lower the batch size to what was accepted."""
        batch.accepted += records
        if response:
            batch.latency = max(batch.latency or 0.0, response.latency)
            batch.throttled = batch.throttled or response.throttled
        if batch.broken and records >= self._most_accepted:
            # No larger piece has ever gone through: it is the size, and not the connection.
            self._lower_batch_size(records)
            log.warning("a batch of %d records was accepted; from now on, batches have at most that many", records)
        batch.broken = 0
        self._most_accepted = max(self._most_accepted, records)

    def _learn_from_failure(self, error: ExportError, answer: _Answer, records: int, batch: _BatchResult) -> None:
        """Wait after a broken connection, or lower the batch size after a request that was too large."""
        half = (records + 1) // 2
        if answer is _Answer.BROKEN:
            self._wait_for_connection(batch, error)
            log.warning(
                "the connection broke twice while sending a batch of %d records; trying batches of half that size",
                records,
            )
        elif answer is _Answer.TOO_LARGE:
            self._lower_batch_size(half)
            log.warning(
                "a batch of %d records is too large for Pinterest; from now on, batches have at most %d", records, half
            )

    def _wait_for_connection(self, batch: _BatchResult, error: ExportError) -> None:
        """Wait as between retries, since a gateway that drops large bodies looks like one that is down."""
        batch.broken += 1
        retry, tried = self._client.retry, 2 * batch.broken
        if tried > retry.count:
            raise error.extend(f"; tried {tried} times")
        self._client.rate_limiter.wait(sum(islice(retry.iterate_waits(), tried - 1, tried + 1)))

    def _lower_batch_size(self, records: int) -> None:
        with self._lock:
            self._largest = min(records, self._largest or records)

    def _raise_if_rejected(self, batch: _BatchResult) -> None:
        """Raise an error if the records that Pinterest refused must end the export."""
        if batch.refused and not self._settings.ignore_invalid_records:
            raise RecordsRefusedError(
                f"Pinterest refused {batch.refused} of the {len(batch.records)} records of a batch (400); set "
                f"ignore_invalid_records: true to skip and count such records{self._rows_advice(batch)}"
            )
        if not self._stats.sent and self._stats.refused >= min(2**MAX_HALVINGS, self._stats.to_send_count):
            raise RequestRefusedError(
                f"Pinterest refused the first {self._stats.refused} records one by one (400) and accepted none: the "
                f"cause is the request, not its records{self._rows_advice(batch)} [x-pinterest-rid "
                f"{self._client.last_request_id}]"
            )

    def _rows_advice(self, batch: _BatchResult) -> str:
        """Return advice about records with several keys, "" once Pinterest has accepted any record."""
        return "" if self._stats.sent or not isinstance(batch.records, RowRecords) else _ROWS_ADVICE


def _classify_error(error: ExportError, records: int) -> _Answer | None:
    """Return the answer that an error means, None if it does not concern the piece's records."""
    if isinstance(error, ConnectionBrokenError):
        return _Answer.BROKEN
    if not isinstance(error, RequestRefusedError):
        return None
    if error.status == 400:
        return _Answer.REFUSED
    return _Answer.TOO_LARGE if error.status == 413 and records > 1 else None
