from collections.abc import Sequence

import duckdb
import pytest

from td_pinterest_op.identifiers.identifier_types import EMAIL, MAID, PLACEHOLDERS
from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS, Reason
from td_pinterest_op.records.digests import compute_identifier
from tests.warehouses import DuckDB

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


COLUMNS = dict.fromkeys(["email", "maid", "phone", "customer_id"], "varchar")
ARRAYS = dict.fromkeys(["emails", "maids"], "array(varchar)")


def count_found(
    database: duckdb.DuckDBPyConnection, reason: str, values: Sequence[str | None], lengths: Sequence[int] = (0, 0)
) -> int:
    """Count the rows that the SQL of a reason finds among rows with these values, and arrays of these lengths."""
    warehouse = DuckDB(database)
    rows = [[*[value] * len(COLUMNS), *(["x"] * length for length in lengths)] for value in values]
    warehouse.load("people", COLUMNS | ARRAYS, rows)
    return len(warehouse.read(REASON_EXPLANATIONS[reason].sql))


def test_every_reason_is_explained() -> None:
    assert {reason.value for reason in Reason} <= set(REASON_EXPLANATIONS)


@pytest.mark.parametrize("reason", REJECTED)
def test_the_sql_of_a_reason_finds_every_row_that_is_rejected_for_it(
    database: duckdb.DuckDBPyConnection, reason: str
) -> None:
    type_ = MAID if "maid" in REASON_EXPLANATIONS[reason].sql else EMAIL
    values = REJECTED[reason]
    assert {reason} == {compute_identifier(type_, None if value is None else value.encode()) for value in values}
    assert count_found(database, reason, values) == len(values)
    if type_ is EMAIL:
        assert count_found(database, reason, [ADDRESS]) == 0


@pytest.mark.parametrize("reason", sorted(set(REASON_EXPLANATIONS) - set(REJECTED)))
def test_the_sql_of_every_other_reason_runs(database: duckdb.DuckDBPyConnection, reason: str) -> None:
    assert count_found(database, reason, ["n/a", "n/a"]) <= 2


def test_the_sql_for_placeholders_counts_each_of_them(database: duckdb.DuckDBPyConnection) -> None:
    assert count_found(database, "placeholder", sorted(PLACEHOLDERS)) == len(PLACEHOLDERS)


@pytest.mark.parametrize(
    ("lengths", "found"), [([40, 25], 0), ([1000, 0], 0), ([40, 26], 1), ([1001, 0], 1), ([0, 1001], 1)]
)
def test_the_sql_for_combinations_finds_the_rows_that_have_too_many(
    database: duckdb.DuckDBPyConnection, lengths: list[int], found: int
) -> None:
    assert count_found(database, "too_many_combinations", [ADDRESS], lengths) == found
