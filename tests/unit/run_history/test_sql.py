"""The history's SQL as it is shipped: what a workflow's values make of it, run by DuckDB in place of Trino."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from td_pinterest_op.report.entry import entry
from td_pinterest_op.run_history.columns import COLUMNS
from tests.dig.template import fill
from tests.emulators.td.sql import statements
from tests.emulators.td.warehouse import run_statement
from tests.unit.report.samples import statistics

WORKFLOWS = Path(__file__).parents[3] / "workflows"
QUERIES = WORKFLOWS / "queries"
SESSION: dict[str, Any] = {
    "history": {"table": "pinterest_history"},
    "task_name": "+pinterest_export+history^sub+row",
    "session_time": "2026-11-25T00:00:00+00:00",
    "session_uuid": "0f3c",
    "attempt_id": 7,
}
NOW = 1_795_000_000
INTENT = {"action": "replace_current_audience", "ad_account_id": "549755885175", "audience_id": "12"}
NASTY = """L'été "x" \\ \n\t; DROP TABLE pinterest_history; -- $ {y} 'a''b' \U0001f600"""
AUDIENCE = {"audience_id": "12", "audience_name": NASTY, "status": "READY", "size": 40, "usable": True, "summary": "s"}


class Warehouse:
    """A database with the history in it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute(f"SET VARIABLE td_now = {NOW}")
        self.run("history_table")

    def run(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """The rows of a shipped query, filled in with these parameters of a workflow."""
        sql = fill((QUERIES / f"{name}.sql").read_text(), SESSION | params)
        for statement in statements(sql, dialect="trino"):
            run_statement(self._connection, statement, now=NOW)
        names = [column[0] for column in self._connection.description or ()]
        return [dict(zip(names, row, strict=True)) for row in self._connection.fetchall()]

    def insert(self, **row: Any) -> None:
        self._connection.execute(
            f"INSERT INTO pinterest_history ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()]
        )

    def rows(self) -> list[dict[str, Any]]:
        done = self._connection.execute("SELECT * FROM pinterest_history ORDER BY rowid")
        return [
            dict(zip([column[0] for column in done.description or ()], row, strict=True)) for row in done.fetchall()
        ]


@pytest.fixture
def warehouse(database: duckdb.DuckDBPyConnection) -> Warehouse:
    return Warehouse(database)


def test_a_table_that_an_older_version_made_gets_the_later_columns_and_keeps_its_rows(
    database: duckdb.DuckDBPyConnection,
) -> None:
    older = ", ".join(f"{column.name} varchar" for column in COLUMNS if not column.is_later)
    database.execute(f"CREATE TABLE pinterest_history ({older})")
    database.execute("INSERT INTO pinterest_history (kind) VALUES ('run')")
    (row,) = Warehouse(database).rows()
    assert ({column.name for column in COLUMNS}, "run") == (set(row), row["kind"])


def test_a_run_gets_a_row_with_all_its_figures(warehouse: Warehouse) -> None:
    warehouse.run("history_run", pinterest=statistics(), intent=INTENT)
    (row,) = warehouse.rows()
    assert ("run", "success", "pinterest_export", "0f3c", "7") == tuple(
        row[name] for name in ("kind", "outcome", "workflow", "session_uuid", "attempt_id")
    )
    assert {"empty": 0, "not_an_email": 90, "null": 260} == json.loads(row["rows_invalid_by_reason"])
    given, kept = entry(statistics()), entry(row)
    for column in COLUMNS:
        if column.run and column.type not in ("boolean", "json"):
            assert (given.text(column.name), given.number(column.name)) == (
                kept.text(column.name),
                kept.number(column.name),
            )
    assert row["dry_run"] is False
    assert NOW == row["time"]


def test_a_failed_run_gets_a_row_with_what_it_set_out_to_do_and_why_it_failed(warehouse: Warehouse) -> None:
    warehouse.run("history_run", intent=INTENT, error={"message": f"It failed: {NASTY}"})
    (row,) = warehouse.rows()
    assert ("run", "failed", f"It failed: {NASTY}") == (row["kind"], row["outcome"], row["error"])
    assert INTENT == {name: row[name] for name in INTENT}
    assert None is row["rows_read"] is row["audience_name"]


def test_a_failed_run_without_anything_gets_a_row(warehouse: Warehouse) -> None:
    warehouse.run("history_run", error={"message": ""})
    assert [("failed", None)] == [(row["outcome"], row["error"]) for row in warehouse.rows()]


def test_a_long_error_is_cut_before_its_quotes_are_doubled(warehouse: Warehouse) -> None:
    warehouse.run("history_run", error={"message": "'" * 3000})
    assert "'" * 1000 == warehouse.rows()[0]["error"]


@pytest.mark.parametrize("name", ["audience_name", "summary", "version"])
def test_no_value_ends_the_sql_text(warehouse: Warehouse, name: str) -> None:
    warehouse.run("history_run", pinterest=statistics() | {name: NASTY})
    assert NASTY == warehouse.rows()[0][name]


def test_an_erasure_gets_a_row_with_its_figures(warehouse: Warehouse) -> None:
    stored = {"records": 40, "rows": {"read": 41}, "requests": {"sent": 7}, "summary": "40 people were removed."}
    warehouse.run("history_run", pinterest_erasure=stored, intent={"action": "erase", "ad_account_id": "5"})
    (row,) = warehouse.rows()
    assert ("erase", 41, 7, "40 people were removed.", None) == tuple(
        row[name] for name in ("action", "rows_read", "requests_sent", "summary", "records_sent")
    )


def test_a_follow_up_gets_a_row_for_each_audience(warehouse: Warehouse) -> None:
    status = {"ad_account_id": "5", "audiences": [AUDIENCE, AUDIENCE | {"audience_id": "13", "size": None}]}
    warehouse.run("history_status", pinterest_status=status)
    assert [("follow-up", "5", "12", NASTY, 40, True), ("follow-up", "5", "13", NASTY, None, True)] == [
        tuple(
            row[name] for name in ("kind", "ad_account_id", "audience_id", "audience_name", "audience_size", "usable")
        )
        for row in warehouse.rows()
    ]


def test_the_last_known_size_of_each_audience_is_handed_on_as_json(warehouse: Warehouse) -> None:
    assert [{"sizes": "{}", "filled": "{}", "mirrored": "{}"}] == warehouse.run("history_known")
    for size, status in ((10, "READY"), (0, "INITIALIZING"), (None, "READY")):
        seen = [AUDIENCE | {"size": size, "status": status}, AUDIENCE | {"audience_id": "13", "size": 7}]
        warehouse.run("history_status", pinterest_status={"ad_account_id": "5", "audiences": seen})
    (row,) = warehouse.run("history_known")
    assert {"12": 10, "13": 7} == json.loads(row["sizes"])


CREATE, REPLACE = {"action": "create_new_audience"}, {"action": "replace_current_audience"}
CLEAR = {"action": "clear_current_audience", "members": 0}
ADD, REMOVE = {"action": "add_people_to_current_audience"}, {"action": "remove_people_from_current_audience"}
ADD_TO_OTHERS = ADD | {"audience_id": "13", "customer_list_id": "78"}
ERASE = {"action": "erase", "audience_id": None, "customer_list_id": None}
FAILED = {"outcome": "failed", "customer_list_id": None, "requests_sent": None}
NOTHING = {"requests_sent": 0}
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
# What runs leave in the history, and how many records are then known to be in which lists.
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
    ([CREATE | {"members": 90}, ADD | FAILED | {"audience_id": None}], {"77": 90}, {}),
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
    ([MIRROR | REPLACE | {"members": 90}, ERASE, UNCHANGED], {}, {"77": 100}),
    ([MIRROR | REPLACE | {"members": 90}, UNCHANGED, ERASE], {}, {}),
    ([MIRROR | REPLACE | {"members": 90}, ADD, UNCHANGED], {}, {}),
    ([MIRROR | REPLACE | {"members": 90}, ADD | FAILED, UNCHANGED], {}, {}),
    # It adopted an audience that others had filled.
    ([MIRROR | ADD | {"members": 85}, UNCHANGED], {}, {}),
    ([CREATE | {"members": 90}, MIRROR | ADD | {"members": 85}], {}, {}),
]


@pytest.mark.parametrize(("runs", "filled", "mirrored"), RUNS)
def test_how_many_records_are_in_a_list_is_handed_on_only_if_nothing_else_can_be_in_it(
    warehouse: Warehouse, runs: list[dict[str, Any]], filled: dict[str, int], mirrored: dict[str, int]
) -> None:
    for time, run in enumerate(runs, start=1):
        warehouse.insert(**OF_RUN | {"time": time} | run)
    (known,) = warehouse.run("history_known")
    assert (filled, mirrored) == (json.loads(known["filled"]), json.loads(known["mirrored"]))


def test_the_members_that_only_the_workflow_knows_stand_in_the_row_of_its_run(warehouse: Warehouse) -> None:
    warehouse.run("history_run", pinterest=statistics(members=90), intent=INTENT | {"members": "85"})
    warehouse.run("history_run", pinterest=statistics(), intent=INTENT | {"members": "85"})
    warehouse.run("history_run", intent=INTENT | {"members": "85", "customer_list_id": "77"})
    assert [(90, "2680059592705"), (85, "2680059592705"), (85, "77")] == [
        (row["members"], row["customer_list_id"]) for row in warehouse.rows()
    ]


def test_the_usual_questions_count_a_row_that_was_written_twice_once(warehouse: Warehouse) -> None:
    for _ in range(2):
        warehouse.run("history_run", pinterest=statistics())
        warehouse.run("history_status", pinterest_status={"ad_account_id": "5", "audiences": [AUDIENCE]})
        warehouse.run("history_run", intent=INTENT, error={"message": "It failed."}, attempt_id=8)
    assert [40] == [row["audience_size"] for row in warehouse.run("history_people")]
    assert [21.88] == [row["rejected_percent"] for row in warehouse.run("history_rejected")]
    assert ["It failed."] == [row["error"] for row in warehouse.run("history_failed")]
    assert ["12", "549755885175000002"] == sorted(row["audience_id"] for row in warehouse.run("history_last_runs"))


def test_a_day_of_the_mirror_keeps_its_leavers_beside_its_joiners(warehouse: Warehouse) -> None:
    for action in ("remove_people_from_current_audience", "add_people_to_current_audience"):
        warehouse.run("history_run", pinterest=statistics() | {"action": action})
    assert 2 == len(warehouse.run("history_rejected"))
    for action in ("remove_people_from_current_audience", "add_people_to_current_audience"):
        warehouse.run("history_run", intent=INTENT | {"action": action}, error={"message": "x"}, attempt_id=8)
    assert 2 == len(warehouse.run("history_failed"))


@pytest.mark.parametrize("workflow", sorted(WORKFLOWS.glob("*.dig")), ids=lambda workflow: workflow.stem)
def test_every_workflow_keeps_the_history_and_shows_its_failure(workflow: Path) -> None:
    text = workflow.read_text()
    # The activation has one below each branch: the mirror that it calls reports its own failures.
    assert re.search(r"^ *_error:\n *!include : config/failed\.yml$", text, re.MULTILINE)
    assert "+history:\n" in text or workflow.stem == "pinterest_mirror_compact"
