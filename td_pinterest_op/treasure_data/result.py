"""A job's result → blocks of raw values: download with resume, flat memory, every row accounted for."""

from __future__ import annotations

import contextlib
import logging
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import urllib3

from td_pinterest_op.errors import JobError, TreasureDataError, WorkflowError
from td_pinterest_op.treasure_data.api import TemporaryError, TreasureData, path_of, read_piece
from td_pinterest_op.treasure_data.job import Job, Source, job_of

log = logging.getLogger(__name__)

# Bytes for each column that are inflated at once: with the rows made of them, the memory that a block takes.
_INFLATED = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_FORBIDDEN = 403
_RANGE_START = re.compile(r"bytes (\d+)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What is exported. `blocks` yields a list for each column of the job's schema, all of the same length; once."""

    job: Job
    blocks: Iterable[list[list[Any]]]


def job_rows(td: TreasureData, source: Source, *, note: Callable[[str], None]) -> Rows:
    """The rows of a job that is found, or issued, and waited for; `note` gets its id. Raises as `job_of` does."""
    job = job_of(td, source, note=note)
    return Rows(job=job, blocks=JobResult(td, job))


class JobResult:
    """The rows of a job; iterate once: yields blocks, a list for each column, all of the same length.

    Values are bytes (text is not decoded: one bad byte would cost the whole block), None, or other msgpack types.
    Raises JobError and TreasureDataError. After the last block the number of rows is the one that the job says.
    """

    def __init__(self, td: TreasureData, job: Job) -> None:
        self._td, self._job = td, job
        self._offset = 0
        self._rows = 0
        self._at_end = False  # Treasure Data has no more bytes
        self._block_bytes = _INFLATED * max(len(job.schema), 1)
        self._inflater = zlib.decompressobj(_GZIP)
        # Tuples are made faster than lists, and the garbage collector stops looking at them.
        self._unpacker = msgpack.Unpacker(raw=True, use_list=False, strict_map_key=False)

    def __iter__(self) -> Iterator[list[list[Any]]]:
        waits, tries_without_progress = self._td.retry.waits(), 0
        while True:
            before = self._offset
            try:
                yield from self._download()
                failure = TemporaryError("an early end")
            except TemporaryError as error:
                failure = error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failure = TemporaryError(f"broken off ({type(error).__name__})")
            if self._complete:
                return
            tries_without_progress = 0 if self._offset > before else tries_without_progress + 1
            if self._at_end or tries_without_progress > self._td.retry.count:
                raise self._truncated(
                    "" if self._at_end else f" (the last of {tries_without_progress} tries: {failure})"
                )
            wait = next(waits) if tries_without_progress else self._td.retry.initial_wait
            self._td.pause(failure, wait, f"in the result of job {self._job.id}")

    @property
    def _complete(self) -> bool:
        """Whether every row is in: the compressed stream has reached its end, and the job's own count is met."""
        if self._job.records == 0:  # the result may have no bytes at all; rows in it are found by asking once
            return self._at_end
        whole = self._inflater.eof and not self._inflater.unused_data
        return whole and (self._rows == self._job.records or (self._job.records is None and self._at_end))

    def _truncated(self, why: str) -> TreasureDataError:
        return TreasureDataError(
            f"the result of job {self._job.id} is truncated: {self._rows} of {self._job.records} rows came{why}; "
            "nothing was sent. Run this task again"
        )

    def _download(self) -> Iterator[list[list[Any]]]:
        path = f"{path_of('job', 'result', self._job.id)}?format=msgpack.gz"
        headers = {"Range": f"bytes={self._offset}-"} if self._offset else {}
        with self._naming_the_owner(), self._td.opening("GET", path, headers=headers) as response:
            if response.status == 416 or (response.status == 404 and self._job.records == 0):
                self._at_end = True
                return
            skip = self._skip(response)
            while data := read_piece(response):
                fresh, skip = data[skip:], max(skip - len(data), 0)
                self._offset += len(fresh)
                yield from self._blocks(fresh)
        # A clean close proves nothing: without a Content-Length, a broken connection looks the same. It is the end only
        # where the compressed file ends as well, or where nothing came and nothing was announced.
        is_whole = self._inflater.eof or (self._job.records == 0 and self._offset == 0)
        self._at_end = is_whole and (self._job.size is None or self._offset >= self._job.size)

    @contextlib.contextmanager
    def _naming_the_owner(self) -> Iterator[None]:
        try:
            yield
        except WorkflowError as error:
            if error.status != _FORBIDDEN:
                raise
            raise JobError(
                f"the owner of the API key may not read the result of job {self._job.id}: another user ran it. Run the "
                "query by the key of one user (the secret td.apikey for td> and export), or let the export issue it"
            ) from None

    def _skip(self, response: urllib3.BaseHTTPResponse) -> int:
        """How many bytes of this response came before. Raises TemporaryError if another try may help."""
        if response.status == 200:
            return self._offset
        start = _RANGE_START.match(response.headers.get("Content-Range", ""))
        if response.status == 206 and start and int(start[1]) <= self._offset:
            return self._offset - int(start[1])
        if response.status == 404:
            raise JobError(
                f"job {self._job.id} has no result any more: Treasure Data keeps results for seven days. Run the query "
                "again (one that inserts or creates has no result: it must be a SELECT)"
            )
        if response.status == 206:
            raise TemporaryError("another part than the one asked for")
        raise TreasureDataError(f"Treasure Data responded {response.status} to the result of job {self._job.id}")

    def _blocks(self, data: bytes) -> Iterator[list[list[Any]]]:
        while data:
            if self._inflater.eof:  # the next member of the file
                self._inflater = zlib.decompressobj(_GZIP)
            try:
                self._unpacker.feed(self._inflater.decompress(data, self._block_bytes))
                rows = list(self._unpacker)
            except (zlib.error, ValueError, msgpack.UnpackException):
                raise TreasureDataError(
                    f"the result of job {self._job.id} cannot be read: its data is damaged"
                ) from None
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            if rows:
                yield self._columns(rows)

    def _columns(self, rows: list[Any]) -> list[list[Any]]:
        width = len(self._job.schema)
        try:
            # One column, the usual case, takes a third of the time that turning rows into columns takes.
            columns = (
                [[value for (value,) in rows]] if width == 1 else [[*column] for column in zip(*rows, strict=True)]
            )
        except (TypeError, ValueError):
            columns = []
        if len(columns) != width:
            raise TreasureDataError(f"the result of job {self._job.id} holds a row that does not have {width} columns")
        self._rows += len(rows)
        if self._job.records is not None and self._rows > self._job.records:
            raise TreasureDataError(
                f"the result of job {self._job.id} holds {self._rows} rows or more, but the job says "
                f"{self._job.records}; nothing was sent. Run this task again"
            )
        return columns
