"""Whole exports in real time, beside the least time in which Pinterest's own limits let their requests pass."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rows import write_rows
from tests.bench.sending import Run, export_at, ideal_seconds
from tests.bench.services import serving

_BATCH = 10_000
_LATENCY, _PER_MINUTE = 0.5, 400
_TARGETS = {10_000_000: "≤ 1.10"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`wall` in seconds, from the start of the process to its end; `run` is what it sends."""

    rows: int
    run: Run
    wall: float

    @property
    def least(self) -> float:
        """The seconds that the sending alone takes when nothing but Pinterest and the eight in flight hold it up."""
        return ideal_seconds(self.run)


def measure(sizes: Sequence[int], *, say: Callable[[str], None]) -> list[Line]:
    """Export each number of plain e-mails. Raises RuntimeError when a run fails or sends too little."""
    return [_measure(size, say) for size in sizes]


def _measure(size: int, say: Callable[[str], None]) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(Path(folder), size)
        run = Run(batches=-(-rows.unique // _BATCH), latency=_LATENCY, per_minute=_PER_MINUTE)
        say(f"{size:,} rows, whole: {run.batches} requests at {_PER_MINUTE} a minute")
        with serving({rows.plain: (size, ["email"])}) as services:
            begin = time.monotonic()
            export_at(run, services, services.jobs[str(rows.plain)], batch=_BATCH, people=rows.unique)
            return Line(rows=size, run=run, wall=time.monotonic() - begin)


def table(lines: Sequence[Line]) -> str:
    """The lines as Markdown."""
    head = "| rows | requests | latency s | writes a minute | wall s | Pinterest's limit, s | wall ÷ limit | target |"
    rows = [
        f"| {line.rows:,} | {line.run.batches:,} | {line.run.latency:g} | {line.run.per_minute:,} | {line.wall:.1f} "
        f"| {line.least:.1f} | {line.wall / line.least:.2f} "
        f"| {_TARGETS.get(line.rows, '')} |"
        for line in lines
    ]
    return "\n".join([head, f"|{' --: |' * 8}", *rows])
