"""An emulated account of Treasure Data whose warehouse is a Trino server, for days of the mirror's model."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from tests.emulators.td import TreasureData
from tests.emulators.td.jobs import Job
from tests.emulators.td.output import Output, write_output
from tests.emulators.td.runner import JobRunner
from tests.emulators.td.sql import QueryFailedError
from tests.emulators.td.warehouse import Table, Warehouse
from tests.mirror import days
from tests.mirror.days import DATABASE, World
from tests.trino.client import StatementFailedError, StatementResult, run

_SCHEMA = "default"  # the server's, in place of every database


class TrinoWarehouse(Warehouse):
    """The tables of a Trino server, in one database. What a test loads is loaded into DuckDB, and then copied."""

    server: str

    def run(self, statement: str) -> StatementResult:
        """Run a statement about the database. Raises QueryFailedError."""
        try:
            return run(self.server, statement.replace(f'"{DATABASE}".', f'"{_SCHEMA}".'))
        except StatementFailedError as error:
            raise QueryFailedError(str(error)) from None

    def tables(self, database: str) -> list[Table]:
        """Return all tables. Each was made just now."""
        found = []
        for row in self.run("SHOW TABLES").rows:
            name = row["Table"]
            columns = self.run(f"SELECT * FROM {name} LIMIT 0").columns
            found.append(Table(name=name, columns=tuple(columns), created=self._clock()))
        return found

    def drop_table(self, database: str, name: str) -> None:
        self.run(f"DROP TABLE {name}")

    def load(self, database: str, table: str, relation: str, parameters: list[object] | None = None) -> None:
        super().load(database, table, relation, parameters)
        rows = self.session(database, scheduled_time=0).execute(f"SELECT email, opted_in FROM {table}").fetchall()
        values = ", ".join(f"('{email}', {opted_in})" for email, opted_in in rows)
        self.run(f"DROP TABLE IF EXISTS {table}")
        self.run(f"CREATE TABLE {table} AS SELECT * FROM (VALUES {values}) AS given (email, opted_in)")


class TrinoRunner(JobRunner):
    """Runs the jobs on the server of its TrinoWarehouse."""

    def _execute(self, job: Job, session: duckdb.DuckDBPyConnection) -> Output | None:
        warehouse = self._warehouse
        assert isinstance(warehouse, TrinoWarehouse)
        fault = self._faults.meet(lambda fault: re.search(fault.query, job.query) is not None)
        text = re.sub(r"\bnow\(\)", f"from_unixtime({self._clock()!r})", job.query)
        head, select = split_statement(text)
        if fault is not None:
            if select and fault.share:
                (row,) = warehouse.run(f"SELECT count(*) AS n FROM (\n{select}\n)").rows
                warehouse.run(f"{head}\nSELECT * FROM (\n{select}\n) LIMIT {int(row['n'] * fault.share)}")
            raise QueryFailedError(fault.message)
        job.columns = None
        if gone := re.search(r"^DELETE FROM (\S+) WHERE (.*)", text, re.DOTALL | re.MULTILINE):
            self._delete(warehouse, table=gone[1], condition=gone[2])
            return None
        done = warehouse.run(text)
        if head:
            return None
        job.columns = list(done.columns)
        return write_output([[tuple(row.values()) for row in done.rows]])

    def _delete(self, warehouse: TrinoWarehouse, *, table: str, condition: str) -> None:
        """Write the remaining rows to a new table, as these tables have no DELETE."""
        for into, select in (("kept", f"SELECT * FROM {table} WHERE NOT ({condition})"), (table, "SELECT * FROM kept")):
            warehouse.run(f"DROP TABLE IF EXISTS {into}")
            warehouse.run(f"CREATE TABLE {into} AS\n{select}")
        warehouse.run("DROP TABLE kept")


def split_statement(text: str) -> tuple[str, str]:
    """Return the INSERT or CREATE TABLE in front of a SELECT, and the SELECT. Both are "" in other statements."""
    found = re.match(r"((?:--.*\n)*(?:INSERT INTO|CREATE TABLE)(?:.|\n)*?)\n(SELECT(?:.|\n)*)", text)
    return (found[1], found[2]) if found else ("CREATE" if "CREATE TABLE IF" in text else "", "")


class TrinoWorld(World):
    """A world whose ledger is on a Trino server."""

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        warehouse = self.td.warehouse
        assert isinstance(warehouse, TrinoWarehouse)
        return [tuple(row.values()) for row in warehouse.run(query).rows]


@contextlib.contextmanager
def trino_world(server: str) -> Iterator[World]:
    """Run the emulators with a warehouse on a Trino `server` without tables, and a mirror's task."""

    def build(**given: Any) -> TreasureData:
        account = TreasureData(**given)
        warehouse = TrinoWarehouse(**given)
        warehouse.server = server
        account.warehouse = warehouse
        account.jobs = TrinoRunner(warehouse, faults=account.job_faults, switches=account.switches, **given)
        return account

    with days.world(account_type=build, world_type=TrinoWorld) as made:
        yield made
