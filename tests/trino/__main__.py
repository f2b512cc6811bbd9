"""Runs days of the mirror and other queries on Trino, and checks the cost and the result of each statement."""

import argparse
import sys
from collections.abc import Mapping

from tests.mirror.days import COMPACTION
from tests.mirror.model import Model
from tests.trino.answers import differences
from tests.trino.client import Cost, run
from tests.trino.days import LEDGER, Days
from tests.trino.emulated import trino_world
from tests.trino.engine import missing_requirement, run_engine

MOST_MEMORY = 700_000_000
MOST_STAGES = 25
# Times people, lists and ledger, on a day without compaction and refusals.
MOST_ROWS = 4
ADDED_BY_REFUSALS = ("note whom Pinterest refused", "count them")
MOST_PLACES = 1


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
        last = days.run()
        _show(days, last.costs)
        broken += [f"with lists: {what}" for what in find_broken_limits(days, last.costs)]
        found, expected = days.count_withheld()
        broken += [f"withheld are {found}, not {expected}"] if found != expected else []
        broken += [f"{name} reads a table {times} times" for name, times in last.places.items() if times > MOST_PLACES]
        broken += differences(server)
        run_random_days(server, options.random_days)
    for what in broken:
        print(f"out of bounds: {what}")
    sys.exit(bool(broken))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/trino", description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000, help="how many, a multiple of 1,000 (a million)")
    parser.add_argument("--heap", type=int, default=7, help="GB of memory for the engine (7)")
    parser.add_argument("--days", type=int, nargs="+", default=[1, 30, 60], help="which to measure (1 30 60)")
    parser.add_argument("--random-days", type=int, default=100, help="days of the mirror's model (100)")
    return parser.parse_args()


def run_random_days(server: str, count: int) -> None:
    """Run random days of the mirror's model. Raises AssertionError if the audience or the ledger is wrong."""
    run(server, f"DROP TABLE IF EXISTS {LEDGER}")
    with trino_world(server) as world:
        model = Model(world=world, seed=1)
        model.run_days(count)
    print(
        f"{count} random days: {model.complete} compared, {model.in_stop_mode} in stop mode with refused records, "
        f"{model.unanswered} without an answer, {model.deaths} crashes, {model.met} with two sessions"
    )


def _show(days: Days, costs: Mapping[str, Cost]) -> None:
    for name, cost in costs.items():
        print(
            f"| {days.day} | {days.ledger:,} | {name} | {cost.rows:,} | {cost.peak / 1e6:.0f} | {cost.stages} "
            f"| {cost.cpu:.1f} | {cost.wall:.1f} |",
            flush=True,
        )
    rows = sum(cost.rows for cost in costs.values())
    cpu = sum(cost.cpu for cost in costs.values())
    print(f"| {days.day} | {days.ledger:,} | all | {rows:,} | | | {cpu:.1f} | |", flush=True)


def find_broken_limits(days: Days, costs: Mapping[str, Cost]) -> list[str]:
    """Return what exceeds a limit. CPU time is only shown: it depends on what else the machine does."""
    # A compaction leaves a small ledger: the state is read from the large one.
    rows = sum(cost.rows for name, cost in costs.items() if name not in (*COMPACTION, *ADDED_BY_REFUSALS))
    ledger = max(costs["read the state of the ledger"].rows, days.ledger)
    most = MOST_ROWS * (days.people + days.listed_values + ledger)
    memory = MOST_MEMORY * max(days.people / 1_000_000, 1)
    return [
        *[f"{name} takes {cost.peak / 1e6:.0f} MB" for name, cost in costs.items() if cost.peak > memory],
        *[f"{name} has {cost.stages} stages" for name, cost in costs.items() if cost.stages > MOST_STAGES],
        *([f"{rows:,} rows are scanned, more than {most:,}"] if rows > most else []),
    ]


if __name__ == "__main__":
    main()
