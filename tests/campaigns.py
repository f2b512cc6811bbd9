"""Selects how much of long tests and tables runs: a part for a quick result, all for CI (`--all`)."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest

Row = TypeVar("Row")

# Folders whose tests are tables of many rows, each of which is a whole run.
FOLDERS = ("tests/faults/", "tests/mirror/")
# The tests of these cover the package.
MEASURED = (
    "tests/unit/",
    "tests/e2e/",
    "tests/mirror/test_erasure.py",
    "tests/mirror/test_mirror.py",
    "tests/mirror/test_overtaking.py",
)
# All tests in a real browser take long; importing what they need takes long, too.
BROWSER = "tests/browser"
# Marks a test or a row that runs only with `--all`.
campaign = pytest.mark.campaign
_runs_all = False


def add_option(parser: pytest.Parser) -> None:
    """Make `--all` and `--digdag` known to pytest."""
    parser.addoption("--all", action="store_true", help="every row of the campaigns, and every example of hypothesis")
    parser.addoption("--digdag", action="store_true", help="also the tests that need a digdag command on the PATH")


def configure(config: pytest.Config) -> None:
    """Read the options. Must be called before test modules are imported, as their decorators call `examples`."""
    global _runs_all
    _runs_all = config.getoption("--all")


def amount(count: int, *, quick: int) -> int:
    """Return the length of a run, such as days of a mirror: `count`, or `quick` without `--all`."""
    return count if _runs_all else quick


def examples(count: int) -> int:
    """Return the number of hypothesis examples of a test that should have `count`."""
    return amount(count, quick=max(count // 40, 5))


def select_rows(rows: Sequence[Row], *, quick: int) -> Sequence[Row]:
    """Return the rows of a long table to run: all, or without `--all` this many, spread over it."""
    return rows if _runs_all else rows[:: -(-len(rows) // quick)]


def is_ignored(path: Path) -> bool:
    """Return whether nothing in this folder is to be collected."""
    return not _runs_all and path == Path(__file__).parent.parent / BROWSER


def split_items(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Return the items to run without `--all`, the first row of each long table, and those to leave out."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    seen = set()
    for item in items:
        name = item.nodeid.split("[")[0]
        is_left_out = item.get_closest_marker(campaign.name) or (name.startswith(FOLDERS) and name in seen)
        (left_out if is_left_out else kept).append(item)
        seen.add(name)
    return kept, left_out


def skip_digdag(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Skip the tests of the real engine, which take minutes, unless they are asked for and there is one."""
    if not (_runs_all or config.getoption("--digdag")):
        reason = "runs with --all or --digdag, where a digdag command is on the PATH"
    elif not shutil.which("digdag"):
        reason = "there is no digdag command on the PATH"
    else:
        return
    for item in items:
        if item.get_closest_marker("digdag"):
            item.add_marker(pytest.mark.skip(reason))


def leave_unmeasured(items: Sequence[pytest.Item]) -> None:
    """Measure no coverage in tests that repeat the code of quicker ones, since measuring doubles their time.

    These are those of other folders, what only `--all` runs, and the tests of many random examples.
    """
    left_out = set(split_items(items)[1])
    for item in items:
        is_random = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if not item.nodeid.startswith(MEASURED) or item in left_out or is_random:
            item.add_marker("no_cover")
