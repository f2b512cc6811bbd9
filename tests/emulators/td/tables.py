"""The calls for databases and tables, as `td_ddl>` and td-client make them."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from tests.emulators.td.state import TreasureData
from tests.emulators.td.wire import answer, error

_EPOCH = "2015-02-09 11:44:25 UTC"


def table_routes(state: TreasureData) -> Iterable[web.AbstractRouteDef]:
    calls = _TableCalls(state)
    return [
        web.get("/v3/database/list", calls.list_databases),
        web.get("/v3/table/list/{database}", calls.list_tables),
        web.post("/v3/table/create/{database}/{table}/{type}", calls.create_table),
        web.post("/v3/table/delete/{database}/{table}", calls.delete_table),
    ]


class _TableCalls:
    def __init__(self, state: TreasureData) -> None:
        self._warehouse = state.warehouse

    async def list_databases(self, request: web.Request) -> web.Response:
        return answer({"databases": [self._database(name) for name in self._warehouse.databases()]})

    async def list_tables(self, request: web.Request) -> web.Response:
        name = request.match_info["database"]
        return answer({"database": name, "name": name, "tables": self._tables(name)})

    async def create_table(self, request: web.Request) -> web.Response:
        database, table = _names(request)
        if request.match_info["type"] != "log":
            return error(422, f"Table type {request.match_info['type']!r} is not supported")
        self._warehouse.create_table(database, table)
        return answer({"database": database, "table": table, "type": "log"})

    async def delete_table(self, request: web.Request) -> web.Response:
        database, table = _names(request)
        self._warehouse.drop_table(database, table)
        return answer({"database": database, "table": table, "type": "log"})

    def _database(self, name: str) -> dict[str, object]:
        rows = sum(table.rows for table in self._warehouse.tables(name))
        times = {"created_at": _EPOCH, "updated_at": _EPOCH}
        return {"name": name, "count": rows, "organization": None, "permission": "administrator"} | times

    def _tables(self, database: str) -> list[dict[str, object]]:
        return [
            {
                "id": number,
                "name": table.name,
                "type": "log",
                "schema": table.schema,
                "count": table.rows,
                "estimated_storage_size": 16 * table.rows,
                "last_log_timestamp": None,
                "counter_updated_at": _EPOCH,
                "expire_days": None,
                "delete_protected": False,
                "created_at": _EPOCH,
                "updated_at": _EPOCH,
            }
            for number, table in enumerate(self._warehouse.tables(database), start=1)
        ]


def _names(request: web.Request) -> tuple[str, str]:
    return request.match_info["database"], request.match_info["table"]
