"""A job's rows as Treasure Data keeps them: concatenated msgpack arrays, gzipped, in a file that has no name."""

import datetime
import gzip
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgpack

_BLOCK = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Body:
    """Bytes to be served: `length` of them (None: unknown); `chunks` gives those from one offset to another."""

    length: int | None
    chunks: Callable[[int, int | None], Iterable[bytes]]


@dataclass(frozen=True, kw_only=True)
class Output:
    """The result of a finished job; `file` is msgpack.gz of `size` bytes."""

    file: IO[bytes]
    size: int
    rows: int

    def close(self) -> None:
        """Close the file; its space is given back."""
        self.file.close()

    def preview(self, count: int) -> Body:
        """The first rows, as a packed file of their own."""
        unpacker = msgpack.Unpacker(use_list=False)
        unpacker.feed(b"".join(self.unpacked().chunks(0, None)))
        return _build_body(gzip.compress(_pack(list(islice(unpacker, count)))))

    def packed(self) -> Body:
        return Body(self.size, self._packed)

    def unpacked(self) -> Body:
        return _build_body(gzip.decompress(b"".join(self._packed(0, None))))

    def _packed(self, start: int, stop: int | None) -> Iterator[bytes]:
        end = self.size if stop is None else stop
        # pread: several downloads read the same file at once.
        while start < end and (chunk := os.pread(self.file.fileno(), min(_BLOCK, end - start), start)):
            start += len(chunk)
            yield chunk


def _build_body(content: bytes) -> Body:
    return Body(len(content), lambda start, stop: [content[start:stop]])


def write_output(batches: Iterable[Sequence[Sequence[Any]]]) -> Output:
    """Pack batches of rows, one at a time; a `bytes` cell becomes a string of just these bytes, valid UTF-8 or not."""
    file = tempfile.TemporaryFile(prefix="td-result-")  # noqa: SIM115 – belongs to the job; JobRunner.close closes it
    try:
        return _write(file, batches)
    except BaseException:
        file.close()
        raise


def _write(file: IO[bytes], batches: Iterable[Sequence[Sequence[Any]]]) -> Output:
    engine = zlib.compressobj(level=1, wbits=_GZIP)
    rows = 0
    for batch in batches:
        rows += len(batch)
        file.write(engine.compress(_pack(batch)))
    file.write(engine.flush())
    file.flush()
    return Output(file=file, size=file.tell(), rows=rows)


def open_output(path: Path, *, rows: int) -> Output:
    """The result in a msgpack.gz file that exists already and holds `rows` rows."""
    return Output(file=path.open("rb"), size=path.stat().st_size, rows=rows)


def batches_of(rows: Iterable[Sequence[Any]], *, size: int = 10_000) -> Iterator[list[Sequence[Any]]]:
    batch: list[Sequence[Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _pack(batch: Sequence[Sequence[Any]]) -> bytes:
    # msgpack's older form has no binary type: bytes are written as strings, unchecked. Only rows that need it use it,
    # because it also lacks the one-byte string header that Treasure Data's own results have.
    modern = msgpack.Packer(default=_as_text).pack
    unchecked = msgpack.Packer(default=_as_text, use_bin_type=False).pack
    return b"".join(unchecked(row) if any(type(cell) is bytes for cell in row) else modern(row) for row in batch)


def _as_text(value: object) -> str:
    if not isinstance(value, datetime.datetime):
        return str(value)
    zone = "" if value.tzinfo is None else " UTC"
    return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}{zone}"
