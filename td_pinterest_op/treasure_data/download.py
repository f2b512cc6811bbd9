"""The download of a job's compressed result: resumed where it breaks off, and complete, or an error."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import urllib3

from td_pinterest_op.errors import JobError, TreasureDataError, WorkflowError
from td_pinterest_op.http.transport import read_pieces
from td_pinterest_op.treasure_data.api import TemporaryError, TreasureData, build_path, build_refusal_error
from td_pinterest_op.treasure_data.job import Job

_FORBIDDEN = 403
_RANGE_START = re.compile(r"bytes ([0-9]{1,18})-")


class Progress(NamedTuple):
    """How many rows the bytes received so far contain, and whether the compressed file is complete."""

    rows: int
    is_whole_file: bool


class Download:
    """A compressed result in pieces of any length; iterate once. Raises JobError and TreasureDataError.

    `progress` returns what the pieces so far held: a clean close of a connection proves nothing.
    """

    def __init__(self, td: TreasureData, job: Job, *, progress: Callable[[], Progress]) -> None:
        self._td, self._job, self._progress = td, job, progress
        self._offset = 0
        self._at_end = False  # Treasure Data has no more bytes

    def __iter__(self) -> Iterator[bytes]:
        waits, tries_without_progress = self._td.retry.waits(), 0
        while True:
            before = self._offset
            try:
                yield from self._read_response()
                failure = TemporaryError("an early end")
            except TemporaryError as error:
                failure = error
            if self._is_complete():
                return
            tries_without_progress = 0 if self._offset > before else tries_without_progress + 1
            if self._at_end or tries_without_progress > self._td.retry.count:
                raise self._build_truncation_error(
                    "" if self._at_end else f" (the last of {tries_without_progress} tries: {failure})"
                )
            wait = next(waits) if tries_without_progress else self._td.retry.initial_wait
            self._td.pause(failure, wait, f"in the result of job {self._job.id}")

    def _is_complete(self) -> bool:
        """Whether the compressed file is complete and contains as many rows as the job says."""
        if self._job.records == 0:  # the result may have no bytes at all; one request shows whether it has rows
            return self._at_end
        rows, is_whole_file = self._progress()
        return is_whole_file and (rows == self._job.records or (self._job.records is None and self._at_end))

    def _build_truncation_error(self, why: str) -> TreasureDataError:
        """Return the error for a result that ends too early. `why` completes its first sentence."""
        return TreasureDataError(
            f"the result of job {self._job.id} is truncated: {self._progress().rows} of {self._job.records} rows "
            f"arrived{why}; nothing was sent. Run this task again"
        )

    def _read_response(self) -> Iterator[bytes]:
        """Yield the bytes of one response that earlier responses did not have."""
        path = f"{build_path('job', 'result', self._job.id)}?format=msgpack.gz"
        headers = {"Range": f"bytes={self._offset}-"} if self._offset else {}
        try:
            with self._td.open("GET", path, headers=headers) as response:
                if response.status == 416 or (response.status == 404 and self._job.records == 0):
                    self._at_end = True
                    return
                skip = self._count_known_bytes(response)
                for data in read_pieces(response):
                    new, skip = data[skip:], max(skip - len(data), 0)
                    self._offset += len(new)
                    yield new
        except WorkflowError as error:
            if error.status != _FORBIDDEN:
                raise
            raise JobError(
                f"the owner of the API key may not read the result of job {self._job.id}: another user ran it. Use the "
                "key of the same user for the query and the export (the secret td.apikey), or let the export run the "
                "query"
            ) from None
        # Without a Content-Length, a broken connection looks like a clean close. It is the end only if the compressed
        # file ends as well, or if nothing came and nothing was announced.
        is_whole = self._progress().is_whole_file or (self._job.records == 0 and self._offset == 0)
        self._at_end = is_whole and (self._job.size is None or self._offset >= self._job.size)

    def _count_known_bytes(self, response: urllib3.BaseHTTPResponse) -> int:
        """Return how many bytes of a response are known already. Raises TemporaryError if a retry may help."""
        if response.status == 200:
            return self._offset
        start = _RANGE_START.match(response.headers.get("Content-Range", ""))
        if response.status == 206 and start and int(start[1]) <= self._offset:
            return self._offset - int(start[1])
        if response.status == 404:
            raise JobError(
                f"job {self._job.id} no longer has a result: Treasure Data keeps results for seven days. Run the "
                "query again (a query that inserts or creates has no result: it must be a SELECT)"
            )
        if response.status == 206:
            raise TemporaryError("the response contains another part of the result than requested")
        raise build_refusal_error(
            response.status,
            f"response {response.status} to the request for the result of job {self._job.id}",
            subject="the job's id, or let the export run the query",
        )
