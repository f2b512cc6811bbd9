"""Sends batches of records: several at once, halved if Pinterest refuses one. Errors count the sent records."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial

from td_pinterest_op.errors import ExportError, RecordsRefusedError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.prepared import Batch, PreparedRecords
from td_pinterest_op.runtime.shutdown import start_thread
from td_pinterest_op.settings.table import SendingSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.progress import Phase, ProgressReporter

log = logging.getLogger(__name__)

# A 400 that every part of a batch gets, this many halvings deep, is about the request and not about its records.
MAX_HALVINGS = 3
_POLL_SECONDS = 1.0  # between two reports of the progress while no request ends

SendRecords = Callable[[Batch], Response | None]
"""Sends records in one request. Returns None if the request created the list."""

_ROWS_ADVICE = (
    ". These are records with several keys (records_v2), and Pinterest accepted none of them: if it refuses this "
    "kind of record, set records: identifiers"
)


@dataclass(slots=True, kw_only=True)
class _BatchPart:
    """A part of a batch, for one request.

    `is_in_doubt`: an earlier request may have sent the records. `halvings`: after how many refusals (400).
    """

    records: Batch
    is_in_doubt: bool = False
    halvings: int = 0

    def split(self, size: int) -> "list[_BatchPart]":
        """Divide this part of a batch into smaller parts of `size` records. The last part may have fewer."""
        return [replace(self, records=records) for records in self.records.split(size)]

    def halve(self) -> "list[_BatchPart]":
        """Return the two halves of this part of a batch, or an empty list if the part has only one record."""
        return self.split((len(self.records) + 1) // 2) if len(self.records) > 1 else []


@dataclass(slots=True, kw_only=True)
class _BatchState:
    """What became of the records of a batch. `was_throttled`: a request, or an earlier try of it, got a 429."""

    records: Batch
    accepted: int = 0
    refused: int = 0
    was_throttled: bool = False


class ConcurrencyLimit:
    """The number of requests that may be in flight. It grows from 1, and halves after a 429, as in TCP."""

    def __init__(self, *, maximum: int) -> None:
        self._maximum = maximum
        self._size = 1.0
        self._has_halved = False
        self._unsettled = 0  # responses still to come to requests from before the last halving

    @property
    def size(self) -> int:
        """The number of requests that may be in flight now."""
        return int(self._size)

    def record_response(self, *, throttled: bool) -> None:
        """Adjust the limit after a response. `throttled`: the request, or an earlier try of it, got a 429."""
        self._unsettled = max(self._unsettled - 1, 0)
        if not throttled:
            # At first one more for each response, which doubles the size every round trip; later one more a round trip.
            self._size = min(self._maximum, self._size + (1 / self._size if self._has_halved else 1))
        elif not self._unsettled:
            self._unsettled = self.size
            self._size = max(1.0, self._size / 2)
            self._has_halved = True


@dataclass(kw_only=True)
class Sender:
    """Sends the records of one run, in batches. `phase`: the name of the sending in messages about the progress.

    `on_refused` gets each record that Pinterest refuses, from any thread.
    """

    client: Client
    settings: SendingSettings
    stats: Stats
    reporter: ProgressReporter
    phase: str = "sending"
    on_refused: Callable[[Batch], object] = lambda _: None
    # Records in one request. `_largest` is set once a batch was too large, for all later batches. There is no lock: if
    # two threads set it at once, another request may be too large.
    _largest: int | None = None

    def __post_init__(self) -> None:
        self._concurrency = ConcurrencyLimit(maximum=self.settings.max_in_flight)

    def send(self, prepared: PreparedRecords, send_records: SendRecords) -> None:
        """Send every batch with `send_records`: first a single request, then several at a time, in any order.

        After an error, no further batch is sent. Once the outcome of the batches in flight is known, raises the first
        error, whose message says how many records were sent, refused and not sent.
        """
        rate_limiter = self.client.rate_limiter
        phase = Phase(
            name=self.phase,
            unit="records",
            total=prepared.record_count,
            pace=self.settings.records_per_second,
            pause=lambda: rate_limiter.pause,
        )
        send_batch = partial(self._send_batch, send_records=send_records)
        try:
            with self.reporter.show_progress(phase) as progress:
                self._send_all(prepared.read_batches(self.settings.limit_records_per_request), send_batch, progress)
        except Exception as error:
            known = ExportError.from_exception(error)
            # After a signal, or a failure of the spool: the threads must not send the batches that they have.
            rate_limiter.stop(known)
            raise known.extend(self._describe_progress()) from None

    def _send_all(
        self, batches: Iterator[Batch], send_batch: Callable[[Batch], bool], progress: Callable[[int], None]
    ) -> None:
        """Send the batches, and raise the first error once all requests have ended."""
        before = self.stats.sent + self.stats.refused
        failure: ExportError | None = None
        # Daemon threads: a run that is stopped must not wait for a response that may take minutes.
        running: set[Future[bool]] = set()
        batch = next(batches, None)
        while True:
            while batch is not None and not failure and len(running) < self._concurrency.size:
                running.add(start_thread(partial(send_batch, batch)))
                batch = next(batches, None)
            if not running:
                break
            ended, running = futures.wait(running, timeout=_POLL_SECONDS, return_when=futures.FIRST_COMPLETED)
            for future in ended:
                try:
                    self._concurrency.record_response(throttled=future.result())
                except Exception as error:
                    failure = failure or ExportError.from_exception(error)
                    # No request leaves any more, nor is one repeated. Those in flight are waited for.
                    self.client.rate_limiter.stop(failure)
            progress(self.stats.sent + self.stats.refused - before)
        if failure:
            raise failure

    def _describe_progress(self) -> str:
        """Return the numbers of records sent, refused and not sent, for an error message."""
        # Read once each: requests that are still in flight may be counted meanwhile.
        unique = self.stats.to_send_count
        sent = self.stats.sent
        refused = self.stats.refused
        in_doubt = self.stats.in_doubt
        return (
            f". Partly sent: {sent} of {unique} records sent, {refused} refused, "
            f"{unique - sent - refused - in_doubt} not sent"
            + (f", {in_doubt} unknown" if in_doubt else "")
            + ". Running this task again is safe: it sends all records again "
            f"[last x-pinterest-rid {self.client.last_request_id}]"
        )

    def _send_batch(self, records: Batch, send_records: SendRecords) -> bool:
        """Send a batch, halved where Pinterest refuses it, and return whether it was throttled (429).

        Raises RecordsRefusedError for refused records that the settings do not ignore, and RequestRefusedError if
        Pinterest accepts no part after MAX_HALVINGS: the request must be the cause.
        """
        batch = _BatchState(records=records)
        parts = deque([_BatchPart(records=records)])
        while parts:
            part = parts.popleft()
            if self._largest and len(part.records) > self._largest:
                parts.extendleft(reversed(part.split(self._largest)))
                continue
            error = self._send_part(part, send_records, batch)
            if error and error.status == 413:
                self._lower_largest(part)
                parts.extendleft(reversed(part.halve()))
            elif error:
                part.halvings += 1
                parts += part.halve()  # last: all are tried at one size before any at half of that
                if not batch.accepted and all(each.halvings > MAX_HALVINGS for each in (part, *parts)):
                    raise self._build_request_error(
                        f"Pinterest refused a batch (400), and also every part of it after {MAX_HALVINGS} halvings: "
                        "the cause seems to be the request, not its records. If Pinterest does refuse that many "
                        "records, set a much smaller limit_records_per_request to find them",
                        batch,
                    )
        self._raise_if_refused(batch)
        return batch.was_throttled

    def _lower_largest(self, part: _BatchPart) -> None:
        """After a 413 for a part of a batch, let all later requests have at most half as many records."""
        size = len(part.records)
        half = (size + 1) // 2
        self._largest = min(half, self._largest or half)
        log.warning(
            "a batch of %d records is too large for Pinterest; from now on, batches have at most %d", size, half
        )

    def _send_part(self, part: _BatchPart, send_records: SendRecords, batch: _BatchState) -> ExportError | None:
        """Send and count a part of a batch. Return a refusal (400, 413) that halving may avoid, raise other errors."""
        size = len(part.records)
        count = part.records.record_count
        if not part.is_in_doubt:
            self.stats.count_records(in_doubt=count)  # until the outcome is known
        try:
            response = send_records(part.records)
        except ExportError as error:
            is_refusal = isinstance(error, RequestRefusedError) and not error.is_read
            if is_refusal and error.status == 400 and size == 1:
                self.stats.count_records(refused=count, in_doubt=-count)
                batch.refused += 1
                self.on_refused(part.records)
                return error
            part.is_in_doubt = part.is_in_doubt or error.maybe_applied
            if not part.is_in_doubt:
                self.stats.count_records(in_doubt=-count)
            if is_refusal and (error.status == 400 or (error.status == 413 and size > 1)):
                return error
            raise
        self.stats.count_records(sent=count, in_doubt=-count)
        batch.accepted += size
        if response and response.throttled:
            batch.was_throttled = True
        return None

    def _raise_if_refused(self, batch: _BatchState) -> None:
        """Raise an error for refused records that the settings do not ignore, or if all records so far were refused."""
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

    def _build_request_error(self, text: str, batch: _BatchState) -> RequestRefusedError:
        """Return an error with `text`, advice about the setting `records: rows`, and the last request's id."""
        rid = f"[x-pinterest-rid {self.client.last_request_id}]"
        return RequestRefusedError(f"{text}{self._build_rows_advice(batch)} {rid}")

    def _build_rows_advice(self, batch: _BatchState) -> str:
        """Return the advice not to send rows with several keys, or "" if Pinterest has accepted such a row."""
        return "" if self.stats.sent or not batch.records.has_rows else _ROWS_ADVICE
