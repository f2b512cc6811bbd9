"""`td>` and `td_ddl>`: queries and tables over the Treasure Data API, through td-client.

Sources: digdag-standards, operator/td/TdOperatorFactory.java, TDOperator.java, TdDdlOperatorFactory.java. Unlike
digdag, an endpoint that neither the parameters nor a secret name comes from TD_API_SERVER, and a refused connection
is not retried without limit.
"""

from __future__ import annotations

import contextlib
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import tdclient
from tdclient import errors
from tdclient.util import create_url

from .errors import DigError, TaskFailedError, TemplateError
from .operator import Call, Outcome
from .params import (
    Params,
    as_bool,
    as_int,
    as_text,
    nested,
    optional_text,
    parsed_list,
    required,
    table,
    tables,
    with_defaults,
)
from .template import fill

# At DEBUG td-client logs every request with the API key in it.
logging.getLogger("tdclient").setLevel(logging.INFO)

_FIRST_POLL, _LONGEST_POLL = 0.1, 30.0
_FINISHED = ("success", "error", "killed")
_QUOTES = {"presto": '"', "hive": "`"}
_INSERT_LINE = re.compile(r"(\A|\r?\n)--\s*DIGDAG_INSERT_LINE[^\n]*")
_HEADER_COMMENT = re.compile(
    r"\A([\r\n\t]*(?:(?:\A|\n)--[^\n]*)+)\n?(.*)\Z"
)  # `.` stops at a line end, as digdag's does


def td(call: Call) -> Outcome:
    """`td>`: run a query; store `td.last_job_id`, `td.last_job`, with `store_last_results` also `td.last_results`."""
    params = with_defaults(call.params, nested(call.params, "td"))
    query = _query(call, params)
    with _client(call, params) as (client, database):
        statement = _comment(call) + _statement(client, params, query, database)
        engine = _engine(params)
        issue: Any = client.api.query  # typed with literals; here the workflow gives the values
        job_id = str(
            issue(
                statement,
                type=engine,
                db=database,
                priority=as_int(params, "priority", 0),
                retry_limit=as_int(params, "job_retry", 0),
                domain_key=str(uuid.uuid4()),
                scheduled_time=call.params["session_unixtime"],
            )
        )
        call.info(f"Started {engine} job id={job_id}:\n{statement}")
        job = _finished(call, client, job_id)
        store: Params = {"last_job_id": job_id, "last_job": {"id": job_id, "num_records": job["num_records"] or 0}}
        if not as_bool(params, "store_last_results", False):
            return Outcome(store={"td": store})
        store["last_results"] = _first_row(client, job)
        return Outcome(store={"td": store}, forget=("td.last_results",))


@contextlib.contextmanager
def _client(call: Call, params: Params) -> Iterator[tuple[tdclient.Client, str]]:
    """A client and the task's database. An answer of the API that is an error becomes a TaskFailedError."""
    secrets = call.machine.secrets
    database = secrets.get("td.database", optional_text(params, "database") or "").strip()
    if not database:
        raise DigError("Parameter 'database' is required but not set")
    apikey = secrets.get("td.apikey", "").strip()
    if not apikey:
        raise DigError(f"The 'td.apikey' secret is {'empty' if 'td.apikey' in secrets else 'missing'}")
    with tdclient.Client(apikey=apikey, endpoint=_endpoint(call, params), max_cumul_retry_delay=0) as client:
        try:
            yield client, database
        except errors.APIError as error:
            raise TaskFailedError(f"{error} (td client)") from None


def _endpoint(call: Call, params: Params) -> str:
    secrets = call.machine.secrets
    endpoint = secrets.get("td.endpoint", optional_text(params, "endpoint"))
    if endpoint is None:
        return call.machine.environ.get("TD_API_SERVER", "https://api.treasuredata.com")
    use_ssl = secrets["td.use_ssl"].lower() == "true" if "td.use_ssl" in secrets else as_bool(params, "use_ssl", True)
    # td-client asks for //v3/… without the slash.
    return f"{'https' if use_ssl else 'http'}://{endpoint.rstrip('/')}/"


def _query(call: Call, params: Params) -> str:
    command = params.get("_command")
    if command is None:
        return as_text(params, "query")
    if isinstance(command, dict):
        return as_text(command, "data")
    name = as_text(params, "_command")
    try:
        return fill(call.file(name).read_text(encoding="utf-8"), params)
    except TemplateError as error:
        raise DigError(f"{error} in {name}") from None
    except OSError as error:
        raise DigError(
            f"File not found: {name}" if isinstance(error, FileNotFoundError) else f"{error}: {name}"
        ) from None


def _engine(params: Params) -> str:
    engine = optional_text(params, "engine") or "presto"
    if engine not in _QUOTES:
        raise DigError(f"Unknown 'engine:' option (available options are: hive and presto): {engine}")
    return engine


def _statement(client: tdclient.Client, params: Params, query: str, database: str) -> str:
    engine = _engine(params)
    insert, create = optional_text(params, "insert_into"), optional_text(params, "create_table")
    if insert and create:
        raise DigError("Setting both insert_into and create_table is invalid")
    target = insert or create
    if target is None:
        return query
    if insert or engine == "hive":
        _create_table(client, *table(target, database))
    quote = _QUOTES[engine]
    name = ".".join(f"{quote}{part}{quote}" for part in target.split(".", 1))
    command = {
        ("presto", True): f"INSERT INTO {name}",
        ("presto", False): f"DROP TABLE IF EXISTS {name};\nCREATE TABLE {name} AS",
        ("hive", True): f"INSERT INTO TABLE {name}",
        ("hive", False): f"INSERT OVERWRITE TABLE {name}",
    }[engine, insert is not None]
    return _with_command(command, query)


def _with_command(command: str, query: str) -> str:
    """The query with the command at its `-- DIGDAG_INSERT_LINE`, else behind its first comments, else in front."""
    if _INSERT_LINE.search(query):
        return _INSERT_LINE.sub(lambda line: line[1] + command, query, count=1)
    header = _HEADER_COMMENT.search(query)
    return f"{header[1]}\n{command}\n{header[2]}" if header else f"{command}\n{query}"


def _comment(call: Call) -> str:
    facts = {
        "project_id": call.params["project_id"],
        "project_name": "default",
        "workflow_name": call.workflow,
        "session_id": call.params["session_id"],
        "attempt_id": call.params["attempt_id"],
        "task_name": call.name,
    }
    return "".join(f"-- {name}: {value}\n" for name, value in facts.items())


def _finished(call: Call, client: tdclient.Client, job_id: str) -> dict[str, Any]:
    wait = _FIRST_POLL
    while client.api.job_status(job_id) not in _FINISHED:
        call.machine.sleep(wait)
        wait = min(2 * wait, _LONGEST_POLL)
    job: dict[str, Any] = client.api.show_job(job_id)
    if job["status"] != "success":
        debug = job["debug"] or {}
        raise TaskFailedError(f"{debug.get('cmdout')}\n{debug.get('stderr')}")
    return job


def _first_row(client: tdclient.Client, job: dict[str, Any]) -> Params:
    names = [column[0] for column in job["hive_result_schema"] or []]
    try:
        rows: Any = client.api.job_result_format_each(job["job_id"], "msgpack")
        row: list[Any] = next(rows, [])
    except errors.NotFoundError:
        return {}  # an INSERT or CREATE has no result
    return dict(zip(names, row, strict=False))


def td_ddl(call: Call) -> Outcome:
    """`td_ddl>`: drop and create databases and tables, empty them (both in turn), rename tables, in digdag's order."""
    params = with_defaults(call.params, nested(call.params, "td"))
    with _client(call, params) as (client, database):
        renames = list(_renames(client, params, database))
        for key, verb, names, step in _steps(client, params, database):
            for name in names:
                call.info(f"{verb} TD {key} {'.'.join(name)}")
                step(*name)
        for (source_database, source), target in renames:
            call.info(f"Renaming TD table {source_database}.{source} -> {target}")
            _rename_table(client, source_database, source, target)
    return Outcome()


_Step = tuple[str, str, list[tuple[str, ...]], Callable[..., None]]


def _steps(client: tdclient.Client, params: Params, database: str) -> Iterator[_Step]:
    def databases(*keys: str) -> list[tuple[str, ...]]:
        return [(str(name),) for key in keys for name in parsed_list(params, key)]

    def listed(*keys: str) -> list[tuple[str, ...]]:
        return [name for key in keys for name in tables(params, key, database)]

    yield (
        "database",
        "Deleting",
        databases("drop_databases", "empty_databases"),
        lambda name: _delete_database(client, name),
    )
    yield (
        "database",
        "Creating",
        databases("create_databases", "empty_databases"),
        lambda name: _create_database(client, name),
    )
    yield "table", "Deleting", listed("drop_tables", "empty_tables"), lambda *name: _delete_table(client, *name)
    yield "table", "Creating", listed("create_tables", "empty_tables"), lambda *name: _create_table(client, *name)


def _renames(client: tdclient.Client, params: Params, database: str) -> Iterator[tuple[tuple[str, str], str]]:
    """What is to be renamed, from and to. Raises DigError for a source that does not exist."""
    for entry in parsed_list(params, "rename_tables"):
        if not isinstance(entry, dict) or set(entry) != {"from", "to"}:
            raise DigError(f"rename_tables takes entries of from and to, not {entry}")
        source, target = table(as_text(entry, "from"), database), str(required(entry, "to"))
        if "." in target:
            raise DigError("'to' option of rename_tables can't include database name")
        if source[1] not in client.api.list_tables(source[0]):
            raise DigError(f"Renaming table {'.'.join(source)} doesn't exist")
        yield source, target


def _create_database(client: tdclient.Client, name: str) -> None:
    with contextlib.suppress(errors.AlreadyExistsError):
        client.api.create_database(name)


def _delete_database(client: tdclient.Client, name: str) -> None:
    with contextlib.suppress(errors.NotFoundError):
        client.api.delete_database(name)


def _create_table(client: tdclient.Client, database: str, name: str) -> None:
    with contextlib.suppress(errors.AlreadyExistsError):
        client.api.create_log_table(database, name)


def _delete_table(client: tdclient.Client, database: str, name: str) -> None:
    with contextlib.suppress(errors.NotFoundError):
        client.api.delete_table(database, name)


def _rename_table(client: tdclient.Client, database: str, source: str, target: str) -> None:
    # td-client has no call for it; digdag's Java client posts this.
    path = create_url("/v3/table/rename/{db}/{source}/{target}", db=database, source=source, target=target)
    with client.api.post(path, {"overwrite": "true"}) as response:
        if response.status != 200:
            client.api.raise_error("Rename table failed", response, response.data)
