"""How much of the long campaigns and tables runs: a little of each for a quick answer, all of it for CI (`--all`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

Row = TypeVar("Row")

# Folders whose tests are tables of many rows, each of which is a whole run.
FOLDERS = ("tests/faults/", "tests/mirror/")
# Tests in a real browser take long, all of them.
BROWSER = "tests/browser/"
# Of a test or a row that runs only with `--all`.
campaign = pytest.mark.campaign
_runs_all = False


def add_option(parser: pytest.Parser) -> None:
    """Make `--all` known to pytest."""
    parser.addoption("--all", action="store_true", help="every row of the campaigns, and every example of hypothesis")


def configure(config: pytest.Config) -> None:
    """Must be called before test modules are imported: `examples` serves their decorators."""
    global _runs_all
    _runs_all = config.getoption("--all")


def amount(count: int, *, quick: int) -> int:
    """How long a run is, such as days of a mirror: `count`, or for a quick answer `quick`."""
    return count if _runs_all else quick


def examples(count: int) -> int:
    """How many examples hypothesis tries of a test that wants `count`."""
    return amount(count, quick=max(count // 20, 5))


def select_rows(rows: Sequence[Row], *, quick: int) -> Sequence[Row]:
    """The rows of a long table to run: all, or for a quick answer this many, spread over it."""
    return rows if _runs_all else rows[:: -(-len(rows) // quick)]


def split_items(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The items to run, and those to leave out: of a campaign's test the first row runs, of what takes long none."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    seen = set()
    for item in items:
        name = item.nodeid.split("[")[0]
        is_long = name.startswith(BROWSER) or item.get_closest_marker(campaign.name)
        is_left_out = is_long or (name.startswith(FOLDERS) and name in seen)
        (left_out if is_left_out else kept).append(item)
        seen.add(name)
    return kept, left_out
