"""The emulator's own calls, under `/_test/`, for a test in another process."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.emulators.server import get_control, post_control
from tests.emulators.td.faults import Fault, JobFault
from tests.emulators.td.state import TreasureData


def control_routes(state: TreasureData) -> Iterable[web.RouteDef]:
    """POST faults and job_faults (one or a list), load and jobs; GET requests."""

    def load(values: dict[str, Any]) -> dict[str, str]:
        """`database`, `table` and one of `path` (.csv or .parquet), `rows` (objects), `select` (DuckDB's SQL)."""
        database, table = values["database"], values["table"]
        if "path" in values:
            state.warehouse.load_file(database, table, Path(values["path"]))
        else:
            state.create(database, table, values.get("select") or values["rows"])
        return {"database": database, "table": table}

    def add_job(values: dict[str, Any]) -> dict[str, str]:
        """The arguments of `TreasureData.add_job`, `path` as a string."""
        path = {"path": Path(values["path"])} if "path" in values else {}
        return {"job_id": state.add_job(**values | path)}

    return [
        post_control("/_test/faults", _fault_adder(Fault, state.faults.add)),
        post_control("/_test/job_faults", _fault_adder(JobFault, state.job_faults.add)),
        post_control("/_test/load", load),
        post_control("/_test/jobs", add_job),
        get_control("/_test/requests", lambda: [dataclasses.asdict(received) for received in state.requests]),
    ]


def _fault_adder(kind: Callable[..., Any], add: Callable[..., None]) -> Callable[[Any], dict[str, int]]:
    """Return a function that adds faults of a kind, from the fields of one or of a list."""

    def add_faults(values: Any) -> dict[str, int]:
        faults = [kind(**fields) for fields in (values if isinstance(values, list) else [values])]
        add(*faults)
        return {"added": len(faults)}

    return add_faults
