"""Sends batches of records: several at once, halved if Pinterest refuses one. Errors count the sent records."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field, replace
from functools import partial

from td_pinterest_op.errors import ExportError, RecordsRefusedError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.prepared import Batch, PreparedRecords
from td_pinterest_op.runtime.shutdown import start_thread
from td_pinterest_op.settings.table import PeopleSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.progress import ProgressReporter

log = logging.getLogger(__name__)

# A 400 for every part of a batch, this many halvings deep, is about the request and not about its records.
MAX_HALVINGS = 3
_PROGRESS_SECONDS = 1.0  # between two reports while no request ends

_WasThrottled = bool  # whether any request got a 429
SendRecords = Callable[[Batch], Response | None]
"""Sends records in one request. Returns None if the request created the list."""

_SEVERAL_KEYS_ADVICE = (
    ". These are records with several keys (records_v2), and Pinterest accepted none of them: if it refuses this "
    "kind of record, set records: identifiers"
)


@dataclass(kw_only=True)
class _BatchPart:
    """A batch of records, or a part of one, sent in one request."""

    records: Batch
    is_in_doubt: bool = False  # whether an earlier request may have sent the records
    halvings: int = 0  # how often a refused batch (400) was halved to get this part

    def split(self, size: int) -> "list[_BatchPart]":
        return [replace(self, records=records) for records in self.records.split(size)]


@dataclass(kw_only=True)
class Sender:
    """Sends the records of one run in batches, several requests at a time."""

    client: Client
    settings: PeopleSettings
    stats: Stats
    reporter: ProgressReporter
    # So many records that Pinterest refuses, without one that it accepts, are about the request. None: as many as
    # `MAX_HALVINGS` leaves of a batch, or all if they are fewer.
    refusals_to_blame_request: int | None = None
    repeat_advice: str = "A repeated run sends all records again, which is safe"  # the end of an error's advice
    refused: list[Batch] = field(default_factory=list)  # the refused records, each as a batch of one
    _sent_before: int = 0  # records that were sent before this call of `send`
    _refused_before: int = 0  # and those that were refused
    # How many records a request may have, once a batch was too large. Without a lock: if two threads set it at once,
    # another request may be too large.
    _largest: int | None = None

    def send(self, prepared: PreparedRecords, send_records: SendRecords) -> None:
        """Send all `prepared` records in batches: first one request, then several at a time, in any order.

        After an error, no further batch is sent. Once the outcome of those in flight is known, raises the first error
        as an ExportError, whose message says how many records were sent, refused and not sent.
        """
        stats = self.stats
        rate_limiter = self.client.rate_limiter
        self._sent_before = stats.sent
        self._refused_before = stats.refused
        before = stats.sent + stats.refused
        failure: ExportError | None = None
        most_running = 1
        # Daemon threads: a run that is stopped must not wait for a response that may take minutes.
        running: set[futures.Future[bool]] = set()
        try:
            with self.reporter.show_progress("sending", "records", prepared.record_count) as progress:
                batches = prepared.read_batches(self.settings.limit_records_per_request)
                batch = next(batches, None)
                while running or (batch is not None and not failure):
                    while batch is not None and not failure and len(running) < most_running:
                        running.add(start_thread(partial(self._send_batch, batch, send_records)))
                        batch = next(batches, None)
                    ended, running = futures.wait(
                        running, timeout=_PROGRESS_SECONDS, return_when=futures.FIRST_COMPLETED
                    )
                    for future in ended:
                        try:
                            was_throttled = future.result()
                        except Exception as error:
                            failure = failure or ExportError.from_exception(error)
                            # No request leaves or is repeated any more. Those in flight are waited for.
                            rate_limiter.stop(failure)
                        else:
                            # One at a time until a request succeeds: that one creates a missing list, a second would
                            # create another.
                            faster = most_running + 1 if stats.sent > self._sent_before else 1
                            slower = max(most_running // 2, 1)
                            most_running = slower if was_throttled else min(faster, self.settings.max_in_flight)
                    progress(stats.sent + stats.refused - before)
        except Exception as error:
            failure = ExportError.from_exception(error)
            # After a signal, or a failure of the spool: the threads must not send the batches that they have.
            rate_limiter.stop(failure)
            # What waits after a 429 was not applied, and ends at once.
            futures.wait(running, _PROGRESS_SECONDS)
        if failure:
            # Read once each: requests that are still in flight may be counted meanwhile.
            unique = stats.to_send_count
            sent = stats.sent
            refused = stats.refused
            in_doubt = stats.in_doubt
            unknown = f", {in_doubt} unknown" if in_doubt else ""
            failure.sent = (
                f"Partly sent: {sent} of {unique} records sent, {refused} refused, "
                f"{unique - sent - refused - in_doubt} not sent{unknown}"
            )
            failure.advice = ". ".join(filter(None, [failure.advice, self.repeat_advice]))
            raise failure from None

    def _send_batch(self, records: Batch, send_records: SendRecords) -> _WasThrottled:
        """Send a batch or, if Pinterest refuses it, its halves."""
        stats = self.stats
        was_throttled = False
        accepted = 0
        refused = 0
        parts = deque([_BatchPart(records=records)])
        most_refused = self.refusals_to_blame_request or min(2**MAX_HALVINGS, stats.allowed_count)
        is_request_refused = False
        while parts and not is_request_refused:
            part = parts.popleft()
            size = len(part.records)
            if self._largest and size > self._largest:
                parts.extendleft(reversed(part.split(self._largest)))
                continue
            count = part.records.record_count
            if not part.is_in_doubt:
                stats.add(in_doubt=count)  # until the outcome is known
            try:
                response = send_records(part.records)
            except ExportError as error:
                status = error.status if isinstance(error, RequestRefusedError) and not error.is_read else None
                half = (size + 1) // 2
                if status == 400 and size == 1:
                    stats.add(refused=count, in_doubt=-count)
                    refused += 1
                    self.refused.append(part.records)  # which any thread may do
                else:
                    part.is_in_doubt = part.is_in_doubt or error.maybe_applied
                    if not part.is_in_doubt:
                        stats.add(in_doubt=-count)
                    if status == 413 and size > 1:
                        self._largest = min(half, self._largest or half)
                        text = "a batch of %d records is too large for Pinterest; from now on, batches have at most %d"
                        log.warning(text, size, half)
                        parts.appendleft(part)
                        continue
                    if status != 400:
                        raise
                part.halvings += 1
                if size > 1:
                    parts += part.split(half)  # last: all are tried at one size before any at half of that
                is_request_refused = (
                    not accepted
                    and len(records) >= most_refused
                    and all(each.halvings > MAX_HALVINGS for each in [part, *parts])
                )
            else:
                stats.add(sent=count, in_doubt=-count)
                accepted += size
                was_throttled = was_throttled or (response is not None and response.throttled)
        keys_advice = "" if stats.sent or not records.has_named_keys else _SEVERAL_KEYS_ADVICE
        # Fewer refusals may be about records: of a mirror, a single change may be one that Pinterest refuses.
        refused_in_all = stats.refused - self._refused_before
        is_none_accepted = not stats.sent and refused_in_all >= most_refused
        if is_request_refused or is_none_accepted:
            raise RequestRefusedError(
                "Pinterest refused all records of a batch (400), also in smaller parts: the cause seems to be the "
                "request, not its records",
                advice="If Pinterest does refuse that many records, set a much smaller limit_records_per_request to "
                f"find them{keys_advice}",
            )
        if refused and not self.settings.ignore_invalid_records:
            raise RecordsRefusedError(
                f"Pinterest refused {refused} of the {len(records)} records of a batch (400)",
                advice=f"Set ignore_invalid_records: true to skip and count such records{keys_advice}",
            )
        return was_throttled
