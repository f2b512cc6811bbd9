"""Keys of rejected rows that hold an identifier are not shown."""

import duckdb

from tests import warehouses
from tests.warehouses import DuckDB


def test_key_that_holds_an_identifier_or_a_digest_is_null_and_counted(database: duckdb.DuckDBPyConnection) -> None:
    expected, actual = warehouses.find_shown_keys(DuckDB(database))
    assert sorted(actual) == sorted(expected)
