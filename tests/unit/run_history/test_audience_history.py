"""What rows of the history say of the audiences: decided in Python, read by SQL that DuckDB runs in place of Trino."""

from typing import Any

import pytest

from td_pinterest_op.run_history.history_table import (
    build_history_query,
    find_known_member_count,
    find_last_matched_size,
)
from tests.unit.run_history.conftest import TABLE, Warehouse

SEEN = {"kind": "follow-up", "outcome": "success", "audience_status": "READY"}
OF_RUN: dict[str, Any] = {
    "kind": "run",
    "outcome": "success",
    "workflow": "pinterest_export",
    "audience_id": "12",
    "customer_list_id": "77",
    "requests_sent": 2,
}
CREATE = {"action": "create_new_audience", "members": 90}
REPLACE = {"action": "replace_current_audience", "members": 80}
CLEAR = {"action": "clear_current_audience", "members": 0}
MIRROR = {"action": "mirror_current_audience", "members": 95}
ADD = {"action": "add_people_to_current_audience"}
FAILED = {"outcome": "failed", "members": None}
NOTHING = {"requests_sent": 0}
DRY = {"is_dry_run": 1, "members": None}
OTHERS = {"audience_id": "13", "customer_list_id": "78"}
# What is known of a run that was killed, at least.
KILLED: dict[str, Any] = {**FAILED, "audience_id": None, "customer_list_id": None, "requests_sent": None}
ERASE: dict[str, Any] = {"action": "erase", "audience_id": None, "customer_list_id": None}
# Runs, the last one last, and how many records are then known to be in list 77 of audience 12.
RUNS: list[tuple[list[dict[str, Any]], int | None]] = [
    ([], None),
    ([CREATE], 90),
    ([REPLACE], 80),
    ([CLEAR], 0),
    ([MIRROR], 95),
    ([CREATE, REPLACE], 80),
    ([ADD], None),
    ([CREATE, ADD], None),
    ([ADD, REPLACE], 80),
    ([ADD | FAILED, MIRROR], 95),
    # An earlier version, or `if_exists: add`, does not tell.
    ([CREATE | {"members": None}], None),
    # A failure may have sent a part.
    ([CREATE, ADD | FAILED], None),
    ([CREATE, REPLACE | FAILED], None),
    ([MIRROR, MIRROR | {"outcome": "failed"}], None),
    ([CREATE | {"time": 1}, ADD | FAILED | {"time": 1}], None),
    # Nothing was written, or to another list.
    ([CREATE, ADD | NOTHING], 90),
    ([CREATE, REPLACE | DRY], 90),
    ([CREATE, ADD | {"dry_run": "true"}], 90),
    ([CREATE, ADD | OTHERS], 90),
    ([CREATE, REPLACE | {"customer_list_id": "79"}], 90),
    # Another audience has the same list; the list is not known; the audience is neither.
    ([CREATE, ADD | {"audience_id": "13"}], None),
    ([CREATE, ADD | FAILED | {"customer_list_id": None}], None),
    ([CREATE, ADD | FAILED | {"audience_id": "13", "customer_list_id": None}], 90),
    ([CREATE, KILLED], None),
    ([CREATE, ERASE], None),
    ([CREATE, ERASE | NOTHING], 90),
    ([ERASE, CREATE], 90),
]


def read_history(warehouse: Warehouse, *audience_ids: str) -> list[dict[str, Any]]:
    return warehouse.run(build_history_query(TABLE, audience_ids))


@pytest.mark.parametrize(("runs", "members"), RUNS)
def test_members_are_known_after_a_run_that_succeeded_and_nothing_since(
    warehouse: Warehouse, runs: list[dict[str, Any]], members: int | None
) -> None:
    warehouse.run(f"ALTER TABLE {TABLE} ADD COLUMN dry_run varchar")
    for time, run in enumerate(runs, start=1):
        warehouse.insert(**{**OF_RUN, "time": time, **run})
    assert find_known_member_count(read_history(warehouse, "12"), "12", "77") == members


def test_size_is_that_of_the_last_status_check_after_pinterests_matching(warehouse: Warehouse) -> None:
    for time, (audience_id, size, status) in enumerate(
        [
            ("12", 40, "READY"),
            ("12", 10, "READY"),
            ("12", 0, "INITIALIZING"),
            ("12", 1, "ELIGIBLE"),
            ("12", 2, "A_NEW_ONE"),
            ("12", None, "READY"),
            ("13", 7, "READY"),
        ]
    ):
        row = {"audience_id": audience_id, "audience_size": size, "audience_status": status, "time": time}
        warehouse.insert(**{**SEEN, **row})
    history = read_history(warehouse, "12", "13", "14")
    assert [find_last_matched_size(history, audience_id) for audience_id in ("12", "13", "14")] == [10, 7, None]
