"""A CSV file as the rows of an export: a header with column names as in a query, then text."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Collection, Iterator, Set
from functools import partial
from pathlib import Path
from typing import IO, Any

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.types import TYPES
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.treasure_data.result import Rows

_GZIP = b"\x1f\x8b"
_BLOCK_ROWS = 4_000
# Characters: what has no line ends is no CSV file, and must not fill the memory.
_LONGEST_LINE = 1_000_000
# Spreadsheets write what the country's numbers leave free.
_SEPARATORS = ",;\t"


@contextlib.contextmanager
def csv_rows(path: Path, *, columns: Collection[str] = ()) -> Iterator[Rows]:
    """The rows of a file, plain or gzip, until the end of the block; a pipe is read as its data comes.

    `columns`: lower-case names that count as names of columns, beside those of the types. No message shows another one:
    the first line may be a person. Raises JobError for a file that cannot be read.

    An empty field is a null, as in an import; `""` cannot be told from it. A byte that is no UTF-8 makes its value
    invalid (bad_encoding), not the file.
    """
    try:
        with path.open("rb") as raw:
            is_gzip = raw.peek(len(_GZIP)).startswith(_GZIP)
            binary: IO[bytes] = gzip.GzipFile(fileobj=raw) if is_gzip else raw  # type: ignore[assignment]
            # Whatever is no UTF-8 goes on as it is, to be counted and not to end the run.
            with io.TextIOWrapper(binary, encoding="utf-8", errors="surrogateescape", newline="") as text:
                file = _CsvFile(path, text, known={*TYPES, *columns})
                job = Job(id="-", schema=file.schema, records=None, size=None, file=str(path), line_of=file.line_of)
                yield Rows(job=job, blocks=file.blocks())
    except (csv.Error, gzip.BadGzipFile, zlib.error, EOFError) as error:
        # The words of these errors hold no data of the file.
        why = "the file ends before its compressed data does" if isinstance(error, EOFError) else error
        raise JobError(f"the file {path} cannot be read as CSV: {why}; nothing was sent") from None
    except OSError as error:
        if error.filename != str(path):
            raise
        raise JobError(f"the file {path} cannot be opened: {error.strerror}") from None


class _CsvFile:
    """An open file whose header is read. `schema`: as of a job's result; `#2` is a name that is not known."""

    def __init__(self, path: Path, text: IO[str], *, known: Set[str]) -> None:
        self._path, self._text = path, text
        self._read = 0  # rows before the block
        self._lines: list[int] = []  # on which the block's rows begin
        lines = self._limited_lines()
        first = next(lines, "").removeprefix("\ufeff")
        if not first.strip():
            raise JobError(f"the file {path} is empty: its first line must be the names of the columns")
        headers = {separator: next(csv.reader([first], delimiter=separator)) for separator in _SEPARATORS}
        names = {separator: [name.strip() for name in header] for separator, header in headers.items()}
        separator = max(names, key=lambda each: len(known & {name.lower() for name in names[each]}))
        if known.isdisjoint(name.lower() for name in names[separator]):
            raise JobError(
                f"the file {path} has no header: none of the names {', '.join(sorted(known))} is in its first line. "
                "Name the columns there, or in the setting `columns`; nothing was sent"
            )
        self.schema = tuple(
            (name if name.lower() in known else f"#{position}", "varchar")
            for position, name in enumerate(names[separator], 1)
        )
        self._reader = csv.reader(lines, strict=True, delimiter=separator)

    def line_of(self, row: int) -> int:
        """The line on which a row of the block that came last begins; the first row is 1, and so is the first line."""
        return self._lines[row - self._read - 1]

    def blocks(self) -> Iterator[list[list[Any]]]:
        """The values of the columns. Raises JobError for a row that has more or fewer."""
        rows = self._numbered_rows()
        while block := list(itertools.islice(rows, _BLOCK_ROWS)):
            self._lines = [line for line, _ in block]
            columns = zip(*(row for _, row in block), strict=True)
            yield [[field.encode(errors="surrogateescape") or None for field in column] for column in columns]
            self._read += len(block)

    def _numbered_rows(self) -> Iterator[tuple[int, list[str]]]:
        line = 2  # under the header
        for row in self._reader:
            if row and len(row) != len(self.schema):
                raise JobError(
                    f"line {line} of the file {self._path} has {len(row):,} fields, and the header "
                    f"{len(self.schema):,}: nothing was sent"
                )
            if row:  # a blank line is none
                yield line, row
            line = self._reader.line_num + 2

    def _limited_lines(self) -> Iterator[str]:
        for number, line in enumerate(iter(partial(self._text.readline, _LONGEST_LINE + 1), ""), 1):
            if len(line) > _LONGEST_LINE:
                raise JobError(
                    f"line {number} of the file {self._path} has more than {_LONGEST_LINE:,} characters: is it a CSV "
                    "file? Nothing was sent"
                )
            yield line
