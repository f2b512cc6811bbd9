"""A job's result as blocks of raw values: decompressed in constant memory, with every row counted."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from td_pinterest_op.errors import TreasureDataError
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.download import Download, Progress
from td_pinterest_op.treasure_data.job import Job, Source, wait_for_job

# Bytes for each column that are decompressed at once: with the rows made of them, the memory that a block takes.
_INFLATED = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a job. `blocks` yields, once, blocks of rows: a list for each column, all of the same length."""

    job: Job
    blocks: Iterable[list[list[Any]]]


def open_job_rows(td: TreasureData, source: Source, *, note: Callable[[str], None]) -> Rows:
    """Return the rows of a job once it is finished; `note` gets its id. Raises as `wait_for_job` does."""
    job = wait_for_job(td, source, note=note)
    return Rows(job=job, blocks=JobResult(td, job))


def read_all(td: TreasureData, source: Source) -> list[dict[str, Any]]:
    """Return the rows of a small result as mappings by column name. Raises as `wait_for_job` does."""
    return to_records(open_job_rows(td, source, note=lambda _: None))


def to_records(rows: Rows) -> list[dict[str, Any]]:
    """Return each row as a mapping by column name, with text decoded."""
    names = [name for name, _ in rows.job.schema]
    return [
        {name: _decode_text(value) for name, value in zip(names, row, strict=True)}
        for block in rows.blocks
        for row in zip(*block, strict=True)
    ]


def _decode_text(value: Any) -> Any:
    """Return bytes as text, and any other value unchanged."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class JobResult:
    """The rows of a job; iterate once. Yields blocks of rows: a list for each column, all of the same length.

    Values are bytes (text is not decoded: one bad byte would cost the whole block), None, or other msgpack types.
    Raises JobError and TreasureDataError. After the last block the number of rows is the one that the job says.
    """

    def __init__(self, td: TreasureData, job: Job) -> None:
        self._download = Download(td, job, progress=self._measure_progress)
        self._job = job
        self._rows = 0
        self._block_bytes = _INFLATED * max(len(job.schema), 1)
        self._inflater = zlib.decompressobj(_GZIP)
        # Tuples are made faster than lists, and the garbage collector stops looking at them.
        self._unpacker = msgpack.Unpacker(raw=True, use_list=False, strict_map_key=False)

    def __iter__(self) -> Iterator[list[list[Any]]]:
        for data in self._download:
            yield from self._decode_blocks(data)

    def _measure_progress(self) -> Progress:
        """Return how much of the result has been decoded."""
        return Progress(rows=self._rows, is_whole_file=self._inflater.eof)

    def _decode_blocks(self, data: bytes) -> Iterator[list[list[Any]]]:
        """Yield the blocks of rows that more compressed data completes."""
        while data:
            if self._inflater.eof:  # the next member of the file
                self._inflater = zlib.decompressobj(_GZIP)
            try:
                self._unpacker.feed(self._inflater.decompress(data, self._block_bytes))
                rows = list(self._unpacker)
            except (zlib.error, ValueError, msgpack.UnpackException):
                raise TreasureDataError(
                    f"the result of job {self._job.id} cannot be read, because its data is damaged. Run this task again"
                ) from None
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            if rows:
                yield self._to_columns(rows)

    def _to_columns(self, rows: list[Any]) -> list[list[Any]]:
        """Return rows as columns, and count them. Raises TreasureDataError for a row of another width."""
        width = len(self._job.schema)
        try:
            # One column, the usual case, takes a third of the time that turning rows into columns takes.
            columns = (
                [[value for (value,) in rows]] if width == 1 else [[*column] for column in zip(*rows, strict=True)]
            )
        except (TypeError, ValueError):
            columns = []
        if len(columns) != width:
            raise TreasureDataError(
                f"the result of job {self._job.id} contains a row that does not have {width} columns. Run this task "
                "again"
            )
        self._rows += len(rows)
        if self._job.records is not None and self._rows > self._job.records:
            raise TreasureDataError(
                f"the result of job {self._job.id} contains {self._rows} rows or more, but the job says "
                f"{self._job.records}; nothing was sent. Run this task again"
            )
        return columns
