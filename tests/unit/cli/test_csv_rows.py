"""A CSV file as rows: blank lines, and the errors that are the file's own."""

from __future__ import annotations

import errno
import gzip
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from td_pinterest_op.cli import csv_rows
from td_pinterest_op.errors import JobError


def test_blank_lines_are_no_rows_and_count_as_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK_ROWS", 2)
    file = tmp_path / "people.csv"
    file.write_text('email,maid\n\n\na,\n\n"",b\n"two\nlines",\nc,\n')
    with csv_rows.csv_rows(file) as rows:
        assert rows.job.line_of
        assert [
            ([[b"a", None], [None, b"b"]], [4, 6]),
            ([[b"two\nlines", b"c"], [None, None]], [7, 9]),
        ] == [
            (block, [rows.job.line_of(first), rows.job.line_of(first + 1)])
            for block, first in zip(rows.blocks, (1, 3), strict=True)
        ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_header_shows_what_separates_the_columns(tmp_path: Path, separator: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"E-mail{separator}MAID\na{separator}b\n")
    with csv_rows.csv_rows(file, columns={"e-mail": "email"}) as rows:
        assert (("E-mail", "varchar"), ("MAID", "varchar")) == rows.job.schema
        assert [[[b"a"], [b"b"]]] == list(rows.blocks)


def test_a_pipe_is_read_as_its_data_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(b"email\na\n"),))
    writer.start()
    with csv_rows.csv_rows(pipe) as rows:
        assert [[[b"a"]]] == list(rows.blocks)
    writer.join()


@pytest.mark.parametrize("before", ["", "email\n"])
def test_a_line_without_end_is_not_read_to_its_end(tmp_path: Path, before: str) -> None:
    file = tmp_path / "people.csv.gz"
    file.write_bytes(gzip.compress(before.encode() + b"a," * 10_000_000, 1))
    tracemalloc.start()
    said = r"line \d of the file .* has more than 1,000,000 characters: is it a CSV file"
    with pytest.raises(JobError, match=said), csv_rows.csv_rows(file) as rows:
        list(rows.blocks)
    assert 10_000_000 > tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_a_disk_that_fills_up_meanwhile_is_no_error_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email\na\n")
    with pytest.raises(OSError, match="No space left"), csv_rows.csv_rows(file):
        raise OSError(errno.ENOSPC, "No space left on device")
