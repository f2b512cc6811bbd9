"""Runs statements on a Trino server, and reports the cost of each."""

import time
from dataclasses import dataclass
from typing import Any

import requests

_MILLISECONDS = 1000


class StatementFailedError(Exception):
    """Trino's own message."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`rows`: scanned; `peak`: bytes of memory; `cpu` and `wall` in seconds."""

    rows: int
    peak: int
    stages: int
    cpu: float
    wall: float


@dataclass(frozen=True, kw_only=True)
class StatementResult:
    """The rows of a statement by column name, its columns with their types, and its cost."""

    rows: list[dict[str, Any]]
    columns: tuple[tuple[str, str], ...]
    cost: Cost


def run(server: str, statement: str) -> StatementResult:
    """Run one statement to its end. Raises StatementFailedError."""
    headers = {"X-Trino-User": "test", "X-Trino-Catalog": "memory", "X-Trino-Schema": "default"}
    begin = time.monotonic()
    with requests.Session() as session:
        session.headers.update(headers)
        content = session.post(f"{server}/v1/statement", data=statement.encode(), timeout=60).json()
        columns: tuple[tuple[str, str], ...] = ()
        rows: list[dict[str, Any]] = []
        while True:
            columns = columns or tuple((column["name"], column["type"]) for column in content.get("columns", []))
            rows += [dict(zip([name for name, _ in columns], row, strict=True)) for row in content.get("data", [])]
            if "error" in content:
                raise StatementFailedError(content["error"]["message"])
            if "nextUri" not in content:
                break
            content = session.get(content["nextUri"], timeout=60).json()
    stats = content["stats"]
    return StatementResult(
        rows=rows,
        columns=columns,
        cost=Cost(
            rows=stats["processedRows"],
            peak=stats["peakMemoryBytes"],
            stages=count_stages(stats.get("rootStage")),
            cpu=stats["cpuTimeMillis"] / _MILLISECONDS,
            wall=time.monotonic() - begin,
        ),
    )


def count_stages(stage: dict[str, Any] | None) -> int:
    return 1 + sum(map(count_stages, stage["subStages"])) if stage else 0
