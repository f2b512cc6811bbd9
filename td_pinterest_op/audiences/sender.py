"""Batches → requests: several under way at once, halved when Pinterest will not take one; what a failed batch means."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from td_pinterest_op.audiences.concurrency import ConcurrencyLimit
from td_pinterest_op.errors import ExportError, RecordsRefusedError, RequestRefusedError, unexpected
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.records.spool import DIGEST_BYTES
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

# A 400 that every piece of a batch gets, so many halvings deep, is about the request and not about its records.
MAX_HALVINGS = 3
_BAD_REQUEST, _TOO_LARGE = 400, 413
# Seconds after which a progress line is thought of, whatever happens.
_POLL_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class _Batch:
    """A batch and what has become of its records so far; `under_way` counts those of the request that is being made."""

    records: int
    accepted: int = 0
    refused: int = 0
    under_way: int = 0
    latency: float | None = None
    throttled: bool = False
    error: ExportError | None = None

    @property
    def missing(self) -> int:
        """Records that are surely not in. Those of a request that may have been carried out are not among them."""
        unclear = self.under_way if self.error and self.error.maybe_applied else 0
        return self.records - self.accepted - self.refused - unclear


class Sender:
    """Sends the batches of one run. `progress` is called with the number of records that are in or refused."""

    def __init__(
        self, *, api: Api, stats: Stats, skip_refused: bool, max_in_flight: int, progress: Callable[[int], None]
    ) -> None:
        self._api, self._stats, self._skip_refused = api, stats, skip_refused
        self._flight = ConcurrencyLimit(maximum=max_in_flight)
        self._progress = progress
        # In bytes of digests: set once a batch was too large, for all batches from then on.
        self._largest: int | None = None
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._settled: queue.SimpleQueue[_Batch] = queue.SimpleQueue()
        self._threads = 0
        self._in_flight = 0
        self._begun = 0

    def send(self, batches: Iterable[bytes], *, list_id: str, operation: str) -> None:
        """Send every batch (32 bytes a digest); `operation` is ADD or REMOVE. Their order does not matter.

        Raises the first error, once it is known what became of the batches under way. The message says how many records
        are in and how many are not.
        """
        missing = 0
        try:
            failure: ExportError | None = None
            for batch in self._run(batches, lambda digests: self._send(digests, list_id, operation)):
                if batch.error:
                    failure = failure or batch.error
                    # No request leaves any more, nor is one repeated; those under way are waited for.
                    self._api.client.rate_limiter.stop(failure)
                    missing += batch.missing
            if failure:
                raise failure
        except ExportError as error:
            # Told to end from outside: the threads must not go on with what they have.
            self._api.client.rate_limiter.stop(error)
            raise error.extended(self._half_way(missing)) from None
        finally:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _half_way(self, missing: int) -> str:
        # Read once each: requests that are under way still may be counted meanwhile.
        unique, sent, refused = self._stats.unique, self._stats.sent, self._stats.refused
        unclear = self._begun - sent - refused - missing
        return (
            f". Half-way: of {unique} records {sent} are in, {refused} were refused, "
            f"{unique - self._begun + missing} are not in"
            + (f", and of {unclear} it is not known" if unclear else "")
            + f". Running this task again is safe: it sends them all [last x-pinterest-rid {self._last_request_id}]"
        )

    @property
    def _last_request_id(self) -> str:
        return self._api.client.last_request_id

    def _run(self, batches: Iterable[bytes], send: Callable[[bytes], _Batch]) -> Iterator[_Batch]:
        """Keep as many batches under way as the flight allows; yields each as it ends. Begins none after an error."""
        waiting: Iterator[bytes] = iter(batches)
        while True:
            while self._in_flight < self._flight.size and (digests := next(waiting, None)) is not None:
                self._begin(digests, send)
            if not self._in_flight:
                return
            batch = self._next_settled()
            self._in_flight -= 1
            if batch.error:
                waiting = iter(())
            self._flight.answered(latency=batch.latency, throttled=batch.throttled)
            self._progress(self._stats.sent + self._stats.refused)
            yield batch

    def _next_settled(self) -> _Batch:
        while True:
            try:
                return self._settled.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                # Also while nothing settles, a long wait among others, it is to be seen how far the run is.
                self._progress(self._stats.sent + self._stats.refused)

    def _begin(self, digests: bytes, send: Callable[[bytes], _Batch]) -> None:
        self._in_flight += 1
        self._begun += len(digests) // DIGEST_BYTES
        if self._in_flight > self._threads:
            self._threads += 1
            # Daemons: a run that is told to stop must not wait for an answer that may take minutes.
            threading.Thread(target=self._work, args=(send,), name=f"send-{self._threads}", daemon=True).start()
        self._jobs.put(digests)

    def _work(self, send: Callable[[bytes], _Batch]) -> None:
        while (digests := self._jobs.get()) is not None:
            self._settled.put(send(digests))

    def _send(self, digests: bytes, list_id: str, operation: str) -> _Batch:
        batch = _Batch(records=len(digests) // DIGEST_BYTES)
        try:
            for piece in _cut(digests, self._largest or len(digests)):
                self._settle(piece, batch, list_id, operation)
            self._judge(batch)
        except ExportError as error:
            batch.error = error
        except Exception as error:
            batch.error = unexpected(error)
            batch.error.maybe_applied = True
        return batch

    def _settle(self, digests: bytes, batch: _Batch, list_id: str, operation: str) -> None:
        """Send `digests`, in halves of halves where Pinterest refuses them, until the culprits are alone."""
        accepted, depth, pieces = batch.accepted, 0, [digests]
        while pieces:
            refused = []
            while pieces:
                piece = pieces.pop()
                if self._largest and len(piece) > self._largest:
                    pieces += _cut(piece, self._largest)
                    continue
                status = self._status(piece, batch, list_id, operation)
                if status == _TOO_LARGE:
                    pieces += _halves(piece)
                elif status == _BAD_REQUEST:
                    refused.append(piece)
            if depth == MAX_HALVINGS and batch.accepted == accepted and refused:
                raise RequestRefusedError(
                    f"Pinterest answered 400 to a batch and to every piece of it, {MAX_HALVINGS} halvings deep: "
                    f"this seems to be about the request, not about its records ({operation}, list {list_id}). "
                    "If Pinterest does refuse that many records, a much smaller limit_records_per_request singles "
                    f"them out [x-pinterest-rid {self._last_request_id}]"
                )
            culprits = sum(len(piece) == DIGEST_BYTES for piece in refused)
            batch.refused += culprits
            self._stats.count(refused=culprits)
            pieces = [half for piece in refused if len(piece) > DIGEST_BYTES for half in _halves(piece)]
            depth += 1

    def _status(self, piece: bytes, batch: _Batch, list_id: str, operation: str) -> int:
        """200 when the piece is in, else the 400 or 413 that says to halve it."""
        batch.under_way = records = len(piece) // DIGEST_BYTES
        try:
            outcome = self._api.change_records(list_id, operation=operation, digests=piece)
        except RequestRefusedError as error:
            if error.status == _TOO_LARGE and records > 1:
                self._shrink((records + 1) // 2)
                log.warning("Pinterest finds %d records too many; at most %d from now on", records, (records + 1) // 2)
            elif error.status != _BAD_REQUEST:
                raise
            batch.under_way = 0
            return error.status
        batch.under_way = 0
        batch.accepted += records
        batch.latency = max(batch.latency or 0.0, outcome.latency)
        batch.throttled = batch.throttled or outcome.throttled
        self._stats.count(sent=records)
        return 200

    def _shrink(self, records: int) -> None:
        with self._lock:
            self._largest = min(records * DIGEST_BYTES, self._largest or records * DIGEST_BYTES)

    def _judge(self, batch: _Batch) -> None:
        """Raise when the records that Pinterest refused end the export."""
        if batch.refused and not self._skip_refused:
            raise RecordsRefusedError(
                f"Pinterest refused {batch.refused} of the {batch.records} records of a batch (400); "
                "set ignore_invalid_records: true to skip and count such records"
            )
        if not self._stats.sent and self._stats.refused >= min(2**MAX_HALVINGS, self._stats.unique):
            raise RequestRefusedError(
                f"Pinterest refused the first {self._stats.refused} records one by one (400) and took none: "
                f"this is about the request, not about its records [x-pinterest-rid {self._last_request_id}]"
            )


def _cut(digests: bytes, size: int) -> Iterator[bytes]:
    return (digests[start : start + size] for start in range(0, len(digests), size))


def _halves(digests: bytes) -> list[bytes]:
    middle = (len(digests) // DIGEST_BYTES + 1) // 2 * DIGEST_BYTES
    return [digests[:middle], digests[middle:]]
