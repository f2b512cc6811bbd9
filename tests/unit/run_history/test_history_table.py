"""The statements about the history, from values, run by DuckDB in place of Trino."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from td_pinterest_op.run_history.history_table import (
    COLUMN_TYPES,
    build_insert_statement,
    build_run_row,
    build_status_check_row,
    convert_flags_to_columns,
)
from td_pinterest_op.treasure_data.tables import build_create_or_alter_sql
from tests.unit.report.samples import statistics
from tests.unit.run_history.conftest import TABLE, Warehouse

WORKFLOWS = Path(__file__).parents[3] / "workflows"
QUERIES = WORKFLOWS / "queries"
SESSION: dict[str, Any] = {
    "time": 1_795_000_000,
    "outcome": "success",
    "workflow": "pinterest_export",
    "task": "+pinterest_export+export",
    "session_time": "2026-11-25T00:00:00+00:00",
    "session_uuid": "0f3c5a1e-0000-4000-8000-00000000abcd",
    "attempt_id": "7",
}
NASTY = "L'été \"x\" \\ ; DROP TABLE pinterest_history; -- $ {y} 'a''b' \U0001f600"
AUDIENCE = {"audience_id": "12", "audience_name": NASTY, "status": "READY", "size": 40, "usable": True, "summary": "s"}
FAILED = SESSION | {"kind": "run", "outcome": "failed", "error": "It failed.", "attempt_id": "8"}


def write(warehouse: Warehouse, *rows: dict[str, Any]) -> None:
    warehouse.run(build_insert_statement(TABLE, rows))


def test_a_table_gets_exactly_the_columns_that_it_lacks() -> None:
    names = COLUMN_TYPES.keys() - {"time"}
    assert build_create_or_alter_sql(TABLE, COLUMN_TYPES, names | {"dry_run"}, description="history") == ""
    statement = build_create_or_alter_sql(TABLE, COLUMN_TYPES, names - {"task", "is_dry_run"}, description="history")
    assert statement.splitlines()[1:] == [
        f'ALTER TABLE "{TABLE}" ADD COLUMN IF NOT EXISTS "task" varchar;',
        f'ALTER TABLE "{TABLE}" ADD COLUMN IF NOT EXISTS "is_dry_run" bigint',
    ]


def test_every_column_has_a_type_that_treasure_datas_tables_know() -> None:
    statement = build_create_or_alter_sql(TABLE, COLUMN_TYPES, None, description="history")
    types = set(re.findall(r'^  "\w+" (\w+),?$', statement, re.MULTILINE))
    assert types == {"varchar", "bigint", "double"}


@pytest.mark.parametrize(
    ("given", "converted"),
    [
        ({"dry_run": True, "usable": False}, {"is_dry_run": 1, "is_usable": 0}),
        ({"dry_run": "false", "usable": "true"}, {"is_dry_run": 0, "is_usable": 1}),
        ({"dry_run": "1", "usable": None}, {"is_dry_run": 1}),
        ({"dry_run": None, "is_dry_run": 1, "usable": "false", "is_usable": 1}, {"is_dry_run": 1, "is_usable": 1}),
    ],
)
def test_columns_of_0_4_0_are_read_as_text(given: dict[str, Any], converted: dict[str, Any]) -> None:
    assert convert_flags_to_columns(given) == converted


@pytest.mark.parametrize("name", ["audience_name", "summary", "version"])
def test_any_value_stays_within_its_sql_literal(warehouse: Warehouse, name: str) -> None:
    write(warehouse, SESSION | dict(build_run_row(statistics() | {name: NASTY})))
    assert warehouse.rows()[0][name] == NASTY


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("of jane@shop.example", "of <hidden>"),
        (f"digest {'0a' * 32}", "digest <hidden>"),
        ("${secret:td.apikey}", "$ {secret:td.apikey}"),
        ("one\n\t two\n", "one two"),
        ("'" * 3000, "'" * 1000 + "…"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("name", ["error", "summary", "audience_name"])
def test_text_from_elsewhere_is_masked_and_cut(warehouse: Warehouse, name: str, given: str, kept: str) -> None:
    write(warehouse, FAILED | {name: given})
    assert kept == warehouse.rows()[0][name]


def test_shipped_history_queries_count_a_repeated_row_once(warehouse: Warehouse) -> None:
    for _ in range(2):
        write(warehouse, SESSION | dict(build_run_row(statistics())))
        write(warehouse, SESSION | {"ad_account_id": "5"} | dict(build_status_check_row(AUDIENCE)))
        write(warehouse, FAILED | {"audience_id": "12"})
    asked = {name: warehouse.run((QUERIES / f"history_{name}.sql").read_text()) for name in ANSWERS}
    assert {name: sorted(row[ANSWERED[name]] for row in rows) for name, rows in asked.items()} == ANSWERS


ANSWERED = {"people": "audience_size", "rejected": "rejected_percent", "failed": "error", "last_runs": "audience_id"}
ANSWERS = {
    "people": [40],
    "rejected": [21.88],
    "failed": ["It failed."],
    "last_runs": ["12", "549755885175000002"],
}


def test_two_entries_of_one_session_for_one_audience_are_two_runs(warehouse: Warehouse) -> None:
    for task in ("+pinterest_audiences+each+one", "+pinterest_audiences+each+two"):
        write(warehouse, SESSION | dict(build_run_row(statistics())) | {"task": task})
        write(warehouse, FAILED | {"task": task})
    for name in ("rejected", "failed"):
        assert len(warehouse.run((QUERIES / f"history_{name}.sql").read_text())) == 2


@pytest.mark.parametrize("workflow", sorted(WORKFLOWS.glob("*.dig")), ids=lambda workflow: workflow.stem)
def test_every_workflow_shows_its_failure(workflow: Path) -> None:
    assert "\n_error:\n  !include : config/failed.yml\n" in workflow.read_text()


@pytest.mark.parametrize("name", ["export", "audiences", "activation", "erasure", "status", "lift"])
def test_shipped_settings_keep_a_history(name: str) -> None:
    settings = yaml.safe_load((WORKFLOWS / "config" / f"{name}.yml").read_text())
    assert settings.get("result_settings", settings)["history"] == "pinterest_history"
