"""The emulator's own calls, under `/_test/`, for a test in another process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.emulators.td.faults import Fault, JobFault
from tests.emulators.td.state import TreasureData


def control_routes(state: TreasureData) -> Iterable[web.AbstractRouteDef]:
    """POST faults, job_faults (one or a list), POST load and jobs, GET requests."""
    calls = _Controls(state)
    return [
        web.post("/_test/faults", calls.add_faults),
        web.post("/_test/job_faults", calls.add_job_faults),
        web.post("/_test/load", calls.load),
        web.post("/_test/jobs", calls.add_job),
        web.get("/_test/requests", calls.list_requests),
    ]


class _Controls:
    def __init__(self, state: TreasureData) -> None:
        self._state = state

    async def add_faults(self, request: web.Request) -> web.Response:
        """A `Fault` as JSON, or a list of them."""
        return await _added(request, Fault, self._state.faults.add)

    async def add_job_faults(self, request: web.Request) -> web.Response:
        """A `JobFault` as JSON, or a list of them."""
        return await _added(request, JobFault, self._state.job_faults.add)

    async def load(self, request: web.Request) -> web.Response:
        """`database`, `table` and one of `path` (.csv or .parquet), `rows` (objects), `select` (DuckDB's SQL)."""
        payload: dict[str, Any] = await request.json()
        database, table = payload["database"], payload["table"]
        if "path" in payload:
            self._state.warehouse.load_file(database, table, Path(payload["path"]))
        else:
            self._state.create(database, table, payload.get("select") or payload["rows"])
        return web.json_response({"database": database, "table": table})

    async def add_job(self, request: web.Request) -> web.Response:
        """The arguments of `TreasureData.add_job`, `path` as a string; answers with `job_id`."""
        payload: dict[str, Any] = await request.json()
        if "path" in payload:
            payload["path"] = Path(payload["path"])
        return web.json_response({"job_id": self._state.add_job(**payload)})

    async def list_requests(self, request: web.Request) -> web.Response:
        return web.json_response([dataclasses.asdict(received) for received in self._state.requests])


async def _added(request: web.Request, kind: Callable[..., Any], add: Callable[..., None]) -> web.Response:
    """Add faults of a kind from their fields as JSON; 400 for a field or a value that makes no sense."""
    payload = await request.json()
    try:
        faults = [kind(**fields) for fields in (payload if isinstance(payload, list) else [payload])]
    except (TypeError, ValueError) as wrong:
        return web.json_response({"error": str(wrong)}, status=400)
    add(*faults)
    return web.json_response({"added": len(faults)})
