"""Issue the jobs of Treasure Data, or adopt them from an earlier try (execution) of the task, and wait for them."""

import contextlib
import hashlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from td_pinterest_op.errors import (
    NOTHING_SENT,
    ExportError,
    JobError,
    TreasureDataError,
)
from td_pinterest_op.redaction.secret import escape_for_message, mask_and_escape, mask_long_numbers_too
from td_pinterest_op.runtime.clock import format_duration
from td_pinterest_op.runtime.text import parse_id, parse_whole_number
from td_pinterest_op.treasure_data.engine_text import find_words_and_quoted_names, hide_values_in_message
from td_pinterest_op.treasure_data.td_api import TreasureData, build_v3_path

log = logging.getLogger(__name__)

_FINISHED_STATUSES = ("success", "error", "killed")
# Polling, in seconds: often at first, for short queries, then seldom.
_SHORTEST_POLL_PAUSE = 0.1
_LONGEST_POLL_PAUSE = 10.0
_LEAST_LOGGED_WAIT_SECONDS = 1.0
# How long a run that ends may take to kill the job that it waits for.
_KILL_TIME_LIMIT = 2.0
_LONGEST_ENGINE_TEXT = 600
_COLUMN_POLICY_ADVICE = (
    "If the operator made that table, a column policy hides its columns: let the owner of the API key View them (the "
    "policy Columns full, or View by default)"
)
_FIRST_COMMENTS_PATTERN = re.compile(r"(?:\s*--[^\r\n]*(?:\r?\n|\r|\Z))*")


@dataclass(frozen=True, kw_only=True)
class JobOrQuery:
    """Where rows come from: an existing job (`job_id`), or else a query, for which a job is issued.

    A later try of the task in the same digdag attempt adopts that job. Without an `attempt_key`, each try issues its
    own.
    """

    job_id: str | None = None
    query: str = ""
    database: str = ""
    engine: str = "presto"
    attempt_key: str = field(default="", compare=False)  # see `Task.attempt_key`
    purpose: str = ""  # what the query does, for errors, if the operator wrote it itself
    list_name: str = ""  # "suppress" or "consent" for such a list's query
    scheduled_time: int | None = None  # Unix time from which its TD_INTERVAL counts; None: when it is issued
    job_options: Mapping[str, str] = field(default_factory=dict)  # more fields of the request, such as `priority`
    tracing: str = ""  # comment lines, added after the comments with which the query begins
    # In place of a missing attempt key.
    _random: str = field(default_factory=lambda: secrets.token_hex(16), compare=False, repr=False)

    @property
    def domain_key(self) -> str:
        """Treasure Data makes one job of all requests with the same domain key."""
        text = " ".join((self.attempt_key or self._random, self.engine, self.database, self.query))
        return f"td_pinterest_op-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:40]}"

    def replace_query(self, query: str, *, adopts: bool, purpose: str = "") -> "JobOrQuery":
        """Return a copy with another query. `adopts`: whether a later try of the task adopts its job.

        Without, each try issues a new job, since the rows may change.
        """
        key = self.attempt_key if adopts else ""
        return replace(self, query=query, purpose=purpose, attempt_key=key, _random=secrets.token_hex(16))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Treasure Data job that succeeded."""

    id: str
    schema: tuple[tuple[str, str], ...]  # (name, SQL type) of each column
    # None: Treasure Data does not say it.
    records: int | None = None  # the number of rows
    size: int | None = None  # the bytes of the compressed result
    is_hashed_by_warehouse: bool = False  # values are digests or reasons (see `build_hashing_statement`)
    option: str = ""  # the option of the command line that has the query; "" for a workflow's

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [name for name, _ in self.schema]

    @property
    def label(self) -> str:
        """The result in messages, such as "the result of job 12"."""
        return f"the query of {self.option}" if self.option else f"the result of job {self.id}"


def find_first_comments(query: str) -> str:
    """Return the comment lines with which a query begins. They may set options of the engine."""
    match = _FIRST_COMMENTS_PATTERN.match(query)
    return match[0] if match else ""


def run_or_await_job(td: TreasureData, source: JobOrQuery, *, on_job_id: Callable[[str], None] = lambda _: None) -> Job:
    """Wait until the job of `source` has succeeded, and return it. `on_job_id` gets the id as soon as it is known.

    A query's job from an earlier try is used, unless that job failed. Raises JobError if the job does not exist, did
    not succeed or has no result, and TreasureDataError if requests to Treasure Data fail.
    """
    job_id, details = _run_until_success(td, source, on_job_id)
    try:
        columns = json.loads(details.get("hive_result_schema") or "null")
        schema = tuple((str(name), str(type_)) for name, type_, *_ in columns)
    except (TypeError, ValueError, RecursionError):
        raise JobError(f"job {job_id} succeeded but has no result", advice="Its query must be a SELECT") from None
    records, size = (parse_whole_number(details.get(name)) for name in ("num_records", "result_size"))
    return Job(id=job_id, schema=schema, records=records, size=size)


def run_statement_job(td: TreasureData, source: JobOrQuery) -> str:
    """Run a statement without rows, such as INSERT, and return its job's id. Raises as `run_or_await_job` does."""
    # Treasure Data would repeat the statement after a failure, and insert rows twice.
    options = {name: value for name, value in source.job_options.items() if name != "retry_limit"}
    return _run_until_success(td, replace(source, job_options=options), lambda _: None)[0]


def _run_until_success(
    td: TreasureData, source: JobOrQuery, on_job_id: Callable[[str], None]
) -> tuple[str, dict[str, Any]]:
    """Issue or adopt the job of `source`, unless it exists, and wait until it succeeds. Return its id and details."""
    job_id = source.job_id or ""
    is_adopted = False
    number = 0
    # If the job of an earlier try failed, the next domain key is tried.
    while True:
        number += 1
        if source.job_id is None:
            key = source.domain_key if number == 1 else f"{source.domain_key}-{number}"
            job_id, is_adopted = _issue_or_adopt_query(td, source, key)
        on_job_id(job_id)
        try:
            pause = _SHORTEST_POLL_PAUSE
            waited = 0.0
            while (status := _request_job_details(td, "status", job_id)["status"]) not in _FINISHED_STATUSES:
                if waited >= _LEAST_LOGGED_WAIT_SECONDS:
                    log.info(
                        "waiting for job %s (%s): %s so far", job_id, mask_and_escape(status), format_duration(waited)
                    )
                td.sleep(pause)
                waited += pause
                pause = min(pause * 1.5, _LONGEST_POLL_PAUSE)
            details = _request_job_details(td, "show", job_id)
        except BaseException as error:
            # A job goes on if a retry may adopt it, if others have issued it, or if only the time limit is over.
            is_stopped = not isinstance(error, TreasureDataError) or not td.has_time_limit
            if is_stopped and source.job_id is None and not source.attempt_key:
                with contextlib.suppress(ExportError):  # the run ends anyway
                    td.without_retries(_KILL_TIME_LIMIT).call("POST", build_v3_path("job", "kill", job_id))
            raise
        if details["status"] == "success":
            return job_id, details
        if not is_adopted:
            raise _build_job_error(job_id, details, source)


def _issue_or_adopt_query(td: TreasureData, source: JobOrQuery, key: str) -> tuple[str, bool]:
    path = build_v3_path("job", "issue", source.engine, source.database)
    first = find_first_comments(source.query)
    text = first + source.tracing + source.query[len(first) :]
    form = {**source.job_options, "query": text, "domain_key": key}
    if source.scheduled_time is not None:
        form["scheduled_time"] = str(source.scheduled_time)
    status, content = td.call("POST", path, subject="the query", **form)
    conflict = content.get("details")
    of_key = conflict.get("conflicts_with") if isinstance(conflict, dict) else None
    if job_id := parse_id(content.get("job_id") if status == 200 else of_key):
        origin = f"{'adopted' if status == 409 else 'issued'} ({source.engine} on database {source.database})"
        subject = source.purpose or source.list_name
        log.info("job %s %s%s", job_id, origin, subject and f": {subject}")
        return job_id, status == 409
    if status == 404:
        raise JobError(
            f'there is no database "{source.database}" for the query (Treasure Data responded 404)',
            advice="Correct its name",
        )
    raise TreasureDataError(
        f"Treasure Data responded {status} to the query, but sent no job id", advice="Run this task again"
    )


def _request_job_details(td: TreasureData, view: str, job_id: str) -> dict[str, Any]:
    """Return the JSON object about a job. `view`: the endpoint, "status" (only the status) or "show" (all)."""
    status, content = td.call("GET", build_v3_path("job", view, job_id))
    if status == 404:
        raise JobError(
            f"Treasure Data has no job {job_id}",
            advice="Check the job id, and that TD_API_SERVER is the region in which the job ran",
        )
    if not isinstance(content.get("status"), str) or str(content.get("job_id") or job_id) != job_id:
        raise TreasureDataError(
            f"Treasure Data's response about job {job_id} ({view}) has no status, or the id of another job",
            advice="Run this task again",
        )
    return content


def _build_job_error(job_id: str, details: Mapping[str, Any], source: JobOrQuery) -> JobError:
    text = ""
    if isinstance(debug := details.get("debug"), dict):
        text = "\n".join(str(debug.get(name) or "") for name in ("stderr", "cmdout"))
    names = find_words_and_quoted_names(str(details.get("query") or source.query)) | {source.database}
    # Hidden before the cut: half of a value would not be recognised.
    lines = hide_values_in_message(text, names).splitlines()
    last = escape_for_message(mask_long_numbers_too(" / ".join(lines[-6:])))[-_LONGEST_ENGINE_TEXT:]
    name = f"{job_id} ({source.purpose})" if source.purpose else job_id
    quote = f"; the engine's last lines: {last}" if last else ""
    advice = _COLUMN_POLICY_ADVICE if source.purpose and "cannot be resolved" in text else ""
    return JobError(
        f"job {name} ended with status {mask_and_escape(details['status'])}",
        quote=quote,
        sent="" if source.purpose else NOTHING_SENT,
        advice=advice,
    )
