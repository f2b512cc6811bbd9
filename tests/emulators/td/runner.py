"""All jobs of the account, and the workers that run them."""

import hashlib
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb

from tests.emulators.td.faults import JobFaults
from tests.emulators.td.jobs import Job
from tests.emulators.td.output import Output, write_output
from tests.emulators.td.sql import QueryFailedError, Statement, statements
from tests.emulators.td.switches import Switches
from tests.emulators.td.warehouse import RefusedError, Warehouse, limit_insert, run_statement, trino_type

_DIALECTS = {"presto": "trino", "trino": "trino", "hive": "hive"}
_ROWS_AT_A_TIME = 10_000


class JobRunner:
    """Jobs by id, run by two workers in the order they were issued. Every method may be called from any thread."""

    def __init__(
        self, warehouse: Warehouse, *, faults: JobFaults, switches: Switches, clock: Callable[[], float]
    ) -> None:
        self._warehouse = warehouse
        self._faults = faults
        self._switches = switches
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._sessions: dict[str, duckdb.DuckDBPyConnection] = {}
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        # Called with each job that has succeeded, before its status shows it.
        self.on_end: Callable[[Job], object] = lambda _: None
        self._workers = ThreadPoolExecutor(
            max_workers=2,
            thread_name_prefix="td-job",
            # Coverage would follow these threads too, as it would those of the server (`emulators/server.py`).
            initializer=lambda: sys.settrace(None),
        )

    def all(self) -> list[Job]:
        """Return all jobs, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def get(self, job_id: str) -> Job:
        with self._lock:
            if job_id not in self._jobs:
                raise RefusedError(404, f"Couldn't find Job with job_id = {job_id}")
            return self._jobs[job_id]

    def add(self, **fields: Any) -> Job:
        """Add a job that is not run. Raises RefusedError (409) when its domain key has been used."""
        with self._lock:
            domain_key = fields.get("domain_key")
            for job in self._jobs.values():
                if domain_key is not None and job.domain_key == domain_key:
                    text = "domain_key has already been taken"
                    raise RefusedError(409, text, conflicts_with=job.id)
            job = Job(id=str(1_000_001 + len(self._jobs)), created_at=self._clock(), **fields)
            self._jobs[job.id] = job
            return job

    def issue(self, *, type: str, database: str, **fields: Any) -> Job:  # noqa: A002 – the API's name
        """Put a query into the queue. Raises RefusedError for an unknown engine or database."""
        if type not in _DIALECTS:
            raise RefusedError(422, f"Job type {type!r} is not supported")
        self._warehouse.require_database(database)
        job = self.add(type=type, database=database, **fields)
        self._workers.submit(self._run, job)
        return job

    def kill(self, job_id: str) -> str:
        """End a job, unless it has ended. Returns its status before."""
        job = self.get(job_id)
        with self._ended:
            before = job.status
            self._finish(job, "killed", message="Query was canceled")
            while job_id in self._sessions:
                self._sessions[job_id].interrupt()
                self._ended.wait(0.01)
        return before

    def close(self) -> None:
        """End the workers and close the results; a job that is under way is killed."""
        for job in self.all():
            self._finish(job, "killed", message="Query was canceled")
        # An interrupt that comes before the engine has begun is lost, so it is repeated until no job runs.
        with self._ended:
            while self._sessions:
                for session in self._sessions.values():
                    session.interrupt()
                self._ended.wait(0.01)
        self._workers.shutdown(wait=True)
        for job in self.all():
            if job.output is not None:
                job.output.close()

    def _run(self, job: Job) -> None:
        session = self._start(job)
        if session is None:
            return
        try:
            output = self._execute(job, session)
            self.on_end(job)
            self._finish(job, "success", output=output)
        except (QueryFailedError, duckdb.Error) as error:
            said = "FAILED: SemanticException" if job.type == "hive" else f"Query {job.id} failed:"
            self._finish(job, "error", message=f"{said} {error}")
        except Exception as error:  # a job never hangs for a fault of the emulator
            self._finish(job, "error", message=f"Query {job.id} failed: internal error: {error!r}")
            raise
        finally:
            with self._ended:
                del self._sessions[job.id]
                self._ended.notify()
            session.close()

    def _start(self, job: Job) -> duckdb.DuckDBPyConnection | None:
        with self._lock:
            if job.finished:
                return None
            job.status = "running"
            job.start_at = self._clock()
            scheduled = job.scheduled_time or int(job.created_at)
            session = self._warehouse.session(job.database, scheduled_time=scheduled, now=self._clock())
            self._sessions[job.id] = session
            return session

    def _execute(self, job: Job, session: duckdb.DuckDBPyConnection) -> Output | None:
        """Run every statement; the rows are those of the last one, if that is a SELECT."""
        output = None
        now = job.scheduled_time or int(job.created_at)
        fault = self._faults.meet(lambda fault: re.search(fault.query, job.query) is not None)
        for statement in statements(job.query, dialect=_DIALECTS[job.type]):
            self._require_permission(statement, job.query)
            if fault is not None:
                if statement.kind != "select" and fault.share:
                    run_statement(session, limit_insert(session, statement, fault.share), now=now)
                raise QueryFailedError(fault.message)
            if output is not None:
                output.close()
                output = None
            keeps = self._warehouse.keeps_columns_of_no_rows
            if run_statement(session, statement, now=now, keeps_columns_of_no_rows=keeps):
                job.columns = [(column[0], trino_type(str(column[1]))) for column in session.description or []]
                output = write_output(_batches(job, session, self._switches.masked_columns))
        if output is None:
            job.columns = None
        return output

    def _require_permission(self, statement: Statement, query: str) -> None:
        """Raise QueryFailedError for a column that the user may not see, or a table that the user may not edit."""
        if statement.kind != "select" and not self._switches.edit:
            raise QueryFailedError("line 1:1: Access Denied: Cannot write into table")
        text = statement.source or statement.sql
        for name in self._switches.invisible_columns:
            if statement.kind != "plain" and re.search(rf"(?i)\b{name}\b", text):
                raise QueryFailedError(f"line 1:8: Column '{name}' cannot be resolved")

    def _finish(self, job: Job, status: str, *, message: str = "", output: Output | None = None) -> None:
        with self._lock:
            if not job.finished:
                job.status = status
                job.message = message
                job.output = output
                job.end_at = self._clock()
            elif output is not None:
                output.close()


def _batches(
    job: Job, session: duckdb.DuckDBPyConnection, masked: Collection[str]
) -> Iterator[Sequence[Sequence[Any]]]:
    places = {place for place, (name, _) in enumerate(job.columns or ()) if name in masked}
    while (batch := session.fetchmany(_ROWS_AT_A_TIME)) and not job.finished:
        if places:
            batch = [tuple(_mask(cell) if place in places else cell for place, cell in enumerate(row)) for row in batch]
        yield batch


def _mask(cell: object) -> str | None:
    """What a column policy shows in place of a value."""
    return None if cell is None else hashlib.sha256(str(cell).encode()).hexdigest()
