"""Databases and tables, in DuckDB: a Treasure Data database is a schema there."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from tests.emulators.td.sql import FUNCTIONS, QueryFailedError, Statement

_NAME = re.compile(r"[a-z0-9_]{3,128}")
# DuckDB's types under the names that Trino and Treasure Data's tables have for them.
_TRINO = {
    "hugeint": "bigint",
    "ubigint": "bigint",
    "uinteger": "bigint",
    "usmallint": "integer",
    "utinyint": "smallint",
    "float": "real",
    "blob": "varbinary",
    '"null"': "unknown",
    "timestamp_s": "timestamp(0)",
    "timestamp_ms": "timestamp(3)",
    "timestamp": "timestamp(3)",
    "timestamp_ns": "timestamp(9)",
    "timestamp with time zone": "timestamp(3) with time zone",
}
# What a column of a table can store; `time` is not checked, and of what a loader writes only booleans are refused.
_STORED = re.compile(r"(?:array\()?(?:varchar|bigint|integer|double)\)?")
# Empty databases with FUNCTIONS that no warehouse has: to open one takes longer than most tests' statements.
_spare: list[duckdb.DuckDBPyConnection] = []
# Two that create or change a table at the same moment succeed on Trino, and in DuckDB one after the other.
_WRITING = threading.Lock()


class RefusedError(Exception):
    """A request that Treasure Data refuses, and the HTTP status of the refusal."""

    def __init__(self, status: int, text: str, **details: str) -> None:
        super().__init__(text)
        self.status = status
        self.details = details


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str
    columns: tuple[tuple[str, str], ...]
    created: float

    @property
    def schema(self) -> str:
        """Name, type and alias of each column as JSON; `time` is in every table and is not listed."""
        return json.dumps([[name, trino_type(kind), name] for name, kind in self.columns if name != "time"])


class Warehouse:
    """All databases of the account. Every method may be called from any thread.

    A table's creation time is that of its first listing, at the latest. `keeps_columns_of_no_rows`: whether CREATE
    TABLE AS without rows keeps its columns, which no documentation of Treasure Data says.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._created: dict[tuple[str, str], float] = {}
        self._opened: duckdb.DuckDBPyConnection | None = None
        self._databases: set[str] = set()
        self.keeps_columns_of_no_rows = True

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        # Opened for the first statement: it takes longer than all the rest of an emulator, and many tests have none.
        with self._lock:
            if self._opened is None:
                try:
                    self._opened = _spare.pop()
                except IndexError:
                    self._opened = _open()
            return self._opened

    def close(self) -> None:
        """Drop all databases; no job may be running."""
        with self._lock:
            if self._opened is not None:
                for name in self._databases:
                    self._opened.execute(f'DROP SCHEMA "{name}" CASCADE')
                _spare.append(self._opened)
            self._opened = None
            self._databases = set()

    def databases(self) -> list[str]:
        return sorted(self._databases)

    def require_database(self, name: str) -> None:
        if name not in self._databases:
            raise RefusedError(404, f"Couldn't find Database with name = {name}")

    def tables(self, database: str) -> list[Table]:
        cursor = self._connection.cursor()
        names = self._names(database)
        gone = {key for key in self._created if key[0] == database and key[1] not in names}
        self._created = {key: created for key, created in self._created.items() if key not in gone}
        found = []
        for name in names:
            created = self._created.setdefault((database, name), self._clock())
            columns = cursor.execute(f'DESCRIBE "{database}"."{name}"').fetchall()
            found.append(Table(name=name, columns=tuple((row[0], row[1]) for row in columns), created=created))
        return found

    def _names(self, database: str) -> list[str]:
        self.require_database(database)
        query = "SELECT table_name FROM duckdb_tables() WHERE schema_name = ? ORDER BY 1"
        return [name for (name,) in self._connection.cursor().execute(query, [database]).fetchall()]

    def drop_table(self, database: str, name: str) -> None:
        if name not in self._names(database):
            raise RefusedError(404, f"Couldn't find Table {database}.{name}")
        self._connection.cursor().execute(f'DROP TABLE "{database}"."{name}"')

    def load(self, database: str, table: str, relation: str, parameters: list[object] | None = None) -> None:
        """Make or replace `database.table` (and the database) from a SELECT in DuckDB's SQL.

        Raises RefusedError for a column of booleans, which no table of Treasure Data has.
        """
        _require_valid_name(table)
        for name, kind in _columns(self._connection.cursor(), relation, parameters):
            if "boolean" in kind.lower():
                raise RefusedError(422, f"Table {table} cannot have {name} as a boolean: write 1 and 0")
        if _require_valid_name(database) not in self._databases:
            self._connection.cursor().execute(f'CREATE SCHEMA "{database}"')
            self._databases.add(database)
        self._connection.cursor().execute(f'CREATE OR REPLACE TABLE "{database}"."{table}" AS {relation}', parameters)

    def load_file(self, database: str, table: str, path: Path) -> None:
        """Make or replace a table from a .parquet or CSV file with a header: an empty field is NULL, `""` empty text.

        Raises OSError or ValueError for one that cannot be loaded.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        read = "parquet(?)" if path.suffix == ".parquet" else "csv(?, header = true, allow_quoted_nulls = false)"
        try:
            self.load(database, table, f"FROM read_{read}", [str(path)])
        except RefusedError as error:
            raise ValueError(f"{path} cannot be loaded: {error}") from None
        except duckdb.Error as error:
            raise ValueError(f"{path} cannot be loaded as a table ({type(error).__name__})") from None

    def session(self, database: str, *, scheduled_time: int, now: float = 0.0) -> duckdb.DuckDBPyConnection:
        """A connection on which unqualified tables are those of `database`."""
        cursor = self._connection.cursor()
        cursor.execute(
            f"SET search_path = '{database},main'; SET VARIABLE td_scheduled_time = {scheduled_time};"
            f"SET VARIABLE td_now = {now:.6f}::DOUBLE"
        )
        return cursor


def _open() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={"threads": 2})
    connection.execute(FUNCTIONS)
    return connection


def run_statement(
    session: duckdb.DuckDBPyConnection, statement: Statement, *, now: int, keeps_columns_of_no_rows: bool = True
) -> bool:
    """Run one statement; True when it has rows to fetch from the session. Raises duckdb.Error and QueryFailedError."""
    if statement.kind == "select":
        session.execute(statement.sql)
        return True
    _require_stored_types(statement.declared)
    if statement.source:
        _require_stored_types([(name, trino_type(kind)) for name, kind in _columns(session, statement.source)])
    with _WRITING:
        if statement.kind == "insert":
            _insert(session, statement, now=now)
        elif statement.kind == "create" and (
            keeps_columns_of_no_rows or session.execute(f"SELECT 1 FROM ({statement.source}) LIMIT 1").fetchone()
        ):
            session.execute(f"{statement.sql} AS {_with_time(session, statement.source, now=now)}")
        elif statement.kind == "create":
            session.execute(f'{statement.sql} ("time" BIGINT)')
        else:
            session.execute(statement.sql)
    return False


def _require_stored_types(columns: Iterable[tuple[str, str]]) -> None:
    """Raise QueryFailedError for a column whose type Treasure Data's tables lack. `columns`: names and Trino types."""
    for name, kind in columns:
        if not _STORED.fullmatch(kind.lower()):
            raise QueryFailedError(f"Unsupported type for column {name}: {kind.lower()}")


def limit_insert(session: duckdb.DuckDBPyConnection, statement: Statement, share: float) -> Statement:
    """Return a statement that writes only this share of its rows, the first ones."""
    if not statement.source:
        return statement
    (count,) = session.execute(f"SELECT count(*) FROM ({statement.source})").fetchone() or (0,)
    return replace(statement, source=f"SELECT * FROM ({statement.source}) LIMIT {int(count * share)}")


def _insert(session: duckdb.DuckDBPyConnection, statement: Statement, *, now: int) -> None:
    columns = statement.columns
    source = statement.source
    if not columns:
        raise QueryFailedError("this emulator takes an INSERT only with the names of its columns")
    if "time" not in columns:
        columns = (*columns, "time")
        source = f"SELECT *, {now}::BIGINT FROM ({source})"
    names = ", ".join(f'"{name}"' for name in columns)
    session.execute(f"INSERT INTO {statement.table} ({names}) {source}")


def _with_time(session: duckdb.DuckDBPyConnection, source: str, *, now: int) -> str:
    """Every table has a `time`; rows that bring none get that of the query."""
    if any(name.lower() == "time" for name, _ in _columns(session, source)):
        return source
    return f'SELECT *, {now}::BIGINT AS "time" FROM ({source})'


def _columns(
    session: duckdb.DuckDBPyConnection, source: str, parameters: list[object] | None = None
) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in session.execute(f"DESCRIBE {source}", parameters).fetchall()]


def _require_valid_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise RefusedError(422, f"Name must be 3 to 128 of a-z, 0-9 and _ but is {name!r}")
    return name


def fetch_rows(done: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the rows of what was executed last, by the names of their columns."""
    names = [column[0] for column in done.description or ()]
    return [dict(zip(names, row, strict=True)) for row in done.fetchall()]


def trino_type(duckdb_type: str) -> str:
    """`VARCHAR` → `varchar`, `INTEGER[]` → `array(integer)`, `MAP(VARCHAR, BIGINT)` → `map(varchar, bigint)`."""
    name = duckdb_type.lower()
    if name.endswith("]"):
        return f"array({trino_type(name[: name.rindex('[')])})"
    if match := re.fullmatch(r"map\((\w+), (.+)\)", name):
        return f"map({trino_type(match[1])}, {trino_type(match[2])})"
    if name.startswith("struct("):
        return f"row({name.removeprefix('struct(')}"
    return _TRINO.get(name, name)
