"""Treasure Data's calls, as Python's td-client and digdag's Java client make them."""

import asyncio
import contextlib
import gzip
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from aiohttp import web

from tests.emulators.server import reset, serve
from tests.emulators.td.faults import Fault
from tests.emulators.td.jobs import description, summary, utc
from tests.emulators.td.output import Body
from tests.emulators.td.state import API_KEY, ReceivedRequest, TreasureData
from tests.emulators.td.warehouse import RefusedError
from tests.emulators.td.wire import answer, error, send, send_part

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The fault that the request in hand meets.
_met: ContextVar[Fault | None] = ContextVar("fault", default=None)

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
# How often a status looks whether its job has ended, and after how many real seconds again.
_LOOKS = 25
_LOOK = 0.002
_NUMBERS = ("priority", "retry_limit", "scheduled_time")
_CONNECTION = ("result_connection_id", "result_connection_settings")
_TEXTS = ("query", "version", "domain_key", "result", "pool_name", "engine_version", "table")
_ISSUE_FIELDS = frozenset((*_TEXTS, *_NUMBERS, *_CONNECTION))


def treasure_data_app(state: TreasureData) -> web.Application:
    """An application that serves `state`."""
    app = web.Application(middlewares=[_middleware(state)], client_max_size=16 * 1024**2)
    calls = _JobCalls(state)
    tables = _TableCalls(state)
    app.add_routes(
        [
            web.post("/v3/job/issue/{type}/{database}", calls.issue),
            web.get("/v3/job/status/{id}", calls.status),
            web.get("/v3/job/show/{id}", calls.show),
            web.get("/v3/job/result/{id}", calls.result),
            web.post("/v3/job/kill/{id}", calls.kill),
            web.get("/v3/database/list", tables.list_databases),
            web.get("/v3/table/list/{database}", tables.list_tables),
            web.post("/v3/table/delete/{database}/{table}", tables.delete_table),
        ]
    )
    return app


@contextlib.contextmanager
def serve_td(*, state: TreasureData | None = None) -> Iterator[tuple[TreasureData, str]]:
    """Serve an account on 127.0.0.1; yields it and the URL to put into `TD_API_SERVER`, which ends in a slash."""
    account = TreasureData() if state is None else state
    try:
        with serve(treasure_data_app(account)) as url:
            yield account, f"{url}/"
    finally:
        account.close()


def _middleware(state: TreasureData) -> Any:
    """Return what surrounds each call: the record of it, its fault, the check of its key, the service's refusal."""

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = state.faults.meet(lambda fault: fault.matches(request.method, request.path))
        _met.set(fault)
        state.requests.append(await _record(request, fault))
        if not state.switches.is_admitted:
            return error(403, f"The IP address {request.remote} is not in the allowlist of this account")
        return await (_call_with_fault(request, handler, fault) if fault else _call(request, handler))

    return gate


async def _call_with_fault(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    if fault.kind == "stall":
        await asyncio.Event().wait()
    if fault.kind == "reset":
        return reset(request)
    if fault.kind == "status":
        return _status(fault)
    response = await _call(request, handler)
    if fault.kind == "lost":
        return reset(request)
    if fault.kind == "cut" and isinstance(response, web.Response):
        content = bytes(response.body) if isinstance(response.body, (bytes, bytearray)) else b""
        body = Body(len(content), lambda start, stop: [content[start:stop]])
        headers = {"Content-Type": "application/json"}
        if encoding := response.headers.get("Content-Encoding"):
            headers["Content-Encoding"] = encoding
        part = slice(0, body.length)
        return await send(request, body, part=part, status=response.status, headers=headers, fault=fault)
    return response


def _status(fault: Fault) -> web.Response:
    if fault.body is None:
        return error(fault.status, "Made to fail by a test", headers=fault.headers)
    body = fault.body if isinstance(fault.body, bytes) else fault.body.encode()
    return web.Response(status=fault.status, headers=fault.headers, body=body)


async def _call(request: web.Request, handler: Handler) -> web.StreamResponse:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme != "TD1" or key != API_KEY:
        return error(401, "Authentication failed")
    if request.method == "POST" and request.body_exists and request.content_type not in _FORMS:
        return error(415, f"A POST carries a form, not {request.content_type}")
    try:
        return await handler(request)
    except RefusedError as refused:
        return error(refused.status, str(refused), details=refused.details)
    except web.HTTPException as wrong:
        return error(wrong.status, f"{wrong.reason}: {request.method} {request.path}")


async def _record(request: web.Request, fault: Fault | None) -> ReceivedRequest:
    form = await request.post() if request.method == "POST" and request.content_type in _FORMS else {}
    return ReceivedRequest(
        method=request.method,
        path=request.path,
        query=dict(request.query),
        headers={name: value for name, value in request.headers.items() if name.lower() != "authorization"},
        form={name: str(value) for name, value in form.items()},
        fault=fault.kind if fault else None,
    )


class _JobCalls:
    def __init__(self, state: TreasureData) -> None:
        self._state = state

    async def issue(self, request: web.Request) -> web.Response:
        fields = _issue_fields({name: str(value) for name, value in (await request.post()).items()})
        type_ = request.match_info["type"]
        database = request.match_info["database"]
        job = self._state.jobs.issue(type=type_, database=database, **fields)
        return answer({"job": job.id, "job_id": job.id, "database": database})

    async def status(self, request: web.Request) -> web.Response:
        job = self._state.job(request.match_info["id"])
        job.polls += 1
        if job.polls <= self._state.switches.queued_polls:
            return answer(summary(job) | {"status": "queued"})
        # Most jobs end within milliseconds: a client then need not ask again.
        for _ in range(_LOOKS):
            if job.finished:
                break
            await asyncio.sleep(_LOOK)
        return answer(summary(job, extra_records=self._state.claim_extra_records))

    async def show(self, request: web.Request) -> web.Response:
        job = self._state.job(request.match_info["id"])
        return answer(description(job, extra_records=self._state.claim_extra_records))

    async def result(self, request: web.Request) -> web.StreamResponse:
        job = self._state.job(request.match_info["id"])
        name = request.query.get("format", "tsv")
        if name not in ("msgpack", "msgpack.gz"):
            return error(400, f"Result format {name!r} is not supported by the emulator")
        if job.status != "success" or job.output is None:
            return error(404, f"Result of job {job.id} is not available")
        switches = self._state.switches
        if switches.download == "none":
            return error(403, "You do not have the permission to download the result")
        body = job.output.packed() if name == "msgpack.gz" else job.output.unpacked()
        if switches.download == "preview":
            body = job.output.preview(50)
        if switches.compresses_results:
            content = gzip.compress(b"".join(body.chunks(0, None)))
            return web.Response(body=content, headers={"Content-Encoding": "gzip"})
        fault = _met.get()
        in_body = fault if fault and fault.kind == "cut" else None
        return await send_part(request, body, fault=in_body)

    async def kill(self, request: web.Request) -> web.Response:
        job_id = request.match_info["id"]
        return answer({"job_id": job_id, "former_status": self._state.jobs.kill(job_id)})


class _TableCalls:
    """The calls for databases and tables, as `td_ddl>` and td-client make them."""

    def __init__(self, state: TreasureData) -> None:
        self._warehouse = state.warehouse
        self._switches = state.switches

    async def list_databases(self, request: web.Request) -> web.Response:
        databases: list[dict[str, object]] = [{"name": name} for name in self._warehouse.databases()]
        if request.query.get("require_permissions") == "true":
            edit = self._switches.edit
            permissions = {"query": True, "import": edit, "edit": edit, "delete": edit}
            permissions["download"] = self._switches.download == "all"
            databases = [each | {"database_permissions": permissions} for each in databases]
        return answer({"databases": databases})

    async def list_tables(self, request: web.Request) -> web.Response:
        name = request.match_info["database"]
        tables = [
            {"name": table.name, "schema": table.schema, "created_at": utc(table.created)}
            for table in self._warehouse.tables(name)
        ]
        return answer({"database": name, "tables": tables})

    async def delete_table(self, request: web.Request) -> web.Response:
        database = request.match_info["database"]
        table = request.match_info["table"]
        self._warehouse.drop_table(database, table)
        return answer({"database": database, "table": table, "type": "log"})


def _issue_fields(form: Mapping[str, str]) -> dict[str, Any]:
    """What a job keeps of the form; raises RefusedError (422) for a field that is missing, unknown or not a number."""
    if not form.get("query"):
        raise RefusedError(422, "Query can't be blank")
    if unknown := sorted(set(form) - _ISSUE_FIELDS):
        raise RefusedError(422, f"Unknown parameters: {', '.join(unknown)}")
    fields: dict[str, Any] = {name: form.get(name) for name in ("query", "domain_key")}
    for name in _NUMBERS:
        try:
            fields[name] = int(form.get(name, "0"))
        except ValueError:
            raise RefusedError(422, f"{name} must be a number") from None
    if not -2 <= fields["priority"] <= 2:
        raise RefusedError(422, "priority must be -2 to 2")
    if not 0 <= fields["retry_limit"] <= 32:
        raise RefusedError(422, "retry_limit must be 0 to 32")
    return fields
