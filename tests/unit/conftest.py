"""One empty DuckDB with Treasure Data's functions: opening it takes longer than most tests."""

from collections.abc import Iterator

import duckdb
import pytest

from tests.emulators.td.sql import FUNCTIONS


@pytest.fixture(scope="session")
def opened() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute(FUNCTIONS)
        yield connection


@pytest.fixture
def database(opened: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """It forgets what a test has done, and has nothing of tests with `opened`."""
    opened.begin()
    for (name,) in opened.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        opened.execute(f'DROP TABLE "{name}"')
    yield opened
    opened.rollback()
