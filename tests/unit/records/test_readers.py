"""Rows → unique digests in the spool; what is wrong is counted, and its first rows are known by their position."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest

from td_pinterest_op.identifiers.identifier_types import EMAIL
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.records.spool import Spool, split_fixed
from td_pinterest_op.stats import Stats
from td_pinterest_op.treasure_data.result import JobResult
from td_pinterest_op.withholding.readers import IdentifierReader, ReaderSettings
from tests.exporting import digests, people

EMAILS = Column(name="email", type=EMAIL, position=0)


@pytest.fixture
def spool() -> Iterator[Spool]:
    with closing(Spool()) as spool:
        yield spool


def prepared(spool: Spool, blocks: list[list[list[Any]]], *columns: Column) -> tuple[Stats, list[int], list[int]]:
    """The counts, the first invalid rows, and the progress that was told."""
    stats = Stats(action="", ad_account_id="1", dry_run=False)
    reader = IdentifierReader(spool, ReaderSettings(columns=columns or (EMAILS,)), stats)
    told: list[int] = []
    reader.read(cast(JobResult, blocks), progress=told.append)
    return stats, reader.first_invalid, told


def in_bytes(values: list[str]) -> list[bytes]:
    return [value.encode() for value in values]


def test_reader_spools_every_person_once(spool: Spool) -> None:
    blocks = [[in_bytes(people(5))], [in_bytes(people(5, first=3))], [in_bytes(people(1))]]
    stats, _, told = prepared(spool, blocks)
    assert (stats.read, stats.valid, stats.unique, stats.duplicate) == (11, 11, 8, 3)
    assert told == [5, 10, 11]
    assert {digest.hex() for digest in split_fixed(b"".join(spool.read_chunks()))} == digests(8)


def test_an_action_that_reads_no_rows_has_nothing_to_send() -> None:
    nothing = PreparedRecords()
    assert (nothing.record_count, list(nothing.read_batches(100)), nothing.count_batches(100)) == (0, [], 0)


@pytest.mark.parametrize("rows_a_block", [1, 4, 100])
def test_reader_keeps_the_first_eleven_invalid_rows(spool: Spool, rows_a_block: int) -> None:
    values: list[bytes | None] = [b"nobody" if row % 2 else b"a@b.example" for row in range(1, 101)]
    blocks = [[values[start : start + rows_a_block]] for start in range(0, 100, rows_a_block)]
    _, first_invalid, _ = prepared(spool, cast("list[list[list[Any]]]", blocks))
    assert list(range(1, 22, 2)) == first_invalid


def test_every_value_of_several_columns_counts_and_nulls_only_in_empty_rows(spool: Spool) -> None:
    columns = [Column(name="b", type=EMAIL, position=2), Column(name="a", type=EMAIL, position=0)]
    (a, b, c) = in_bytes(people(3))
    block: list[list[Any]] = [[a, b, None, None, None], [7] * 5, [c, None, c, None, b"n/a"]]
    stats, first_invalid, _ = prepared(spool, [block], *columns)
    assert (stats.read, stats.valid, stats.unique, stats.duplicate) == (5, 4, 3, 1)
    assert (stats.invalid_by_reason, first_invalid) == ({"null": 1, "placeholder": 1}, [4, 5])
