"""DuckDB's types under the names that Trino and Treasure Data's tables have for them."""

from __future__ import annotations

import re

_TRINO = {
    "hugeint": "bigint",
    "ubigint": "bigint",
    "uinteger": "bigint",
    "usmallint": "integer",
    "utinyint": "smallint",
    "float": "real",
    "blob": "varbinary",
    '"null"': "unknown",
    "timestamp_s": "timestamp(0)",
    "timestamp_ms": "timestamp(3)",
    "timestamp": "timestamp(3)",
    "timestamp_ns": "timestamp(9)",
    "timestamp with time zone": "timestamp(3) with time zone",
}
_TABLE = {"boolean": "int", "tinyint": "int", "smallint": "int", "integer": "int", "bigint": "long", "double": "double"}


def trino_type(duckdb_type: str) -> str:
    """`VARCHAR` → `varchar`, `INTEGER[]` → `array(integer)`, `MAP(VARCHAR, BIGINT)` → `map(varchar, bigint)`."""
    name = duckdb_type.lower()
    if name.endswith("]"):
        return f"array({trino_type(name[: name.rindex('[')])})"
    if match := re.fullmatch(r"map\((\w+), (.+)\)", name):
        return f"map({trino_type(match[1])}, {trino_type(match[2])})"
    if name.startswith("struct("):
        return f"row({name.removeprefix('struct(')}"
    return _TRINO.get(name, name)


def table_type(duckdb_type: str) -> str:
    """The type of a column of a Treasure Data table: string, int, long, double, array<…>."""
    name = trino_type(duckdb_type)
    if match := re.fullmatch(r"array\((.+)\)", name):
        return f"array<{table_type(match[1])}>"
    return _TABLE.get(name, "string")
