"""A job and the API's answers about it."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.emulators.td.output import Output

FINISHED = frozenset({"success", "error", "killed"})


@dataclass(kw_only=True)
class Job:
    """`status`: queued, running, success, error or killed."""

    id: str
    type: str
    database: str
    query: str
    created_at: float
    status: str = "queued"
    domain_key: str | None = None
    priority: int = 0
    retry_limit: int = 0
    scheduled_time: int = 0
    columns: Sequence[tuple[str, str]] | None = None
    output: Output | None = None
    claimed_records: int | None = None
    message: str = ""
    start_at: float | None = None
    end_at: float | None = None
    polls: int = 0

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def num_records(self) -> int:
        """Return the number of rows that the job claims, which a test may have set to a wrong one."""
        if self.claimed_records is not None:
            return self.claimed_records
        return self.output.rows if self.output else 0


def summary(job: Job, *, extra_records: int = 0) -> dict[str, Any]:
    """The answer to a status call; a part of that to a show call."""
    return {
        "job_id": job.id,
        "status": job.status,
        "created_at": utc(job.created_at),
        "updated_at": utc(job.end_at or job.start_at or job.created_at),
        "start_at": utc(job.start_at),
        "end_at": utc(job.end_at),
        "result_size": job.output.size if job.output else 0,
        "num_records": job.num_records + (extra_records if job.output else 0),
    }


def description(job: Job, *, extra_records: int = 0) -> dict[str, Any]:
    """The answer to a show call; one of those to a list call."""
    schema = None if job.columns is None else json.dumps([list(column) for column in job.columns])
    return summary(job, extra_records=extra_records) | {
        "type": job.type,
        "database": job.database,
        "query": job.query,
        "hive_result_schema": schema,
        "debug": _debug(job),
    }


def _debug(job: Job) -> dict[str, str | None]:
    if job.start_at is None:
        return {"cmdout": None, "stderr": None}
    return {
        "cmdout": f"started at {utc(job.start_at)}\nexecuting query in {job.type}\n{job.message}".rstrip(),
        "stderr": job.message,
    }


def utc(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
