"""CPU and memory of whole exports, in multiples of a bare hash loop over the same e-mails."""

import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench.exporting import export
from tests.bench.measuring import Cost, format_table, measure_cost
from tests.bench.rows import opt_out_query, write_rows
from tests.bench.services import serve_both

_FLOOR = str(Path(__file__).with_name("hash_floor.py"))
# How often each is measured, alternately.
_TURNS = {100_000: 5, 1_000_000: 3, 10_000_000: 1}

_PLAIN = "**operator**, plain e-mails"
_ROWS = "**operator**, rows of three keys"
_OPTED_OUT = ", as many opted out"
# Half of the rows are people on the list, which is as long as the rows.
_SUPPRESS = {"suppress": "SELECT email FROM opt_outs"}
# The rows of each export, and its settings.
_COMPARED: dict[str, tuple[str, dict[str, Any]]] = {
    _PLAIN: ("plain", {}),
    "**operator**, hashed already": ("hashed", {}),
    _ROWS: ("keys", {"records": "rows"}),
    _PLAIN + _OPTED_OUT: ("plain", _SUPPRESS),
    _ROWS + _OPTED_OUT: ("keys", {"records": "rows", **_SUPPRESS}),
}
# Upper limits: multiples of the floor, and megabytes.
_TARGETS = {
    (_PLAIN, 1_000_000): "≤ 4.5 ×",
    (_PLAIN, 10_000_000): "≤ 3.5 ×, < 70 MB",
    (_ROWS, 10_000_000): "≤ 12 ×, < 100 MB",
    (_PLAIN + _OPTED_OUT, 10_000_000): "< 80 MB",
    (_ROWS + _OPTED_OUT, 1_000_000): "≤ 15 ×",
    (_ROWS + _OPTED_OUT, 10_000_000): "< 110 MB",
}


def measure(sizes: Sequence[int], *, say: Callable[[str], None]) -> str:
    """Return the medians for each number of rows, as Markdown. Raises RuntimeError if one fails or sends too little."""
    head = ("rows", "what", "CPU s", "× floor", "rows a CPU second", "peak MB", "target")
    return format_table(head, itertools.chain.from_iterable(_measure(size, say) for size in sizes))


def _measure(size: int, say: Callable[[str], None]) -> Iterator[Sequence[str]]:
    """Yield the line of each program."""
    costs: dict[str, list[Cost]] = {what: [] for what in _COMPARED}
    floors = []
    with tempfile.TemporaryDirectory() as folder:
        say(f"{size:,} rows: writing them")
        rows = write_rows(Path(folder), size)
        columns = {"plain": ["email"], "hashed": ["email"], "keys": ["email", "maid", "phone"]}
        jobs = {path: (size, columns[name]) for name, path in rows.files.items()}
        with serve_both(jobs, tables={"opt_outs": opt_out_query(size)}) as services:
            for turn in range(_TURNS[size]):
                for what, (name, settings) in _COMPARED.items():
                    say(f"{size:,} rows, turn {turn + 1} of {_TURNS[size]}: {what}")
                    job_id = services.jobs[str(rows.files[name])]
                    cost, found = export(services, job_id, requests_per_minute=100_000, **settings)
                    if found != rows.unique:
                        raise RuntimeError(f"{found} records were sent, and there are {rows.unique}")
                    costs[what].append(cost)
                    # In between, as the work done in a CPU second varies with the load of the machine.
                    floors.append(float(measure_cost([_FLOOR, str(rows.files["plain"])], {}).said))
    floor = size * statistics.median(floors)
    yield (f"{size:,}", "hash loop alone: the floor", f"{floor:.2f}", "1.0", f"{size / floor:,.0f}", "", "")
    for what, of_one in costs.items():
        cpu = statistics.median(cost.cpu for cost in of_one)
        peak = statistics.median(cost.peak for cost in of_one) / 1e6
        target = _TARGETS.get((what, size), "")
        yield (f"{size:,}", what, f"{cpu:.2f}", f"{cpu / floor:.1f}", f"{size / cpu:,.0f}", f"{peak:.0f}", target)
