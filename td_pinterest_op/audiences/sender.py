"""Batches → requests: several at once, halved if Pinterest refuses one. An error says what happened to the records."""

from __future__ import annotations

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
from td_pinterest_op.errors import (
    ConnectionBrokenError,
    ExportError,
    RecordsRefusedError,
    RequestRefusedError,
)
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


_IF_ROWS_ARE_REFUSED = (
    ". These are records with several keys (records_v2), and Pinterest took none of them: if it refuses this kind of "
    "record, set records: identifiers"
)


class _Answer(enum.Enum):
    """What Pinterest says to a piece: it is in; some of it is at fault (400); it is too large (413); nothing, twice."""

    ACCEPTED = enum.auto()
    REFUSED = enum.auto()
    TOO_LARGE = enum.auto()
    BROKEN = enum.auto()


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What happened to a batch. `latency` is None when it tells nothing."""

    records: Batch
    accepted: int = 0
    refused: int = 0
    latency: float | None = None
    throttled: bool = False
    error: ExportError | None = None
    # Broken connections at one size since the last accepted piece.
    broken: int = 0


@dataclass(slots=True)
class _Piece:
    """Part of a batch. `halvings`: how often it was halved because of a 400.

    `in_doubt`: an earlier request may have brought its records in, and they are counted as such.
    """

    records: Batch
    halvings: int = 0
    in_doubt: bool = False

    def parts(self, size: int, *, halvings: int = 0) -> list[_Piece]:
        """Its records, `size` at a time."""
        return [_Piece(part, self.halvings + halvings, self.in_doubt) for part in self.records.split(size)]

    def halves(self, *, halvings: int = 0) -> list[_Piece]:
        """Its records in two pieces; none for a single record."""
        return self.parts((len(self.records) + 1) // 2, halvings=halvings) if len(self.records) > 1 else []


class Sender:
    """Sends the records of one run, in batches, as the settings say."""

    def __init__(self, *, client: Client, settings: SendingSettings, stats: Stats, progress: ShowProgress) -> None:
        self._client, self._settings, self._stats, self._progress = client, settings, stats, progress
        self._concurrency = ConcurrencyLimit(maximum=settings.max_in_flight)
        # Records: set once a batch was too large, for all batches from then on.
        self._largest: int | None = None
        self._most_accepted = 0  # records in one request
        self._lock = threading.Lock()

    def send(self, prepared: Prepared, put: Put) -> None:
        """Send every batch by `put`, one alone at first; their order does not matter.

        Raises the first error once the outcome of the batches in flight is known. Its message says how many records are
        in and how many are not.
        """
        workers = Workers(partial(self._send, put=put), limit=self._concurrency)
        try:
            with self._progress(total=prepared.unique, pause=lambda: self._client.rate_limiter.pause) as progress:
                self._send_all(prepared.batches(self._settings.limit_records_per_request), workers, progress)
        except Exception as error:
            known = error if isinstance(error, ExportError) else to_export_error(error)
            # After a signal, or a failure of the spool: the threads must not go on with what they have.
            self._client.rate_limiter.stop(known)
            raise known.extend(self._partly_sent()) from None
        finally:
            workers.close()

    def _send_all(
        self, batches: Iterator[Batch], workers: Workers[Batch, _Batch], progress: Callable[[int], None]
    ) -> None:
        before = self._stats.sent + self._stats.refused

        def show() -> None:
            progress(self._stats.sent + self._stats.refused - before)

        failure: ExportError | None = None
        for batch in workers.results(batches, look=show):
            if batch.error:
                failure = failure or batch.error
                # No request leaves any more, nor is one repeated; those in flight are waited for.
                workers.end()
                self._client.rate_limiter.stop(failure)
            self._concurrency.record_response(latency=batch.latency, throttled=batch.throttled)
            show()
        if failure:
            raise failure

    def _partly_sent(self) -> str:
        # Read once each: requests that are still in flight may be counted meanwhile.
        stats = self._stats
        unique, sent, refused, in_doubt = stats.to_send, stats.sent, stats.refused, stats.in_doubt
        return (
            f". Partly sent: of {unique} records {sent} are in, {refused} were refused, "
            f"{unique - sent - refused - in_doubt} are not in"
            + (f", and of {in_doubt} it is not known" if in_doubt else "")
            + ". Running this task again is safe: it sends them all "
            f"[last x-pinterest-rid {self._client.last_request_id}]"
        )

    def _send(self, records: Batch, put: Put) -> _Batch:
        batch = _Batch(records=records)
        try:
            for part in records.split(self._largest or len(records)):
                self._send_halving(part, batch, put)
            self._raise_if_rejected(batch)
        except ExportError as error:
            batch.error = error
        except Exception as error:
            batch.error = to_export_error(error)
        return batch

    def _send_halving(self, records: Batch, batch: _Batch, put: Put) -> None:
        """Send `records`, in halves of halves where Pinterest refuses them, until the culprits are alone."""
        accepted, refused_after = batch.accepted, 0
        pieces = deque([_Piece(records)])
        while pieces:
            piece = pieces.popleft()
            if self._largest and len(piece.records) > self._largest:
                pieces.extendleft(piece.parts(self._largest))
                continue
            if piece.halvings > MAX_HALVINGS and batch.accepted == accepted:
                break
            answer = self._try(piece, batch, put)
            if answer is _Answer.REFUSED:
                refused_after = piece.halvings
                # Last in the queue: all of a batch is tried at one size before any of it at half of that.
                pieces.extend(piece.halves(halvings=1))
            elif answer is not _Answer.ACCEPTED:
                pieces.extendleft(piece.halves())
        if refused_after >= MAX_HALVINGS and batch.accepted == accepted:
            raise RequestRefusedError(
                f"Pinterest answered 400 to a batch and to every piece of it, {MAX_HALVINGS} halvings deep: "
                "this seems to be about the request, not about its records. "
                "If Pinterest does refuse that many records, a much smaller limit_records_per_request singles "
                f"them out{self._if_rows_are_refused(batch)} [x-pinterest-rid {self._client.last_request_id}]"
            )

    def _try(self, piece: _Piece, batch: _Batch, put: Put) -> _Answer:
        """Send a piece and count what happened to its records. Raises what is not about the piece."""
        records, counted = len(piece.records), piece.records.record_count
        self._stats.count(in_doubt=0 if piece.in_doubt else counted)
        try:
            response = put(piece.records)
        except ExportError as error:
            answer = _answer_of(error, records)
            culprit = answer is _Answer.REFUSED and records == 1
            piece.in_doubt = piece.in_doubt or error.maybe_applied or answer is _Answer.BROKEN
            self._stats.count(
                refused=counted if culprit else 0, in_doubt=0 if piece.in_doubt and not culprit else -counted
            )
            batch.refused += culprit
            if answer is None:
                raise
            self._learn_from(error, answer, records, batch)
            return answer
        self._stats.count(sent=counted, in_doubt=-counted)
        batch.accepted += records
        if response:
            batch.latency = max(batch.latency or 0.0, response.latency)
            batch.throttled = batch.throttled or response.throttled
        if batch.broken and records >= self._most_accepted:
            # No larger piece has ever gone through: it is the size, and not the connection.
            self._shrink(records)
            log.warning("%d records went through; at most that many from now on", records)
        batch.broken = 0
        self._most_accepted = max(self._most_accepted, records)
        return _Answer.ACCEPTED

    def _learn_from(self, error: ExportError, answer: _Answer, records: int, batch: _Batch) -> None:
        half = (records + 1) // 2
        if answer is _Answer.BROKEN:
            self._wait_for_connection(batch, error)
            log.warning("the connection broke twice at %d records; trying half as many", records)
        elif answer is _Answer.TOO_LARGE:
            self._shrink(half)
            log.warning("Pinterest finds %d records too many; at most %d from now on", records, half)

    def _wait_for_connection(self, batch: _Batch, error: ExportError) -> None:
        """Wait as the retries of one request do: a gateway that drops large bodies looks like one that is down."""
        batch.broken += 1
        retry, tried = self._client.retry, 2 * batch.broken
        if tried > retry.count:
            raise error.extend(f"; tried {tried} times")
        self._client.rate_limiter.wait(sum(islice(retry.waits(), tried - 1, tried + 1)))

    def _shrink(self, records: int) -> None:
        with self._lock:
            self._largest = min(records, self._largest or records)

    def _raise_if_rejected(self, batch: _Batch) -> None:
        """Raise when the records that Pinterest refused end the export."""
        if batch.refused and not self._settings.ignore_invalid_records:
            raise RecordsRefusedError(
                f"Pinterest refused {batch.refused} of the {len(batch.records)} records of a batch (400); set "
                f"ignore_invalid_records: true to skip and count such records{self._if_rows_are_refused(batch)}"
            )
        if not self._stats.sent and self._stats.refused >= min(2**MAX_HALVINGS, self._stats.to_send):
            raise RequestRefusedError(
                f"Pinterest refused the first {self._stats.refused} records one by one (400) and took none: this is "
                f"about the request, not about its records{self._if_rows_are_refused(batch)} "
                f"[x-pinterest-rid {self._client.last_request_id}]"
            )

    def _if_rows_are_refused(self, batch: _Batch) -> str:
        """What to do about it, as long as no record was taken that is a row."""
        return "" if self._stats.sent or not isinstance(batch.records, RowRecords) else _IF_ROWS_ARE_REFUSED


def _answer_of(error: ExportError, records: int) -> _Answer | None:
    """What an error says about a piece of `records` records; None if it is about something else."""
    if isinstance(error, ConnectionBrokenError):
        return _Answer.BROKEN
    if not isinstance(error, RequestRefusedError):
        return None
    if error.status == 400:
        return _Answer.REFUSED
    return _Answer.TOO_LARGE if error.status == 413 and records > 1 else None
