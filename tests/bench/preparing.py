"""CPU and memory of whole exports, in multiples of a bare hash loop over the same e-mails."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.exporting import export
from tests.bench.measuring import Cost, format_table, measure_cost
from tests.bench.rows import Rows, opt_out_query, write_rows
from tests.bench.services import DATABASE, Services, serve_both

_HERE = Path(__file__).parent
# How often each is measured, alternately.
_TURNS = {100_000: 5, 1_000_000: 3, 10_000_000: 1}
# How many values each measurement hashes at least and at most.
_LEAST_HASHED = 500_000
_MOST_HASHED = 1_000_000

_Measured = Callable[[Services, Rows], Cost]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement, and the CPU seconds that the hash loop took for each value just before and after it.

    The work done in a CPU second varies with the load of the machine.
    """

    cost: Cost
    floor: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the table: medians. `cpu` in seconds, `ratio` to the floor, `peak` in MB (None: not its own)."""

    rows: int
    what: str
    cpu: float
    ratio: float
    peak: float | None = None
    target: str = ""


def measure(sizes: Sequence[int], *, say: Callable[[str], None]) -> list[Line]:
    """Measure everything at each number of rows. Raises RuntimeError when one of them fails or sends too little."""
    return [line for size in sizes for line in _lines(size, _samples(size, say))]


def _samples(size: int, say: Callable[[str], None]) -> dict[str, list[Sample]]:
    """Return the measurements of each program."""
    samples: dict[str, list[Sample]] = {what: [] for what in _COMPARED}
    with tempfile.TemporaryDirectory() as folder:
        say(f"{size:,} rows: writing them")
        rows = write_rows(Path(folder), size)
        results: dict[Path, Sequence[str]] = dict.fromkeys((rows.plain, rows.hashed), ("email",))
        results[rows.keys] = ("email", "maid", "phone")
        tables = {"opt_outs": opt_out_query(size)}
        with serve_both({path: (size, columns) for path, columns in results.items()}, tables=tables) as services:
            floor = _floor(rows)
            for turn in range(_TURNS[size]):
                for what, measured in _COMPARED.items():
                    say(f"{size:,} rows, turn {turn + 1} of {_TURNS[size]}: {what}")
                    cost = measured(services, rows)
                    before = floor
                    floor = _floor(rows)
                    samples[what].append(Sample(cost=cost, floor=(before + floor) / 2))
    return samples


def _floor(rows: Rows) -> float:
    arguments = [str(_HERE / "hash_floor.py"), str(rows.plain), str(_LEAST_HASHED), str(_MOST_HASHED)]
    return float(measure_cost(arguments, {}).said)


def _lines(size: int, samples: Mapping[str, Sequence[Sample]]) -> Iterator[Line]:
    floor = statistics.median(sample.floor for of_one in samples.values() for sample in of_one)
    yield Line(rows=size, what="hash loop alone: the floor", cpu=size * floor, ratio=1.0)
    for what, of_one in samples.items():
        yield Line(
            rows=size,
            what=what,
            cpu=statistics.median(sample.cost.cpu for sample in of_one),
            ratio=statistics.median(sample.cost.cpu / (size * sample.floor) for sample in of_one),
            peak=statistics.median(sample.cost.peak for sample in of_one) / 1e6,
            target=_TARGETS.get((what, size), ""),
        )


def _operator(
    services: Services, result: Path, unique: int, *, params: Mapping[str, Any] | None = None, **settings: Any
) -> Cost:
    job_id = services.jobs[str(result)]
    cost, stats = export(services, job_id, params=params, requests_per_minute=100_000, **settings)
    sent = stats["records"]["sent"] + stats["records"]["withheld"]["suppressed"]
    if sent != unique:
        raise RuntimeError(f"{sent} records were sent, and there are {unique}")
    return cost


_PLAIN = "**operator**, plain e-mails"
_ROWS = "**operator**, rows of three keys"
_OPTED_OUT = ", as many opted out"
# Half of the rows are people on the list, which is as long as the rows.
_DATABASE = {"database": DATABASE}
_SUPPRESS = "SELECT email FROM opt_outs"
_COMPARED: dict[str, _Measured] = {
    _PLAIN: lambda services, rows: _operator(services, rows.plain, rows.unique),
    "**operator**, hashed already": lambda services, rows: _operator(services, rows.hashed, rows.unique),
    _ROWS: lambda services, rows: _operator(services, rows.keys, rows.unique, records="rows"),
    _PLAIN + _OPTED_OUT: lambda services, rows: _operator(
        services, rows.plain, rows.unique, params=_DATABASE, suppress=_SUPPRESS
    ),
    _ROWS + _OPTED_OUT: lambda services, rows: _operator(
        services, rows.keys, rows.unique, params=_DATABASE, suppress=_SUPPRESS, records="rows"
    ),
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


def table(lines: Sequence[Line]) -> str:
    """Return the lines as Markdown."""
    head = ("rows", "what", "CPU s", "× floor", "rows a CPU second", "peak MB", "target")
    return format_table(head, map(_cells, lines))


def _cells(line: Line) -> tuple[str, ...]:
    return (
        f"{line.rows:,}",
        line.what,
        f"{line.cpu:.2f}",
        f"{line.ratio:.1f}",
        f"{line.rows / line.cpu:,.0f}",
        "" if line.peak is None else f"{line.peak:.0f}",
        line.target,
    )
