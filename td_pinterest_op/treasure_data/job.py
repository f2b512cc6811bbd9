"""The job whose rows are exported: found, or issued and waited for, and checked before a row is read."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.errors import JobError, TreasureDataError
from td_pinterest_op.secret import mask
from td_pinterest_op.treasure_data.api import TreasureData

log = logging.getLogger(__name__)

_FINISHED = ("success", "error", "killed")
# Polling, in seconds: soon at first, for short queries, then seldom.
_FIRST_POLL, _LAST_POLL = 1.0, 10.0
# A rerun adopts the job of the earlier try; if that one failed, the next name is tried, so often at most.
_MOST_ISSUES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows come from: a job's id, or a query to issue (then `job_id` is None).

    Treasure Data makes one job of all queries that are issued with the same `domain_key`.
    """

    job_id: str | None = None
    query: str = ""
    database: str = ""
    engine: str = "presto"
    domain_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that succeeded. `schema` is (name, type) of each column; `records` and `size` (compressed bytes) are None
    when Treasure Data does not say. `file` stands in place of a job: then there is no id."""

    id: str
    schema: tuple[tuple[str, str], ...]
    records: int | None
    size: int | None
    file: str | None = None

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"the file {self.file}" if self.file else f"the result of job {self.id}"


def job_of(td: TreasureData, source: Source, *, note: Callable[[str], None]) -> Job:
    """The job of `source`, once it is finished; `note` gets its id as soon as that is known. Raises as below."""
    if source.job_id is None:
        return run_query(td, source, note=note)
    note(source.job_id)
    return wait_for_job(td, source.job_id)


def wait_for_job(td: TreasureData, job_id: str) -> Job:
    """The job, once it is finished. Raises JobError when it did not succeed or does not exist."""
    return _checked(job_id, _finished(td, job_id))


def run_query(td: TreasureData, source: Source, *, note: Callable[[str], None] = lambda _: None) -> Job:
    """The job of a query: the one that an earlier try of this task issued, unless that failed, or a new one."""
    for attempt in range(1, _MOST_ISSUES + 1):
        key = source.domain_key if attempt == 1 else f"{source.domain_key}-{attempt}"
        job_id, adopted = _issue(td, source, key)
        note(job_id)
        log.info(
            "job %s %s (%s on database %s)", job_id, "adopted" if adopted else "issued", source.engine, source.database
        )
        shown = _finished(td, job_id)
        if shown["status"] == "success" or not adopted:
            return _checked(job_id, shown)
    raise JobError(f"{_MOST_ISSUES} jobs of this query failed in this session; the last was job {job_id}")


def _issue(td: TreasureData, source: Source, key: str) -> tuple[str, bool]:
    path = f"/v3/job/issue/{source.engine}/{source.database}"
    status, content = td.call("POST", path, query=source.query, domain_key=key)
    details = content.get("details")
    job_id = content.get("job_id") if status == 200 else isinstance(details, dict) and details.get("conflicts_with")
    if job_id:
        return str(job_id), status == 409
    if status == 404:
        raise JobError(f'there is no database "{source.database}" for the query (Treasure Data answered 404)')
    raise TreasureDataError(f"Treasure Data answered {status} to the query, without a job id")


def _finished(td: TreasureData, job_id: str) -> dict[str, Any]:
    pause, waited, shown = _FIRST_POLL, 0.0, _FIRST_POLL
    while (status := _get(td, "status", job_id).get("status")) not in _FINISHED:
        if waited >= shown:
            log.info("job %s is %s; waiting for it since %.0f s", job_id, status, waited)
            shown = waited * 2
        td.sleep(pause)
        waited += pause
        pause = min(pause * 1.5, _LAST_POLL)
    return _get(td, "show", job_id)


def _get(td: TreasureData, what: str, job_id: str) -> dict[str, Any]:
    status, content = td.call("GET", f"/v3/job/{what}/{job_id}")
    if status == 404:
        raise JobError(f"Treasure Data knows no job {job_id}: is TD_API_SERVER the region in which it ran?")
    if not isinstance(content.get("status"), str):
        raise TreasureDataError(f"Treasure Data answered to {what} job {job_id} without its status")
    return content


def _checked(job_id: str, shown: Mapping[str, Any]) -> Job:
    if shown["status"] != "success":
        raise JobError(f"job {job_id} ended with status {shown['status']}: nothing was sent{_engine_message(shown)}")
    try:
        schema = json.loads(shown.get("hive_result_schema") or "null")
        columns = tuple((str(name), str(kind)) for name, kind, *_ in schema)
    except (TypeError, ValueError):
        raise JobError(f"job {job_id} (status success) has no result: it must be a SELECT") from None
    return Job(
        id=job_id, schema=columns, records=_count(shown.get("num_records")), size=_count(shown.get("result_size"))
    )


def _engine_message(shown: Mapping[str, Any]) -> str:
    debug = shown.get("debug")
    lines = [line for part in ("stderr", "cmdout") for line in str((debug or {}).get(part) or "").splitlines()]
    said = [line.strip() for line in lines if line.strip()]
    # Masked before it is cut: half of an identifier would not be recognised.
    return f"; its last words: {mask(' / '.join(said[-6:]))[-600:]}" if said else ""


def _count(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return None
