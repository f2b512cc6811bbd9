"""`td>` and `td_ddl>`: queries and tables over the Treasure Data API, through td-client.

Sources: digdag-standards, operator/td/TdOperatorFactory.java, TdDdlOperatorFactory.java. Unlike digdag, an endpoint
that neither the parameters nor a secret name comes from TD_API_SERVER, and a refused connection is not retried.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import tdclient
from tdclient import errors

from .config import DigError, JobFailedError, Params, ServiceError, Whole, as_bool, as_text, mapping_at
from .operators import Call, Outcome
from .template import fill

# At DEBUG td-client logs every request with the API key in it.
logging.getLogger("tdclient").setLevel(logging.INFO)

_POLL = 0.2  # seconds


def td(call: Call) -> Outcome:
    """`td>`: run a query; store `td.last_job_id`, `td.last_job`, with `store_last_results` also `td.last_results`."""
    with _client(call) as (client, options):
        job_id = _issue(call, client, options)
        job = _wait_for_job(call, client, job_id)
        store: Params = {"last_job_id": job_id, "last_job": {"id": job_id, "num_records": job["num_records"] or 0}}
        if as_bool(options, "store_last_results"):
            store["last_results"] = Whole(_first_row(client, job))
    return Outcome(store={"td": store})


def _issue(call: Call, client: tdclient.Client, options: Params) -> str:
    create = ""
    if name := options.get("create_table"):
        quoted = ".".join(f'"{part}"' for part in str(name).split(".", 1))
        create = f"DROP TABLE IF EXISTS {quoted};\nCREATE TABLE {quoted} AS\n"
    statement = query_header(call) + create + _query(call)
    issue: Any = client.api.query  # typed with literals; here the workflow gives the values
    time = call.params["session_unixtime"]
    job_id = str(issue(statement, type=options.get("engine", "presto"), db=options["database"], scheduled_time=time))
    call.machine.log(f"[INFO] ({call.name}): job {job_id}:\n{statement}\n")
    return job_id


def td_ddl(call: Call) -> Outcome:
    """`td_ddl>`: drop tables."""
    with _client(call) as (client, options):
        tables = options.get("drop_tables", [])
        if not isinstance(tables, list):
            raise DigError("Parameter 'drop_tables' must be an array")
        for name in tables:
            with contextlib.suppress(errors.NotFoundError):
                client.api.delete_table(*split_table_name(name, options))
    return Outcome()


@contextlib.contextmanager
def _client(call: Call) -> Iterator[tuple[tdclient.Client, Params]]:
    """A client, and the task's options: its parameters over `td:`, below the secrets. Errors of the API: DigError."""
    secrets = {name.removeprefix("td."): value for name, value in call.machine.secrets.items() if name[:3] == "td."}
    options = {**mapping_at(call.params, "td"), **call.params, **secrets}
    if not secrets.get("apikey", "").strip():
        raise DigError("The 'td.apikey' secret is missing or empty")
    if not options.get("database"):
        raise DigError("Parameter 'database' is required but not set")
    endpoint = call.machine.environ.get("TD_API_SERVER", "https://api.treasuredata.com")
    if options.get("endpoint"):
        # td-client asks for //v3/… without the slash.
        endpoint = f"{'https' if as_bool(options, 'use_ssl', True) else 'http'}://{options['endpoint'].rstrip('/')}/"
    with tdclient.Client(apikey=secrets["apikey"].strip(), endpoint=endpoint, max_cumul_retry_delay=0) as client:
        try:
            yield client, options
        except errors.APIError as error:
            raise ServiceError(str(error)) from None


def query_header(call: Call) -> str:
    """Return the comment lines with which digdag begins every job's query."""
    session = call.params
    workflow = call.name.split("+")[1].split("^")[0]
    return (
        f"-- project_id: {session['project_id']}\n-- project_name: default\n-- workflow_name: {workflow}\n"
        f"-- session_id: {session['session_id']}\n-- attempt_id: {session['attempt_id']}\n-- task_name: {call.name}\n"
    )


def _query(call: Call) -> str:
    """Return the query of a task: `{data: …}`, or the template in a file of the project."""
    command = call.params["_command"]
    if isinstance(command, dict):
        return as_text(command, "data")
    name = as_text(call.params, "_command")
    try:
        file = (call.machine.project / name).resolve()
        # A push archives nothing outside the project.
        file.relative_to(call.machine.project.resolve())
        return fill(file.read_text(encoding="utf-8"), call.params)
    except DigError as error:
        raise DigError(f"{error} in {name}") from None
    except (OSError, ValueError) as error:
        raise DigError(f"{name}: {error}") from None


def _wait_for_job(call: Call, client: tdclient.Client, job_id: str) -> dict[str, Any]:
    while client.api.job_status(job_id) not in ("success", "error", "killed"):
        call.machine.sleep(_POLL)
    job: dict[str, Any] = client.api.show_job(job_id)
    if job["status"] != "success":
        debug = job["debug"] or {}
        raise JobFailedError(f"{debug.get('cmdout')}\n{debug.get('stderr')}")
    return job


def _first_row(client: tdclient.Client, job: dict[str, Any]) -> Params:
    names = [column[0] for column in job["hive_result_schema"] or []]
    try:
        rows: Any = client.api.job_result_format_each(job["job_id"], "msgpack")
        return dict(zip(names, next(rows, []), strict=False))
    except errors.NotFoundError:
        return {}  # a CREATE has no result


def split_table_name(name: object, options: Params) -> tuple[str, str]:
    """`name` or `database.name` as (database, table)."""
    head, dot, tail = str(name).partition(".")
    return (head, tail) if dot else (options["database"], head)
