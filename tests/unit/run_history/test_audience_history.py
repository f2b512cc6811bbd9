"""What rows of the history say of the audiences: decided in Python, read by SQL that DuckDB runs in place of Trino."""

from typing import Any

import pytest

from td_pinterest_op.run_history.audience_history import (
    COLUMNS_READ,
    AudienceHistory,
    ListSize,
    build_audience_history,
    build_history_query,
)
from tests.unit.run_history.conftest import TABLE, Warehouse

SEEN = {"kind": "follow-up", "outcome": "success", "audience_status": "READY"}
CREATE, REPLACE = {"action": "create_new_audience"}, {"action": "replace_current_audience"}
CLEAR = {"action": "clear_current_audience", "members": 0}
ADD, REMOVE = {"action": "add_people_to_current_audience"}, {"action": "remove_people_from_current_audience"}
ADD_TO_OTHERS = ADD | {"audience_id": "13", "customer_list_id": "78"}
ERASE = {"action": "erase", "audience_id": None, "customer_list_id": None}
ERASING = {"workflow": "pinterest_erase"}
FAILED = {"outcome": "failed", "customer_list_id": None, "requests_sent": None}
NOTHING = {"requests_sent": 0}
BY_NAME = FAILED | {"audience_id": None}
KILLED = BY_NAME | {"action": None}
FOLLOWING, BEGINS = {"action": "mirror_current_audience"}, {"mirror_mode": "replace"}
MIRROR = {"workflow": "pinterest_mirror"}
UNCHANGED = MIRROR | {"action": "mirror", "requests_sent": None, "members": 100}
MIRROR_FAILED = MIRROR | {"action": "mirror"} | FAILED


OF_RUN: dict[str, Any] = {
    "kind": "run",
    "outcome": "success",
    "workflow": "pinterest_export",
    "audience_id": "12",
    "customer_list_id": "77",
    "requests_sent": 2,
}
# What runs leave in the history, and how many records are then known to be in which lists: by one run, by the mirror.
RUNS: list[tuple[list[dict[str, Any]], dict[str, int], dict[str, int]]] = [
    ([], {}, {}),
    ([CREATE | {"members": 90}], {"77": 90}, {}),
    ([REPLACE | {"members": 90}], {"77": 90}, {}),
    ([CLEAR], {"77": 0}, {}),
    # A replace moves the audience to another list: the status task asks for the one that it sees there.
    ([CREATE | {"members": 90}, REPLACE | {"members": 80, "customer_list_id": "78"}], {"77": 90, "78": 80}, {}),
    # `if_exists: add`, a version that did not tell, and others who changed the list, before and after.
    ([CREATE], {}, {}),
    ([REPLACE], {}, {}),
    ([ADD], {}, {}),
    ([CREATE | {"members": 90}, ADD], {}, {}),
    ([CREATE | {"members": 90}, REMOVE], {}, {}),
    ([CREATE | {"members": 90}, CREATE], {}, {}),
    ([ADD, REPLACE | {"members": 90}], {}, {}),
    ([CREATE | {"members": 90}, ADD_TO_OTHERS], {"77": 90}, {}),
    ([ADD | {"customer_list_id": "76"}, REPLACE | {"members": 90}], {"77": 90}, {}),
    # Nothing was written.
    ([CREATE | {"members": 90}, ADD | NOTHING], {"77": 90}, {}),
    ([CREATE | {"members": 90}, ADD | FAILED | {"dry_run": True}], {"77": 90}, {}),
    ([CREATE | NOTHING | {"dry_run": True}], {}, {}),
    # A failure may have sent a part; a replace that fails has not moved the audience.
    ([CREATE | {"members": 90}, ADD | FAILED], {}, {}),
    ([CREATE | {"members": 90}, {"action": None} | FAILED], {}, {}),
    ([CREATE | {"members": 90}, ADD | FAILED | {"audience_id": "13"}], {"77": 90}, {}),
    ([CREATE | {"members": 90}, ADD | FAILED | {"audience_id": None}], {}, {}),
    ([CREATE | {"members": 90}, REPLACE | FAILED], {"77": 90}, {}),
    ([CREATE | {"members": 90}, CREATE | {"members": 90, "outcome": "failed"}], {}, {}),
    ([ADD | FAILED, REPLACE | {"members": 90}], {"77": 90}, {}),
    ([CREATE | {"members": 90, "time": 1}, ADD | FAILED | {"time": 1}], {}, {}),
    # An erasure goes over all lists.
    ([CREATE | {"members": 90}, ERASE], {}, {}),
    ([CREATE | {"members": 90}, ERASE | FAILED], {}, {}),
    ([CREATE | {"members": 90}, ERASE | NOTHING], {"77": 90}, {}),
    ([ERASE, CREATE | {"members": 90}], {"77": 90}, {}),
    # The mirror.
    ([MIRROR | REPLACE | {"members": 90}], {"77": 90}, {}),
    ([MIRROR | REPLACE | {"members": 90}, MIRROR | REMOVE | {"members": 85}], {}, {"77": 85}),
    (
        [
            MIRROR | REPLACE | {"members": 90, "time": 1},
            MIRROR | REMOVE | {"members": 85, "time": 2},
            MIRROR | ADD | {"members": 95, "time": 2},
        ],
        {},
        {"77": 95},
    ),
    ([MIRROR | REPLACE | {"members": 90}, UNCHANGED], {}, {"77": 100}),
    ([MIRROR | REPLACE | {"members": 90}, MIRROR_FAILED], {}, {}),
    ([MIRROR | REPLACE | {"members": 90}, MIRROR | REMOVE | {"members": 85, "outcome": "failed"}], {}, {}),
    ([MIRROR | REPLACE | {"members": 90}, MIRROR_FAILED, UNCHANGED], {}, {"77": 100}),
    ([MIRROR | REPLACE | {"members": 90}, ERASE, UNCHANGED], {}, {}),
    ([ERASE, MIRROR | REPLACE | {"members": 90}, UNCHANGED], {}, {"77": 100}),
    ([MIRROR | REPLACE | {"members": 90}, UNCHANGED, ERASE], {}, {}),
    ([MIRROR | REPLACE | {"members": 90}, ADD, UNCHANGED], {}, {}),
    ([MIRROR | REPLACE | {"members": 90}, ADD | FAILED, UNCHANGED], {}, {}),
    # It adopted an audience that others had filled.
    ([MIRROR | ADD | {"members": 85}, UNCHANGED], {}, {}),
    ([CREATE | {"members": 90}, MIRROR | ADD | {"members": 85}], {}, {}),
    # The action that follows a query, from its beginning, and where a mirror of 0.3 began.
    ([FOLLOWING | BEGINS | {"members": 90}], {"77": 90}, {}),
    ([FOLLOWING | BEGINS | {"members": 90}, FOLLOWING | {"members": 95}], {}, {"77": 95}),
    ([FOLLOWING | BEGINS | {"members": 90}, FOLLOWING | NOTHING | {"members": 90}], {}, {"77": 90}),
    ([FOLLOWING | BEGINS | {"members": 90}, FOLLOWING | FAILED], {}, {}),
    ([FOLLOWING | BEGINS | {"members": 90}, FOLLOWING | FAILED, FOLLOWING | {"members": 91}], {}, {"77": 91}),
    ([FOLLOWING | BEGINS | {"members": 90}, ADD, FOLLOWING | {"members": 91}], {}, {}),
    ([FOLLOWING | {"members": 90}], {}, {"77": 90}),
    ([FOLLOWING], {}, {}),
    ([MIRROR | REPLACE | {"members": 90}, UNCHANGED, MIRROR | FOLLOWING | {"members": 99}], {}, {"77": 99}),
    # Whoever failed knows what it wrote, unless it was killed: then its workflow alone is known.
    ([CREATE | {"members": 90}, ADD | NOTHING | {"outcome": "failed"}], {"77": 90}, {}),
    ([CREATE | {"members": 90}, ADD | {"outcome": "failed"}], {}, {}),
    ([CREATE | {"members": 90}, KILLED], {}, {}),
    ([CREATE | {"members": 90}, KILLED, REPLACE | {"members": 80}], {"77": 80}, {}),
    ([CREATE | {"members": 90}, KILLED | {"workflow": "pinterest_other"}], {"77": 90}, {}),
    (
        [ERASE | {"workflow": "pinterest_erase"}, CREATE | {"members": 9}, KILLED | {"workflow": "pinterest_erase"}],
        {},
        {},
    ),
    # A killed run that names its audience by name, or nowhere, may have changed any list of its workflow.
    ([CREATE | {"members": 90}, CREATE | BY_NAME], {}, {}),
    ([CREATE | {"members": 90}, REPLACE | BY_NAME], {"77": 90}, {}),
    ([CREATE | {"members": 90}, ADD | BY_NAME | {"workflow": "pinterest_other"}], {"77": 90}, {}),
    ([CREATE | {"members": 90}, ADD | BY_NAME | {"requests_sent": 0}], {"77": 90}, {}),
    ([FOLLOWING | BEGINS | {"members": 90}, ADD | BY_NAME, FOLLOWING | {"members": 91}], {}, {}),
    ([FOLLOWING | BEGINS | {"members": 90}, CREATE | BY_NAME, FOLLOWING | {"members": 91}], {}, {}),
    ([FOLLOWING | BEGINS | {"members": 90}, FOLLOWING | BY_NAME], {}, {}),
    ([FOLLOWING | BEGINS | {"members": 90}, FOLLOWING | BY_NAME, FOLLOWING | {"members": 91}], {}, {"77": 91}),
    ([FOLLOWING | BEGINS | {"members": 90}, KILLED, FOLLOWING | {"members": 91}], {}, {"77": 91}),
]


def known_in(warehouse: Warehouse, *audience_ids: str) -> AudienceHistory:
    return build_audience_history(warehouse.run(build_history_query(TABLE, audience_ids)))


@pytest.mark.parametrize(("runs", "filled", "mirrored"), RUNS)
def test_members_of_a_list_are_known_only_if_nothing_else_was_written_to_it(
    warehouse: Warehouse, runs: list[dict[str, Any]], filled: dict[str, int], mirrored: dict[str, int]
) -> None:
    for time, run in enumerate(runs, start=1):
        warehouse.insert(**OF_RUN | {"time": time} | run)
    members = {list_id: ListSize(record_count=count, is_from_one_run=True) for list_id, count in filled.items()}
    members |= {list_id: ListSize(record_count=count, is_from_one_run=False) for list_id, count in mirrored.items()}
    assert members == known_in(warehouse, "12", "13").list_sizes


def test_order_of_the_rows_does_not_matter() -> None:
    empty = dict.fromkeys(COLUMNS_READ)
    for runs, filled, mirrored in RUNS:
        rows = [empty | OF_RUN | {"time": time} | run for time, run in enumerate(runs, start=1)]
        assert filled | mirrored == {
            name: held.record_count for name, held in build_audience_history(reversed(rows)).list_sizes.items()
        }


def test_a_row_without_a_time_counts_as_the_oldest(warehouse: Warehouse) -> None:
    run = OF_RUN | CREATE | {"members": 90}
    for time in (1, None):
        warehouse.insert(**run | {"time": time})
    assert [90] == [size.record_count for size in known_in(warehouse, "12").list_sizes.values()]


def test_the_last_known_size_of_an_audience_is_that_of_a_follow_up_that_knew_it(warehouse: Warehouse) -> None:
    assert AudienceHistory(audience_sizes={}, list_sizes={}) == known_in(warehouse, "12")
    for time, (size, status) in enumerate(((10, "READY"), (0, "INITIALIZING"), (None, "READY")), start=1):
        warehouse.insert(**SEEN | {"audience_id": "12", "audience_size": size, "audience_status": status, "time": time})
        warehouse.insert(**SEEN | {"audience_id": "13", "audience_size": 7, "time": time})
    assert {"12": 10} == known_in(warehouse, "12").audience_sizes
    assert {"12": 10, "13": 7} == known_in(warehouse, "12", "13").audience_sizes
