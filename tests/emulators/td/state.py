"""The state of the emulated account, which a test can change without HTTP."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.emulators.td.faults import Fault, Faults, JobFaults
from tests.emulators.td.jobs import Job
from tests.emulators.td.output import batches_of, open_output, write_output
from tests.emulators.td.runner import JobRunner
from tests.emulators.td.switches import Switches
from tests.emulators.td.warehouse import Warehouse

API_KEY = "1234/" + "0123456789" * 4


@dataclass(frozen=True, kw_only=True)
class ReceivedRequest:
    """A request that was received: `headers` without the authorization, `fault` the kind of the one it met."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, str]
    fault: str | None = None


class TreasureData:
    """One account: databases, jobs, faults to come, requests received.

    `claim_extra_records`: jobs claim this many records more than they serve.
    `switches`: what the account does not let the key's user do, and other traits.
    `requests`: everything received but the test's own calls, oldest first.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.warehouse = Warehouse(clock=clock)
        self.job_faults = JobFaults()
        self.switches = Switches()
        self.jobs = JobRunner(self.warehouse, faults=self.job_faults, switches=self.switches, clock=clock)
        self.faults = Faults()
        self.requests: list[ReceivedRequest] = []
        self.claim_extra_records = 0

    def create(
        self, database: str, table: str, source: str | Sequence[Mapping[str, Any]], *, columns: Sequence[str] = ()
    ) -> None:
        """Make a table from a SELECT in DuckDB's SQL, or from rows that have their columns' names as keys.

        `columns` are needed where there may be no rows.
        Rows have ints (BIGINT), floats, bools, strings and None; a column of None only is a string column.
        """
        if isinstance(source, str):
            self.warehouse.load(database, table, source)
            return
        columns = columns or list(source[0])
        selected = ", ".join(f'unnest(?::{_sql_type(source, name)}[]) AS "{name}"' for name in columns)
        self.warehouse.load(database, table, f"SELECT {selected}", [[row[name] for row in source] for name in columns])

    def create_people(self, database: str, emails: Iterable[str], *, table: str = "people", **more: object) -> None:
        """Make a table of e-mail addresses; each row has `more` as well."""
        self.create(database, table, [{"email": email, **more} for email in emails])

    def add_job(
        self,
        *,
        columns: Sequence[tuple[str, str]] | None = None,
        rows: Iterable[Sequence[Any]] | None = None,
        path: Path | None = None,
        status: str = "success",
        num_records: int | None = None,
        message: str = "",
        query: str = "select 1",
        database: str = "sample_db",
    ) -> str:
        """Add a job in any state without running anything; returns its id.

        `columns` are names and Trino types. Rows come from `rows` (a `bytes` cell is served as a string of exactly
        these bytes) or from a msgpack.gz file at `path`; with neither, the job has no result (404). `num_records` is
        what the job claims, for a `path` also what it holds. `message` is the engine's.
        """
        output = None if rows is None else write_output(batches_of(rows))
        if path is not None:
            output = open_output(path, rows=num_records or 0)
        now = time.time()
        return self.jobs.add(
            type="presto",
            database=database,
            query=query,
            status=status,
            columns=columns,
            output=output,
            claimed_records=num_records,
            message=message,
            start_at=None if status == "queued" else now,
            end_at=None if status in ("queued", "running") else now,
        ).id

    def job(self, job_id: str) -> Job:
        """Return a job. Raises RefusedError if there is no such job."""
        return self.jobs.get(job_id)

    def answer(self, status: int, **requests: Any) -> None:
        """Answer this status to the requests that match; `requests` are fields of a fault."""
        self.faults.add(Fault(kind="status", status=status, **requests))

    def calls(self, method: str, path_prefix: str) -> list[ReceivedRequest]:
        """Return the requests with this method and this start of their path."""
        return [r for r in self.requests if r.method == method and r.path.startswith(path_prefix)]

    def close(self) -> None:
        self.jobs.close()
        self.warehouse.close()


_SQL_TYPES = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", bytes: "BLOB"}


def _sql_type(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    for row in rows:
        if row[name] is not None:
            return _SQL_TYPES.get(type(row[name]), "VARCHAR")
    return "VARCHAR"
