"""Measures sending alone: its wall time next to the best that latency, rate and requests in flight allow."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.exporting import export
from tests.bench.measuring import format_table
from tests.bench.services import Services, serve_both

WINDOW = 60.0
# Few, so that CPU does not matter.
_RECORDS_IN_A_BATCH = 10


@dataclass(frozen=True, kw_only=True)
class Run:
    """The parameters of a measurement and its server. `latency` and `hold` in seconds.

    Every `throttled`-th request gets 429 at once (None: no request), with a wait of `hold`.
    """

    batches: int
    latency: float
    per_minute: int
    throttled: int | None = None
    hold: int = 1
    max_in_flight: int = 8
    target: float | None = None


RUNS = (
    Run(batches=200, latency=0.5, per_minute=400, target=1.05),
    Run(batches=200, latency=0.5, per_minute=400, throttled=20, target=1.3),
    Run(batches=400, latency=0.1, per_minute=100_000),
    Run(batches=150, latency=0.1, per_minute=120, target=1.05),
)


def ideal_seconds(run: Run) -> float:
    """Return the wall time of an ideal sender in seconds; a response takes exactly the latency.

    It is held up by nothing but this: one request may be under way at first, one more with each answer that comes,
    `max_in_flight` at last; no window of 60 s sees more than `per_minute` requests leave; after a 429
    none leaves for `hold`, and that request, which counted as one, has to be made again.
    """
    under_way: list[float] = []  # when each will be answered
    left: list[float] = []
    now = held_until = 0.0
    size = 1
    to_send = run.batches
    while to_send:
        window_opens = left[-run.per_minute] + WINDOW if len(left) >= run.per_minute else 0.0
        now = max(now, held_until, window_opens)
        while under_way and (under_way[0] <= now or len(under_way) >= size):
            now = max(now, heapq.heappop(under_way))
            size = min(run.max_in_flight, size + 1)
        left.append(now)
        if run.throttled and len(left) % run.throttled == 0:
            held_until = now + run.hold
        else:
            heapq.heappush(under_way, now + run.latency)
            to_send -= 1
    return max(under_way)


@dataclass(frozen=True, kw_only=True)
class Line:
    """`wall` in seconds; `busiest`: the most writes that arrived in any window of 60 s."""

    run: Run
    wall: float
    busiest: int


def measure(runs: Sequence[Run] = RUNS, *, say: Callable[[str], None]) -> list[Line]:
    """Send over sockets and in real time. Raises RuntimeError when a run fails or sends too little."""
    lines = []
    for run in runs:
        say(f"sending {run.batches} batches at {run.latency} s, {run.per_minute} a minute")
        lines.append(_measure(run))
    return lines


def _measure(run: Run) -> Line:
    people = [f"person{number}@shop.example" for number in range(run.batches * _RECORDS_IN_A_BATCH)]
    # Emulators of its own: their window of a minute would otherwise remember the run before.
    with serve_both() as services:
        if run.throttled:
            effect = {"type": "answer", "status": 429, "retry_after": run.hold}
            fault = {"effect": effect, "operation": "customer_lists/update", "every": run.throttled, "times": None}
            services.pinterest("/_test/faults", fault)
        stats = export_at(run, services, services.add_job(people), batch=_RECORDS_IN_A_BATCH, people=len(people))
        busiest = services.pinterest("/_test/requests")["most_writes_a_minute"]
    return Line(run=run, wall=stats["seconds"]["sending"], busiest=busiest)


def export_at(run: Run, services: Services, job_id: str, *, batch: int, people: int) -> dict[str, Any]:
    """Export a job with the limits of a run and `batch` records per request; return the statistics.

    Raises RuntimeError when it fails, or sends another number of records than there are different `people`.
    """
    services.pinterest("/_test/switches", {"latency_seconds": run.latency, "limits": {"ads_write": run.per_minute}})
    _, stats = export(
        services,
        job_id,
        limit_records_per_request=batch,
        requests_per_minute=run.per_minute,
        max_in_flight=run.max_in_flight,
    )
    if stats["records"]["sent"] != people:
        raise RuntimeError(f"{stats['records']['sent']} records were sent, and there are {people}")
    return stats


def table(lines: Sequence[Line]) -> str:
    """Return the lines as Markdown."""
    head = (
        "batches",
        "latency s",
        "writes a minute",
        "429",
        "wall s",
        "ideal s",
        "wall ÷ ideal",
        "target",
        "busiest minute",
    )
    return format_table(head, map(_cells, lines))


def _cells(line: Line) -> tuple[str, ...]:
    run = line.run
    ideal = ideal_seconds(line.run)
    return (
        str(run.batches),
        f"{run.latency:g}",
        f"{run.per_minute:,}",
        f"every {run.throttled}th, wait {run.hold} s" if run.throttled else "none",
        f"{line.wall:.1f}",
        f"{ideal:.1f}",
        f"{line.wall / ideal:.2f}",
        f"≤ {run.target:g}" if run.target else "",
        str(line.busiest),
    )
