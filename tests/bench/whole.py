"""Measures whole exports in real time: the operator, next to Pinterest's limits and to the same written by hand."""

import heapq
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.exporting import export
from tests.bench.measuring import Cost, format_table, measure_cost
from tests.bench.rows import write_rows
from tests.bench.services import serve_both

_BATCH = 10_000
_LATENCY = 0.3
_PER_MINUTE = 400
_MAX_IN_FLIGHT = 8
# Rows that somebody's own program still holds in memory.
_MOST_BY_HAND = 1_000_000
_BY_HAND = str(Path(__file__).with_name("by_hand.py"))


@dataclass(frozen=True, kw_only=True)
class Line:
    """What exported this number of rows in so many requests of records, and its cost."""

    rows: int
    what: str
    requests: int
    cost: Cost


def measure(sizes: Sequence[int], *, say: Callable[[str], None]) -> list[Line]:
    """Export each number of plain e-mails. Raises RuntimeError when a run fails or sends too little."""
    return [line for size in sizes for line in _measure(size, say)]


def _measure(size: int, say: Callable[[str], None]) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(Path(folder), size)
        requests = -(-rows.unique // _BATCH)
        # Each has emulators of its own: their window of a minute would otherwise remember the run before.
        for what in ["**operator**", *(["by hand"] if size <= _MOST_BY_HAND else [])]:
            say(f"{size:,} rows, whole: {requests} requests at {_PER_MINUTE} a minute, {what}")
            with serve_both({rows.plain: (size, ["email"])}) as services:
                services.set_switches({"latency_seconds": _LATENCY, "limits": {"ads_write": _PER_MINUTE}})
                job_id = services.jobs[str(rows.plain)]
                if what == "by hand":
                    cost = measure_cost([_BY_HAND, job_id], services.environ)
                else:
                    cost, stats = export(services, job_id, requests_per_minute=_PER_MINUTE)
                    if stats["records"]["sent"] != rows.unique:
                        raise RuntimeError(f"{stats['records']['sent']} records were sent, of {rows.unique} people")
                yield Line(rows=size, what=what, requests=requests, cost=cost)


def ideal_seconds(requests: int) -> float:
    """Return the wall time of an ideal sender, which is held up by nothing but latency, rate and requests in flight.

    One request may be under way at first, and one more with each answer.
    """
    under_way: list[float] = []  # when each will be answered
    left: list[float] = []
    now = 0.0
    size = 1
    for _ in range(requests):
        now = max(now, left[-_PER_MINUTE] + 60.0 if len(left) >= _PER_MINUTE else 0.0)
        while under_way and (under_way[0] <= now or len(under_way) >= size):
            now = max(now, heapq.heappop(under_way))
            size = min(_MAX_IN_FLIGHT, size + 1)
        left.append(now)
        heapq.heappush(under_way, now + _LATENCY)
    return max(under_way)


def table(lines: Sequence[Line]) -> str:
    """Return the lines as Markdown, with the least time that Pinterest's limits and eight in flight allow to send."""
    head = ["rows", "what", "requests", "CPU s", "peak MB", "wall s", "Pinterest's limit in s", "wall ÷ limit"]
    return format_table(head, map(_cells, lines))


def _cells(line: Line) -> tuple[str, ...]:
    least = ideal_seconds(line.requests)
    return (
        f"{line.rows:,}",
        line.what,
        f"{line.requests:,}",
        f"{line.cost.cpu:.2f}",
        f"{line.cost.peak / 1e6:.0f}",
        f"{line.cost.wall:.1f}",
        f"{least:.1f}",
        f"{line.cost.wall / least:.2f}",
    )
