"""The emulator's own calls, under `/_test/`, for a test in another process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.emulators.server import control, shown
from tests.emulators.td.faults import Fault, JobFault
from tests.emulators.td.state import TreasureData


def control_routes(state: TreasureData) -> Iterable[web.RouteDef]:
    """POST faults and job_faults (one or a list), load and jobs; GET requests."""

    def load(given: dict[str, Any]) -> dict[str, str]:
        """`database`, `table` and one of `path` (.csv or .parquet), `rows` (objects), `select` (DuckDB's SQL)."""
        database, table = given["database"], given["table"]
        if "path" in given:
            state.warehouse.load_file(database, table, Path(given["path"]))
        else:
            state.create(database, table, given.get("select") or given["rows"])
        return {"database": database, "table": table}

    def add_job(given: dict[str, Any]) -> dict[str, str]:
        """The arguments of `TreasureData.add_job`, `path` as a string."""
        path = {"path": Path(given["path"])} if "path" in given else {}
        return {"job_id": state.add_job(**given | path)}

    return [
        control("/_test/faults", _adding(Fault, state.faults.add)),
        control("/_test/job_faults", _adding(JobFault, state.job_faults.add)),
        control("/_test/load", load),
        control("/_test/jobs", add_job),
        shown("/_test/requests", lambda: [dataclasses.asdict(received) for received in state.requests]),
    ]


def _adding(kind: Callable[..., Any], add: Callable[..., None]) -> Callable[[Any], dict[str, int]]:
    """Adds faults of a kind from their fields, of one or of a list."""

    def adding(given: Any) -> dict[str, int]:
        faults = [kind(**fields) for fields in (given if isinstance(given, list) else [given])]
        add(*faults)
        return {"added": len(faults)}

    return adding
