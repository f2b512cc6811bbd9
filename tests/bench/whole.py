"""Measures whole exports in real time, next to the least time that Pinterest's limits allow."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measuring import format_table
from tests.bench.rows import write_rows
from tests.bench.sending import Run, export_at, ideal_seconds
from tests.bench.services import serve_both

_BATCH = 10_000
_LATENCY = 0.5
_PER_MINUTE = 400
_TARGETS = {10_000_000: "≤ 1.10"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """`wall` in seconds, from the start of the process to its end; `run` is what it sends."""

    rows: int
    run: Run
    wall: float


def measure(sizes: Sequence[int], *, say: Callable[[str], None]) -> list[Line]:
    """Export each number of plain e-mails. Raises RuntimeError when a run fails or sends too little."""
    return [_measure(size, say) for size in sizes]


def _measure(size: int, say: Callable[[str], None]) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(Path(folder), size)
        run = Run(batches=-(-rows.unique // _BATCH), latency=_LATENCY, per_minute=_PER_MINUTE)
        say(f"{size:,} rows, whole: {run.batches} requests at {_PER_MINUTE} a minute")
        with serve_both({rows.plain: (size, ["email"])}) as services:
            begin = time.monotonic()
            export_at(run, services, services.jobs[str(rows.plain)], batch=_BATCH, people=rows.unique)
            return Line(rows=size, run=run, wall=time.monotonic() - begin)


def table(lines: Sequence[Line]) -> str:
    """Return the lines as Markdown, with the least time that Pinterest's limits and eight in flight allow to send."""
    head = [
        "rows",
        "requests",
        "latency s",
        "writes a minute",
        "wall s",
        "Pinterest's limit in s",
        "wall ÷ limit",
        "target",
    ]
    return format_table(head, map(_cells, lines))


def _cells(line: Line) -> tuple[str, ...]:
    run = line.run
    least = ideal_seconds(line.run)
    return (
        f"{line.rows:,}",
        f"{run.batches:,}",
        f"{run.latency:g}",
        f"{run.per_minute:,}",
        f"{line.wall:.1f}",
        f"{least:.1f}",
        f"{line.wall / least:.2f}",
        _TARGETS.get(line.rows, ""),
    )
