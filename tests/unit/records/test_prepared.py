"""Rows with several keys → unique rows → batches."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from td_pinterest_op.records import prepared as module
from td_pinterest_op.records import spool as spool_module
from td_pinterest_op.records.prepared import SINGLE_DIGEST_LAYOUT, Batch, PreparedRecords, RecordLayout, RowSpool

Row = tuple[RecordLayout, bytes]


def row(number: int, *, external_id: bytes = b"") -> Row:
    """A row with an e-mail; every third has a device id as well, if there is no external id."""
    digest = random.Random(number).randbytes(32)
    if external_id:
        return RecordLayout(("email",), 32), digest + external_id.ljust(32, b"\0")
    return (RecordLayout(("email", "maid")), digest * 2) if number % 3 == 0 else (RecordLayout(("email",)), digest)


@pytest.fixture(params=[8 << 20, 100], ids=["in one piece", "in many small pieces"])
def spool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RowSpool]:
    monkeypatch.setattr(module, "_MOST_BUFFERED_BYTES", request.param)
    with closing(RowSpool()) as made:
        yield made


def filled(spool: RowSpool, *blocks: list[Row]) -> PreparedRecords:
    for block in blocks:
        for layout, encoded in block:
            spool.add(layout, [encoded])
    return spool.finish()


def apart(batch: Batch) -> list[Row]:
    return [(layout, row) for layout, data in batch.parts for row in spool_module.split_by_width(data, layout.width)]


@pytest.mark.parametrize("most_bytes", [2 << 20, 1000, 150, 10])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_batches_are_counted_without_reading_them(
    spool: RowSpool, monkeypatch: pytest.MonkeyPatch, most_bytes: int, size: int
) -> None:
    monkeypatch.setattr(module, "_MAX_BATCH_JSON_BYTES", most_bytes)
    rows = [row(number, external_id=b"A%d" % number if number % 2 else b"") for number in range(100)]
    prepared = filled(spool, rows)
    assert len(list(prepared.read_batches(size))) == prepared.count_batches(size)


def test_every_row_comes_once_in_batches_that_are_full_but_for_the_last(spool: RowSpool) -> None:
    rows = [row(number, external_id=b"A%d" % number if number % 2 else b"") for number in range(500)]
    prepared = filled(spool, rows[:300], rows[200:], rows[:1])
    assert prepared.record_count == 500
    batches = list(map(apart, prepared.read_batches(7)))
    assert sorted(rows) == [each for batch in batches for each in batch]
    assert [len(batch) for batch in batches] == [7] * 71 + [3]


def test_batch_of_rows_ends_where_the_next_row_would_exceed_its_bytes_of_json(
    spool: RowSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_BATCH_JSON_BYTES", 2_000)
    external_id = "Ж".encode() * 16  # fills its place
    rows = [row(number, external_id=external_id if number % 2 else b"") for number in range(100)]
    *full, last = filled(spool, rows).read_batches(10_000)
    lengths = [len(b"".join(batch.iterate_json_field())) - len(b'"records_v2":[]') for batch in (*full, last)]
    assert max(lengths) <= 2_000
    assert min(lengths[:-1]) > 2_000 - max(layout.largest_json_width for layout, _ in rows)
    assert lengths[-1] > 0


def test_the_largest_batch_of_digests_is_one_request() -> None:
    batch = Batch([(SINGLE_DIGEST_LAYOUT, bytes(100_000 * SINGLE_DIGEST_LAYOUT.width))])
    assert [batch] == batch.split(100_000)
    assert len(batch.split(99_999)) == 2


def test_the_same_rows_give_the_same_batches_and_fingerprint_in_any_order(spool: RowSpool) -> None:
    rows = [row(number) for number in range(300)]
    prepared = filled(spool, rows)
    with closing(RowSpool()) as again:
        other = filled(again, rows[::-1], rows[:5])
        assert list(map(apart, prepared.read_batches(11))) == list(map(apart, other.read_batches(11)))
        assert prepared.fingerprint == other.fingerprint
    with closing(RowSpool()) as larger:
        assert prepared.fingerprint != filled(larger, rows, [row(300)]).fingerprint


def test_nothing_that_is_on_the_disk_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = []
    make = tempfile.TemporaryFile

    def remembering(**options: Any) -> Any:
        files.append(make(**options))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remembering)
    with closing(RowSpool()) as spool:
        filled(spool, [row(number, external_id=b"customer-4711") for number in range(100)])
        (file,) = files
        file.seek(0)
        stored = file.read()
        assert len(stored) == 100 * (32 + 32)
        assert b"customer" not in stored
        assert all(row(number)[1][1:9] not in stored for number in range(100))
