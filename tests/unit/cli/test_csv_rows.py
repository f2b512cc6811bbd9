"""A CSV file as rows: blank lines, and the errors that are the file's own."""

from __future__ import annotations

import errno
import gzip
from pathlib import Path

import pytest

from td_pinterest_op.cli import csv_rows
from td_pinterest_op.errors import JobError


def _values(path: Path) -> list[list[list[bytes | None]]]:
    with csv_rows.csv_rows(path) as rows:
        return list(rows.blocks)


def test_blank_lines_are_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK_ROWS", 2)
    file = tmp_path / "people.csv"
    file.write_text('email,maid\n\n\na,\n\n"",b\n')
    assert [[[b"a"], [None]], [[None], [b"b"]]] == _values(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no\.csv cannot be opened: No such file or directory$"):
        _values(tmp_path / "no.csv")


def test_damaged_compression_is_an_error_of_the_file(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"email\n" + b"person@shop.test", mtime=0))
    packed[10] = 0xFF  # no kind of block that there is
    file = tmp_path / "people.csv.gz"
    file.write_bytes(packed)
    with pytest.raises(JobError, match=r"people\.csv\.gz cannot be read as CSV: .*; nothing was sent$"):
        _values(file)


def test_a_disk_that_fills_up_meanwhile_is_no_error_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email\na\n")
    with pytest.raises(OSError, match="No space left"), csv_rows.csv_rows(file):
        raise OSError(errno.ENOSPC, "No space left on device")
