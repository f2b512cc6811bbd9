"""A CSV file as the rows of an export: a header with column names as in a query, then text."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from td_pinterest_op.errors import JobError
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.treasure_data.result import Rows

_GZIP = b"\x1f\x8b"
_BLOCK_ROWS = 4_000


@contextlib.contextmanager
def csv_rows(path: Path) -> Iterator[Rows]:
    """The rows of a file, plain or gzip, until the end of the block. Raises JobError for a file that cannot be read.

    An empty field is a null, as in an import; `""` cannot be told from it. A byte that is no UTF-8 makes its value
    invalid (bad_encoding), not the file.
    """
    try:
        with _opened(path) as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if not header:
                raise JobError(f"the file {path} is empty: its first line must be the names of the columns")
            header[0] = header[0].removeprefix("\ufeff")
            schema = tuple((name.strip(), "varchar") for name in header)
            job = Job(id="-", schema=schema, records=None, size=None, file=str(path))
            yield Rows(job=job, blocks=_blocks(reader, len(header), path))
    except (csv.Error, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise JobError(f"the file {path} cannot be read as CSV: {_why(error)}; nothing was sent") from None
    except OSError as error:
        if error.filename != str(path):
            raise
        raise JobError(f"the file {path} cannot be opened: {error.strerror}") from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == _GZIP
        raw.seek(0)
        binary: IO[bytes] = gzip.GzipFile(fileobj=raw) if is_gzip else raw  # type: ignore[assignment]
        # Whatever is no UTF-8 goes on as it is, to be counted and not to end the run.
        with io.TextIOWrapper(binary, encoding="utf-8", errors="surrogateescape", newline="") as text:
            yield text


def _blocks(reader: Iterator[list[str]], width: int, path: Path) -> Iterator[list[list[Any]]]:
    number = 1
    while rows := list(itertools.islice(reader, _BLOCK_ROWS)):
        for row in rows:
            number += 1
            if len(row) != width and row:
                raise JobError(
                    f"row {number - 1} of the file {path} has {len(row)} fields in place of {width}: nothing was sent"
                )
        values = [[_value(field) for field in row] for row in rows if row]
        if values:
            yield [list(column) for column in zip(*values, strict=True)]


def _value(field: str) -> bytes | None:
    return field.encode(errors="surrogateescape") or None


def _why(error: Exception) -> str:
    # The words of these errors hold no data of the file.
    return "the file ends before its compressed data does" if isinstance(error, EOFError) else str(error)
