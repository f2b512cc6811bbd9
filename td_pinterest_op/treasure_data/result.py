"""Download the result of a job as blocks of raw values: in constant memory, resumed after a break, and complete."""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from td_pinterest_op.errors import JobError, TreasureDataError
from td_pinterest_op.http.transport import read_pieces
from td_pinterest_op.treasure_data.job import Job, JobOrQuery, run_or_await_job
from td_pinterest_op.treasure_data.td_api import TemporaryError, TreasureData, build_refusal_error, build_v3_path

_RANGE_START_PATTERN = re.compile(r"bytes ([0-9]{1,18})-")
# Bytes for each column that are decompressed at once: they decide how much memory a block takes.
_DECOMPRESSED_PIECE_BYTES = 64 * 1024
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
# The most rows of a result that a user without the permission Download may see.
_MOST_ROWS_WITHOUT_PERMISSION = 50
_DAMAGED_PROBLEM = "cannot be read, because its data is damaged"
_DOWNLOAD_ADVICE = "Give the owner of the API key the permission Download on the query's database"


def open_job_rows(
    td: TreasureData, source: JobOrQuery, *, on_job_id: Callable[[str], None] = lambda _: None
) -> "JobRows":
    """Wait for the job of `source` (see `run_or_await_job`), and return its rows."""
    return JobRows(td, run_or_await_job(td, source, on_job_id=on_job_id))


def read_small_result(td: TreasureData, source: JobOrQuery) -> list[dict[str, Any]]:
    """Wait for the job of `source`, and return its few rows: a dict by column name for each, with text decoded."""
    result = open_job_rows(td, source)
    rows = (
        [value.decode(errors="replace") if isinstance(value, bytes) else value for value in row]
        for block in result
        for row in zip(*block, strict=True)
    )
    return [dict(zip(result.job.names, row, strict=True)) for row in rows]


class JobRows:
    """The rows of a job in blocks, to be iterated once: they are downloaded then.

    A block is a list of columns. Values are bytes (text is not decoded: one bad byte would cost the whole block), None,
    or other msgpack types. Iterating raises JobError and TreasureDataError. If it ends without an error, it has yielded
    all rows of the job.
    """

    def __init__(self, td: TreasureData, job: Job) -> None:
        self._td = td
        self.job = job
        # Compressed bytes, and rows, received so far.
        self._offset = 0
        self._rows = 0
        self._is_compressed_twice = False
        self._at_end = False  # Treasure Data has no more bytes
        self._block_bytes = _DECOMPRESSED_PIECE_BYTES * max(len(job.schema), 1)
        self._inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
        # Tuples are made faster than lists, and the garbage collector stops looking at them.
        self._unpacker = msgpack.Unpacker(raw=True, use_list=False, strict_map_key=False)

    def __iter__(self) -> Iterator[list[list[Any]]]:
        records = self.job.records
        retry = self._td.retry
        waits = retry.iterate_endless_waits()
        tries = 0
        while True:
            before = self._offset
            failure = TemporaryError("an early end")
            try:
                for data in self._download_rest():
                    yield from self._decode_column_blocks(data)
            except TemporaryError as error:
                failure = error
            if records == 0:  # the result may have no bytes at all; one request shows whether it has rows
                is_complete = self._at_end
            else:
                has_all_rows = self._rows == records or (records is None and self._at_end)
                is_complete = self._inflater.eof and has_all_rows
            if is_complete:
                return
            tries = 0 if self._offset > before else tries + 1
            if self._at_end or tries > retry.count:
                why = "" if self._at_end else f" (the last of {tries} tries: {failure})"
                problem = f"is truncated: {self._rows} of {records} rows arrived{why}"
                if self._inflater.eof and self._rows <= _MOST_ROWS_WITHOUT_PERMISSION:
                    raise JobError(f"{self.job.label} {problem}", advice=_DOWNLOAD_ADVICE)
                raise self._build_result_error(problem)
            wait = next(waits) if tries else retry.initial_wait
            self._td.sleep(self._td.log_and_choose_wait(failure, wait, f"in {self.job.label}"))

    def _download_rest(self) -> Iterator[bytes]:
        """Request and yield the rest of the compressed result. Raises TemporaryError if another request may help."""
        path = f"{build_v3_path('job', 'result', self.job.id)}?format=msgpack.gz"
        # A range would be one of the bytes that were compressed again.
        headers = {"Range": f"bytes={self._offset}-"} if self._offset and not self._is_compressed_twice else {}
        with self._td.open_response("GET", path, headers=headers) as response:
            status = response.status
            if status == 416 or (status == 404 and self.job.records == 0):
                self._at_end = True
                return
            # A resumed download may repeat bytes.
            start = _RANGE_START_PATTERN.match(response.headers.get("Content-Range", ""))
            if status == 200:
                skip = self._offset
            elif status == 206 and start and int(start[1]) <= self._offset:
                skip = self._offset - int(start[1])
            elif status == 206:
                raise TemporaryError("the response contains a different part of the result than requested")
            elif status == 404:
                raise JobError(
                    f"job {self.job.id} no longer has a result: Treasure Data keeps results for seven days",
                    advice="Run the query again (a query that inserts or creates has no result: it must be a SELECT)",
                )
            else:
                raise build_refusal_error(
                    status,
                    f"response {status} to the request for {self.job.label}",
                    subject="the job's id, or let the export run the query",
                )
            pieces = read_pieces(response)
            if response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip"):
                # The file itself is compressed, and was compressed again for the transfer.
                self._is_compressed_twice = True
                pieces = map(zlib.decompressobj(_GZIP_WINDOW_BITS).decompress, pieces)
            for data in pieces:
                new = data[skip:]
                skip = max(skip - len(data), 0)
                self._offset += len(new)
                yield new
        # Without a Content-Length, a broken connection looks like a clean close. It is the end only if the compressed
        # file ends too, or if nothing came and nothing was announced.
        is_whole = self._inflater.eof or (self.job.records == 0 and self._offset == 0)
        self._at_end = is_whole and (self.job.size is None or self._offset >= self.job.size)

    def _decode_column_blocks(self, data: bytes) -> Iterator[list[list[Any]]]:
        """Yield the blocks of rows in `data`, the next bytes of the compressed result."""
        width = len(self.job.schema)
        while data:
            if self._inflater.eof:  # the next member of the file
                self._inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
            try:
                self._unpacker.feed(self._inflater.decompress(data, self._block_bytes))
                rows = list(self._unpacker)
            except (zlib.error, TypeError, ValueError, msgpack.UnpackException):
                raise self._build_result_error(_DAMAGED_PROBLEM) from None
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            if not rows:
                continue
            try:
                # For one column, the usual case, this takes a third of the time of the general way.
                columns = [[value for (value,) in rows]] if width == 1 else list(map(list, zip(*rows, strict=True)))
            except (TypeError, ValueError):
                columns = []
            if len(columns) != width:
                raise self._build_result_error(_DAMAGED_PROBLEM)
            self._rows += len(rows)
            if self.job.records is not None and self._rows > self.job.records:  # it may have no end
                raise self._build_result_error(f"has more rows than the {self.job.records} that the job reports")
            yield columns

    def _build_result_error(self, problem: str) -> TreasureDataError:
        return TreasureDataError(f"{self.job.label} {problem}", advice="Run this task again")
