"""The digdag task: its parameters and session, the source of its rows, and digdag's store."""

# To add a parameter of a task:
# 1. Test how it is read (tests/unit/task_runtime/test_task.py).
# 2. Add it to `TASK_PARAMETERS` or, for a job's, to `JOB_OPTIONS` (settings/table.py), and read it below. The emulator
#    refuses fields of a job that it does not know (tests/emulators/td/app.py, tests/emulators/td/jobs.py).
# 3. Describe it in docs/reference.md ("Parameters of a task"), a job's also in docs/from-the-connector.md. Run
#    `python -m tests.public_surface`.
import hashlib
import logging
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, NamedTuple

from td_pinterest_op.errors import SettingsError, SettingsErrorCollector
from td_pinterest_op.http.endpoints import require_safe_for_secrets
from td_pinterest_op.redaction.secret import Secret, defuse_templates, mask_and_escape
from td_pinterest_op.runtime.project_file import read_project_file
from td_pinterest_op.settings.parse import parse_parameter
from td_pinterest_op.settings.types import (
    ENGINE_TYPE,
    JOB_ID_TYPE,
    LOST_DIGITS_WARNING,
    TableName,
    is_left_out,
    may_have_lost_digits,
)
from td_pinterest_op.treasure_data.job import JobOrQuery
from td_pinterest_op.treasure_data.user_sql import require_query

log = logging.getLogger(__name__)

# The environment variables of the official clients, with their defaults.
_DEFAULT_ENDPOINTS = {
    "TD_API_SERVER": "https://api.treasuredata.com/",
    "PINTEREST_API_ENDPOINT": "https://api.pinterest.com/v5",
}
# Never a path: the API key could do more than query.
_DATABASE_NAME_PATTERN = re.compile(r"[a-z0-9_]{3,128}")
# What a query begins with, but no file's name.
_SQL_START_PATTERN = re.compile(r"--|/\*|\(|(?:select|with|values|table|from)\s", re.IGNORECASE)
# The end of the name of a task that runs again as its own subtask, after a refused token.
_RERUN_SUBTASK_SUFFIX_PATTERN = re.compile(r"(?:\^sub\+subtask0)+$")


class Endpoints(NamedTuple):
    """The base URLs of both APIs, to which secrets may be sent: https, or this machine."""

    treasure_data: str
    pinterest: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """A digdag task: its merged parameters, and its environment variables."""

    params: Mapping[str, Any]
    environ: Mapping[str, str]
    session: str | None = None  # identifies an export from the command line: the same command, repeated, continues it
    entry: str = ""  # the name of the task's entry in a list of audiences
    _random: str = field(default_factory=lambda: secrets.token_hex(16), compare=False, repr=False)

    @property
    def name(self) -> str:
        """The full name, such as +workflow+task, or "" outside a workflow. A task that starts again keeps it."""
        return _RERUN_SUBTASK_SUFFIX_PATTERN.sub("", str(self.params.get("task_name") or ""))

    @property
    def label(self) -> str:
        """The full name, then a space and the name of the entry, if any."""
        return f"{self.name} {self.entry}".strip()

    @property
    def project_id(self) -> object:
        """The project's id in digdag, or None outside a workflow."""
        return self.params.get("project_id")

    @property
    def session_uuid(self) -> str:
        """The session's id, or "" outside a workflow. Every local run is a session of its own."""
        return str(self.params.get("session_uuid") or "")

    @property
    def attempt_id(self) -> str:
        """The id of the attempt (a run of the session), or "" outside a workflow. In local runs, it is 1."""
        return str(self.params.get("attempt_id") or "")

    @property
    def session_time(self) -> datetime | None:
        """The session's time in UTC, or None outside a workflow. Raises SettingsError."""
        value = self.params.get("session_time")
        if is_left_out(value):
            return None
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            raise SettingsError(
                "session_time is digdag's own parameter, and must be a time such as 2026-12-01T00:00:00+00:00: give "
                "your variable another name",
                key="session_time",
            ) from None
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc)

    @property
    def session_task_key(self) -> str:
        """Eight hex digits that identify the task in its session, or random ones outside a session."""
        if self.session:
            text = self.session
        elif self.session_time and self.name:
            # The same task of another project (staging, production) is another task.
            text = f"{self.session_time.isoformat(timespec='seconds')} {self.project_id} {self.label}"
        else:
            text = self._random + self.entry
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def attempt_key(self) -> str:
        """Text that identifies the task in its attempt, so that a retry finds its jobs, or "" outside a workflow.

        A new attempt issues each query again, since the rows may have changed.
        """
        # In local runs, the ids of attempt and project are always 1.
        values = (self.session_uuid, self.attempt_id, self.label)
        return " ".join(values) if all(values) else ""

    @property
    def td(self) -> Mapping[str, Any]:
        """The parameter `td`: results of earlier td> tasks, and settings for such tasks."""
        td = self.params.get("td")
        return td if isinstance(td, Mapping) else {}


def parse_endpoints(environ: Mapping[str, str]) -> Endpoints:
    """Return the base URLs of both APIs. Raises SettingsError for one that is unsafe for secrets."""
    urls = []
    for name, default in _DEFAULT_ENDPOINTS.items():
        url = environ.get(name, "").strip() or default
        if "://" not in url:
            url = f"https://{url}"
        require_safe_for_secrets(url, name=name)
        urls.append(url)
    return Endpoints(*urls)


def parse_api_key(environ: Mapping[str, str]) -> Secret:
    """Return Treasure Data's API key. Raises SettingsError without a usable one."""
    key = environ.get("TD_API_KEY", "").strip()
    if not key:
        raise SettingsError(
            "there is no TD_API_KEY: set the workflow's secret td.apikey, and give it to the task as TD_API_KEY, "
            "under its _env (config/environment.yml has the line)",
            key="TD_API_KEY",
            code="environment",
        )
    if not re.fullmatch("[!-~]+", key):
        raise SettingsError("TD_API_KEY has other characters than visible ASCII: check td.apikey", key="TD_API_KEY")
    return Secret(key)


def get_current_task() -> Task:
    """Return the task that digdag is running. Raises SettingsError outside digdag."""
    try:
        import digdag
    except ImportError:
        raise SettingsError(
            "there is no module named digdag: this class runs only as a py> task of a digdag workflow. To export "
            "from a terminal, use `td-pinterest export`"
        ) from None
    return Task(params=digdag.env.params, environ=os.environ)


def find_workflow_name(task_name: str) -> str | None:
    """Return the workflow's name: the first part of a task's full name."""
    parts = re.split(r"[+^]", task_name)
    return parts[1] if len(parts) > 1 else None


def store_workflow_values(**values: object) -> None:
    """Write JSON values to digdag's store, with each `${` changed so that digdag fills in no template."""
    import digdag

    digdag.env.store(defuse_templates(values))


def read_row_source(task: Task) -> JobOrQuery:
    """Return the source of a task's rows: its `job_id` or `query`, or else `td.last_job_id`. Raises SettingsError."""
    job_id = _find_nonblank_parameter(task, "job_id")
    query = _find_nonblank_parameter(task, "query")
    if job_id is not None and query is not None:
        raise SettingsError("the task has both job_id and query: leave one of them out", key="query")
    if query is not None:
        return replace(build_task_source(task, "query", str(query)), attempt_key=task.attempt_key)
    if job_id is None:
        job_id = task.td.get("last_job_id")
    if is_left_out(job_id):
        raise SettingsError(
            "there is no job to export: put a td> task that writes no table before this task, or give this task a "
            "job_id, or a query and its database",
            key="job_id",
            code="missing",
        )
    if may_have_lost_digits(job_id):
        log.warning("%s: job_id", LOST_DIGITS_WARNING)
    source = JobOrQuery(job_id=parse_parameter("job_id", job_id, JOB_ID_TYPE))
    if "job_id" not in task.params:
        log.info("the rows are those of the workflow's last job, %s", source.job_id)
    return source


def _find_nonblank_parameter(task: Task, name: str) -> object:
    value = task.params.get(name)
    # If a template that rendered to nothing counted as not set, an earlier job's people would be exported.
    if name in task.params and is_left_out(value):
        text = f"{name} of the task is blank: give it a value, or leave the line out"
        raise SettingsError(text, key=name, code="value")
    return value


def read_sql_or_file(text: str, *, key: str) -> str:
    """Return `text`, or the content of the `.sql` file in the project's folder that it names. Raises SettingsError."""
    text = text.strip()
    if not text.lower().endswith(".sql") or _SQL_START_PATTERN.match(text):
        return text
    query = read_project_file(text, key=key)
    if "${" in query:
        raise SettingsError(
            f"{key}: {mask_and_escape(text)} contains a template, which digdag fills in only in a task: write the "
            "query into the task. An activation's table is `activation_actions_table`, without `$` and braces",
            key=key,
            code="value",
        )
    return query


def require_database(task: Task, *, needed_by: str) -> str:
    """Return the name of the task's database. Raises SettingsError without one, naming the feature `needed_by`."""
    database = task.params.get("database", task.td.get("database"))
    if is_left_out(database):
        text = f"{needed_by} needs a database: give the task a `database`"
        raise SettingsError(text, key="database", code="missing")
    if not _DATABASE_NAME_PATTERN.fullmatch(name := str(database).strip()):
        raise SettingsError(
            "database must be the name of a database: 3 to 128 lowercase letters, digits and underscores",
            key="database",
        )
    return name


def require_history_database(task: Task, table: TableName) -> str:
    """Return the database of a history table. Raises SettingsError if none is known."""
    return table.database or require_database(task, needed_by=f"the history {table.table}")


def build_task_source(task: Task, name: str, query: str) -> JobOrQuery:
    """Return a query as a source that each retry issues again: people who have opted out in between are not sent.

    `name`: the parameter `query`, or the setting of an opt-out or consent list. Raises SettingsError.
    """
    sql = read_sql_or_file(query, key=name)
    is_list = name != "query"
    errors = SettingsErrorCollector()
    database = errors.call_and_collect(require_database, task, needed_by=name if is_list else "a query") or ""
    given = task.params.get("engine") or task.td.get("engine")
    engine = errors.call_and_collect(parse_parameter, "engine", given, ENGINE_TYPE) or "presto"
    errors.call_and_collect(require_query, sql, name=name, engine=engine)
    errors.raise_collected()
    # People who have opted out since the session's day must not be sent: a list is asked as of now.
    session_time = None if is_list else task.session_time
    # A job's options and the comments before its query are those of digdag's td> operator. Treasure Data's pages about
    # usage, and others' tools, tell by the comments which workflow a job belongs to.
    params = {**task.td, **task.params}
    is_hive = engine == "hive"
    options = {
        "priority": params.get("priority"),
        "retry_limit": params.get("job_retry"),
        "pool_name": params.get("hive_pool_name" if is_hive else "presto_pool_name"),
        "engine_version": (is_hive and params.get("hive_engine_version")) or params.get("engine_version"),
    }
    origin = {
        "project_id": task.project_id,
        "project_name": task.params.get("project_name"),
        "workflow_name": find_workflow_name(task.name),
        "session_id": task.params.get("session_id"),
        "attempt_id": task.attempt_id,
        "task_name": task.name,
    }
    # A line feed would end a comment.
    comments = [f"-- {key}: {' '.join(str(value or '').split())}\n" for key, value in origin.items()]
    return JobOrQuery(
        query=sql,
        database=database,
        engine=engine,
        list_name=name if is_list else "",
        scheduled_time=int(session_time.timestamp()) if session_time else None,
        job_options={option: str(value).strip() for option, value in options.items() if not is_left_out(value)},
        tracing="".join(comments) if task.name else "",
    )
