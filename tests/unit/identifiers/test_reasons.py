from collections.abc import Sequence

import duckdb
import pytest

from td_pinterest_op.identifiers.identifier_types import EMAIL, MAID, PLACEHOLDERS
from td_pinterest_op.identifiers.reasons import REASONS, Reason
from td_pinterest_op.records.digests import compute_identifier
from tests.emulators.td.sql import statements

ADDRESS = "ann@lee.org"
# For each reason whose SQL lists rows: values that the operator rejects for it.
REJECTED: dict[str, Sequence[str | None]] = {
    "null": [None],
    "empty": ["", " ", "\t\r\n", "\u00a0\u200b\u3000", "\u2060\ufeff\x85"],
    "not_an_email": ["jane.doe", "ann@lee", "ann@lee..org", "@lee.org", "ann@lee@lee.org", "ann@.org", "ann@lee."],
    "not_a_device_id": ["1234-5678", "0123abcd89ef4cde8f0123456789abcde", "x" * 36, ADDRESS],
    "contains_separator": ["ann lee@lee.org", "ann@lee.org,bob@lee.org", "ann\u00a0b@lee.org", "ann\u200b@lee.org"],
    "too_long": ["a" * 250 + "@lee.org", "é" * 130 + "@lee.org"],
    "unsupported_hash": ["0" * 31 + "1", "ABCDEF0123" * 4, f" {'a' * 40} "],
}


def found_by(sql: str, values: Sequence[str | None], arrays: Sequence[Sequence[int]] = ()) -> int:
    """How many of the rows with these values, or arrays of such lengths, Trino's SQL finds as run by DuckDB."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE people (number INTEGER, email VARCHAR, maid VARCHAR, phone VARCHAR, customer_id VARCHAR, "
            "emails VARCHAR[], maids VARCHAR[])"
        )
        rows: list[tuple[object, ...]] = [(number, *[value] * 4, [], None) for number, value in enumerate(values)]
        rows += [(0, *[ADDRESS] * 4, *(["x"] * length for length in lengths)) for lengths in arrays]
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        (statement,) = statements(sql, dialect="trino")
        return len(connection.execute(statement.sql).fetchall())


def test_every_reason_is_explained() -> None:
    assert set() == {reason.value for reason in Reason} - set(REASONS)


@pytest.mark.parametrize("reason", REJECTED)
def test_the_sql_of_a_reason_finds_every_row_that_is_rejected_for_it(reason: str) -> None:
    type_ = MAID if "maid" in REASONS[reason].sql else EMAIL
    values = REJECTED[reason]
    assert {reason} == {compute_identifier(type_, None if value is None else value.encode()) for value in values}
    assert len(values) == found_by(REASONS[reason].sql, values)


@pytest.mark.parametrize("reason", sorted(set(REJECTED) - {"not_a_device_id"}))
def test_the_sql_of_a_reason_leaves_out_a_good_address(reason: str) -> None:
    assert 0 == found_by(REASONS[reason].sql, [ADDRESS])


@pytest.mark.parametrize("reason", sorted(set(REASONS) - set(REJECTED)))
def test_the_sql_of_every_other_reason_runs(reason: str) -> None:
    assert found_by(REASONS[reason].sql, ["n/a", "n/a"]) <= 2


def test_the_sql_for_placeholders_counts_each_of_them() -> None:
    assert len(PLACEHOLDERS) == found_by(REASONS["placeholder"].sql, sorted(PLACEHOLDERS))


def test_the_sql_for_combinations_finds_the_rows_that_have_too_many() -> None:
    sql = REASONS["too_many_combinations"].sql
    found = [found_by(sql, [], [lengths]) for lengths in ([40, 25], [1000, 0], [40, 26], [1001, 0], [0, 1001])]
    assert [0, 0, 1, 1, 1] == found
