"""Sends batches of records: several at once, halved if Pinterest refuses one. Errors count the sent records."""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import islice

from td_pinterest_op.errors import ConnectionBrokenError, ExportError, RecordsRefusedError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.prepared import Batch, PreparedRecords
from td_pinterest_op.runtime.shutdown import start_thread
from td_pinterest_op.settings.table import SendingSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.workflow.progress import Phase, ProgressReporter

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


@dataclass(slots=True)
class _BatchPart:
    """A part of a batch, for one request. `in_doubt`: an earlier request may have sent the records."""

    records: Batch
    in_doubt: bool = False

    def split(self, size: int) -> "list[_BatchPart]":
        """Divide this part of a batch into smaller parts of `size` records. The last part may have fewer."""
        return [_BatchPart(records, self.in_doubt) for records in self.records.split(size)]

    def halve(self) -> "list[_BatchPart]":
        """Return the two halves of this part of a batch, or an empty list if the part has only one record."""
        return self.split((len(self.records) + 1) // 2) if len(self.records) > 1 else []


@dataclass(slots=True, kw_only=True)
class _BatchState:
    """The state of a batch that is being sent. `broken`: how many requests in a row ended with a broken connection."""

    records: Batch
    send_records: SendRecords
    accepted: int = 0
    refused: int = 0
    throttled: bool = False
    broken: int = 0


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
        """Allow at most `maximum` requests in flight at a time from now on."""
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
    _most_accepted: int = 0

    def __post_init__(self) -> None:
        self._concurrency = ConcurrencyLimit(maximum=self.settings.max_in_flight)

    def send(self, prepared: PreparedRecords, send_records: SendRecords) -> None:
        """Send every batch with `send_records`: first a single request, then several at a time, in any order.

        After an error, no further batch is sent. Once the outcome of the batches in flight is known, raises the first
        error, whose message says how many records were sent, refused and not sent.
        """
        settings, rate_limiter, total = self.settings, self.client.rate_limiter, prepared.record_count
        pace = settings.records_per_second
        phase = Phase(name=self.phase, unit="records", total=total, pace=pace, pause=lambda: rate_limiter.pause)
        try:
            with self.reporter.show_progress(phase) as progress:
                self._send_all(prepared.read_batches(settings.limit_records_per_request), send_records, progress)
        except Exception as error:
            known = ExportError.from_exception(error)
            # After a signal, or a failure of the spool: the threads must not send the batches that they have.
            rate_limiter.stop(known)
            raise known.extend(self._describe_progress()) from None

    def _send_all(self, batches: Iterator[Batch], send_records: SendRecords, progress: Callable[[int], None]) -> None:
        """Send the batches, and raise the first error once all requests have ended."""
        before = self.stats.sent + self.stats.refused
        failure: ExportError | None = None
        # Daemon threads: a run that is stopped must not wait for a response that may take minutes.
        running: set[Future[bool]] = set()
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
        stats = self.stats
        unique, sent, refused, in_doubt = stats.to_send_count, stats.sent, stats.refused, stats.in_doubt
        return (
            f". Partly sent: {sent} of {unique} records sent, {refused} refused, "
            f"{unique - sent - refused - in_doubt} not sent"
            + (f", {in_doubt} unknown" if in_doubt else "")
            + ". Running this task again is safe: it sends all records again "
            f"[last x-pinterest-rid {self.client.last_request_id}]"
        )

    def _send_batch(self, records: Batch, send_records: SendRecords) -> bool:
        """Send a batch, and return whether it was throttled (429). Raises ExportError for refused records."""
        batch = _BatchState(records=records, send_records=send_records)
        for part in records.split(self._largest or len(records)):
            self._send_and_isolate_invalid(part, batch)
        self._raise_if_refused(batch)
        return batch.throttled

    def _send_and_isolate_invalid(self, records: Batch, batch: _BatchState) -> None:
        """Send records, and halve each refused part until every invalid record is in a part of its own.

        Raises RequestRefusedError if Pinterest accepts no part after MAX_HALVINGS: the request must be the cause.
        """
        accepted_before, halvings, parts = batch.accepted, 0, [_BatchPart(records)]
        while parts:
            # All are tried at one size before any at half of that.
            refused = self._send_parts(parts, batch)
            if refused and halvings >= MAX_HALVINGS and batch.accepted == accepted_before:
                raise self._build_request_error(
                    f"Pinterest refused a batch (400), and also every part of it after {MAX_HALVINGS} halvings: the "
                    "cause seems to be the request, not its records. If Pinterest does refuse that many records, set "
                    "a much smaller limit_records_per_request to find them",
                    batch,
                )
            parts = [half for part in refused for half in part.halve()]
            halvings += 1

    def _send_parts(self, parts: Iterable[_BatchPart], batch: _BatchState) -> list[_BatchPart]:
        """Send parts of a batch, divided where too large. Returns the parts that Pinterest refused (400)."""
        return [refused for part in parts for refused in self._send_part(part, batch)]

    def _send_part(self, part: _BatchPart, batch: _BatchState) -> list[_BatchPart]:
        """Send a part of a batch, divided if too large. Returns those of its parts that Pinterest refused (400)."""
        size, half = len(part.records), (len(part.records) + 1) // 2
        if self._largest and size > self._largest:
            return self._send_parts(part.split(self._largest), batch)
        error = self._send_request(part, batch)
        if isinstance(error, ConnectionBrokenError):
            self._wait_after_broken_connection(error, size, batch)
        elif error and error.status == 413:
            self._largest = min(half, self._largest or half)
            log.warning(
                "a batch of %d records is too large for Pinterest; from now on, batches have at most %d", size, half
            )
        else:
            return [part] if error else []
        return self._send_parts(part.halve(), batch)

    def _send_request(self, part: _BatchPart, batch: _BatchState) -> ExportError | None:
        """Send and count a part of a batch. Returns an error that splitting the part may avoid, raises all others."""
        size, records, was_in_doubt = len(part.records), part.records.record_count, part.in_doubt
        # In doubt until the outcome is known.
        self.stats.count_records(in_doubt=records * (not was_in_doubt))
        try:
            response = batch.send_records(part.records)
        except ExportError as error:
            status = error.status if isinstance(error, RequestRefusedError) and not error.is_read else None
            is_refused = status == 400 and size == 1
            part.in_doubt = not is_refused and (was_in_doubt or error.maybe_applied)
            self.stats.count_records(refused=records * is_refused, in_doubt=-records * (not part.in_doubt))
            batch.refused += is_refused
            if is_refused:
                self.on_refused(part.records)
            if status == 400 or (status == 413 and size > 1) or isinstance(error, ConnectionBrokenError):
                return error
            raise
        self.stats.count_records(sent=records, in_doubt=-records)
        batch.accepted += size
        batch.throttled = batch.throttled or bool(response and response.throttled)
        if batch.broken and size >= self._most_accepted:
            # No larger part was ever accepted: the size is the cause, and not the connection.
            self._largest = min(size, self._largest or size)
            log.warning("the largest accepted batch has %d records; from now on, batches have at most that many", size)
        batch.broken = 0
        self._most_accepted = max(self._most_accepted, size)
        return None

    def _wait_after_broken_connection(self, error: ConnectionBrokenError, size: int, batch: _BatchState) -> None:
        """Wait before halving a part of `size` records that broke the connection. Raises `error` after many breaks."""
        batch.broken += 1
        retry, tried = self.client.retry, 2 * batch.broken
        if tried > retry.count:
            raise error.extend(f"; tried {tried} times")
        # As between retries: a gateway that drops large bodies looks like a gateway that is down.
        self.client.rate_limiter.wait(min(sum(islice(retry.iterate_waits(), tried - 1, tried + 1)), retry.longest_wait))
        log.warning(
            "the connection broke twice while sending a batch of %d records; trying batches of half that size", size
        )

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
