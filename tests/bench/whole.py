"""Measures whole exports in real time: the operator, next to Pinterest's limits and to the same written by hand."""

import heapq
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.exporting import export
from tests.bench.measuring import format_table, measure_cost
from tests.bench.rows import write_rows
from tests.bench.services import serve_both

_BATCH = 10_000
_LATENCY = 0.3
_PER_MINUTE = 400
_MAX_IN_FLIGHT = 8
# Rows that somebody's own program still holds in memory.
_MOST_BY_HAND = 1_000_000
_BY_HAND = str(Path(__file__).with_name("by_hand.py"))


def measure(sizes: Sequence[int], *, say: Callable[[str], None]) -> str:
    """Export each number of plain e-mails; return the costs as Markdown.

    The limit is the least time that Pinterest's limits and eight in flight allow. Raises RuntimeError when a run fails
    or sends too little.
    """
    head = ["rows", "what", "requests", "CPU s", "peak MB", "wall s", "Pinterest's limit in s", "wall ÷ limit"]
    return format_table(head, itertools.chain.from_iterable(_measure(size, say) for size in sizes))


def _measure(size: int, say: Callable[[str], None]) -> Iterator[Sequence[str]]:
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(Path(folder), size)
        plain = rows.files["plain"]
        requests = -(-rows.unique // _BATCH)
        least = ideal_seconds(requests)
        switches = {"latency_seconds": _LATENCY, "limits": {"ads_write": _PER_MINUTE}}
        # Each has emulators of its own: their window of a minute would otherwise remember the run before.
        for what in ["**operator**", *(["by hand"] if size <= _MOST_BY_HAND else [])]:
            say(f"{size:,} rows, whole: {requests} requests at {_PER_MINUTE} a minute, {what}")
            with serve_both({plain: (size, ["email"])}, switches=switches) as services:
                job_id = services.jobs[str(plain)]
                if what == "by hand":
                    cost = measure_cost([_BY_HAND, job_id], services.environ)
                else:
                    cost, sent = export(services, job_id, requests_per_minute=_PER_MINUTE)
                    if sent != rows.unique:
                        raise RuntimeError(f"{sent} records were sent, of {rows.unique} people")
            peak = cost.peak / 1e6
            limit = (f"{least:.1f}", f"{cost.wall / least:.2f}")
            yield (f"{size:,}", what, f"{requests:,}", f"{cost.cpu:.2f}", f"{peak:.0f}", f"{cost.wall:.1f}", *limit)


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
