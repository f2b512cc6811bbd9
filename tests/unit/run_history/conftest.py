"""The history's statements, run by DuckDB in place of Trino."""

from typing import Any

import duckdb
import pytest

from td_pinterest_op.run_history.history_table import COLUMN_TYPES
from td_pinterest_op.treasure_data.tables import build_create_or_alter_sql
from tests.emulators.td.sql import statements
from tests.emulators.td.warehouse import fetch_rows, run_statement

TABLE = "pinterest_history"
NOW = 1_795_000_000


class Warehouse:
    """A database with the history in it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute(f"SET VARIABLE td_now = {NOW}")
        self.run(build_create_or_alter_sql(TABLE, COLUMN_TYPES, None, description="history"))

    def run(self, query: str) -> list[dict[str, Any]]:
        """The rows of the last of these statements."""
        for statement in statements(query, dialect="trino"):
            run_statement(self._connection, statement, now=NOW)
        return fetch_rows(self._connection)

    def insert(self, **row: Any) -> None:
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self._connection.execute(f"INSERT INTO {TABLE} ({names}) VALUES ({marks})", [*row.values()])

    def rows(self) -> list[dict[str, Any]]:
        """All of them, in the order in which they were written."""
        return self.run(f"SELECT * FROM {TABLE} ORDER BY rowid")


@pytest.fixture
def warehouse(database: duckdb.DuckDBPyConnection) -> Warehouse:
    return Warehouse(database)
