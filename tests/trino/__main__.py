"""Runs days of the mirror and other queries on Trino, and checks the cost and the result of each statement."""

import argparse
import sys
from collections.abc import Mapping

from tests.trino.answers import differences
from tests.trino.client import Cost
from tests.trino.days import HASHING, Days
from tests.trino.engine import missing_requirement, run_engine

MOST_MEMORY, MOST_STAGES = 700_000_000, 25
# Times people, lists and ledger.
MOST_ROWS = 4
# Times the CPU time of hashing people and lists in the same hour, without lists and with them. A machine that is busy
# doubles either, so the margin is wide: rows and memory are what a change of the statements shows in first.
MOST_CPU = 3
MOST_CPU_WITHHOLDING = 4
MARGIN = 2
MOST_PLACES = 1
# Seconds that statements take with any number of people.
FIXED_CPU = 1


def main() -> None:
    """Print the measured days as Markdown; exit with 1 when a limit is exceeded or a result is wrong."""
    options = _options()
    if reason := missing_requirement():
        print(f"Skipped: {reason}.")
        return
    broken: list[str] = []
    with run_engine(heap=options.heap) as server:
        days = Days(server=server, people=options.people)
        days.begin()
        print("| day | ledger | statement | rows scanned | peak MB | stages | CPU s | s |")
        print("| --: | --: | --- | --: | --: | --: | --: | --: |")
        for number in range(1, max(options.days) + 1):
            costs = days.run().costs
            if number in options.days:
                _show(days, costs)
                broken += [f"day {number}: {what}" for what in find_broken_limits(days, costs)]
        # The day after, both lists and a control group withhold people.
        days.withholds = True
        costs = days.run().costs
        _show(days, costs)
        broken += [f"with lists: {what}" for what in find_broken_limits(days, costs)]
        found, expected = days.count_withheld()
        broken += [f"withheld are {found}, not {expected}"] if found != expected else []
        broken += [
            f"{name} reads a table {times} times" for name, times in days.places().items() if times > MOST_PLACES
        ]
        broken += differences(server)
    for what in broken:
        print(f"out of bounds: {what}")
    sys.exit(bool(broken))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/trino", description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000, help="how many, a multiple of 1,000 (a million)")
    parser.add_argument("--heap", type=int, default=7, help="GB of memory for the engine (7)")
    parser.add_argument("--days", type=int, nargs="+", default=[1, 30, 60], help="which to measure (1 30 60)")
    return parser.parse_args()


def _show(days: Days, costs: Mapping[str, Cost]) -> None:
    for name, cost in costs.items():
        print(
            f"| {days.day} | {days.ledger:,} | {name} | {cost.rows:,} | {cost.peak / 1e6:.0f} | {cost.stages} "
            f"| {cost.cpu:.1f} | {cost.wall:.1f} |",
            flush=True,
        )
    rows, cpu = sum_costs(costs)
    print(f"| {days.day} | {days.ledger:,} | all | {rows:,} | | | {cpu:.1f} | |", flush=True)


def sum_costs(costs: Mapping[str, Cost]) -> tuple[int, float]:
    """Return the scanned rows and the CPU seconds of a day."""
    of_day = [cost for name, cost in costs.items() if name != HASHING]
    return sum(cost.rows for cost in of_day), sum(cost.cpu for cost in of_day)


def find_broken_limits(days: Days, costs: Mapping[str, Cost]) -> list[str]:
    values = days.people + days.listed_values
    hashing = costs[HASHING].cpu * values / days.people
    most_cpu = MARGIN * ((MOST_CPU_WITHHOLDING if days.withholds else MOST_CPU) * hashing + FIXED_CPU)
    rows, cpu = sum_costs(costs)
    most = MOST_ROWS * (values + days.ledger)
    memory = MOST_MEMORY * max(days.people / 1_000_000, 1)
    return [
        *[f"{name} takes {cost.peak / 1e6:.0f} MB" for name, cost in costs.items() if cost.peak > memory],
        *[f"{name} has {cost.stages} stages" for name, cost in costs.items() if cost.stages > MOST_STAGES],
        *([f"{rows:,} rows are scanned, more than {most:,}"] if rows > most else []),
        *([f"{cpu:.1f} s of CPU time, more than {most_cpu:.1f}"] if cpu > most_cpu else []),
    ]


if __name__ == "__main__":
    main()
