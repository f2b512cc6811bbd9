"""Whom the warehouse withholds: the operator's own cases, and its control group, in DuckDB."""

from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings

from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.trino.withholding_sql import build_list_statistics_select, parse_reason_counts
from td_pinterest_op.withholding.people import assign_control
from tests import warehouses
from tests.campaigns import examples
from tests.exporting import people
from tests.unit.withholding.test_people import SALT, Case, cases
from tests.warehouses import DEVICE, WITHHOLDING, DuckDB, Rows


@settings(max_examples=examples(60), deadline=None)
@given(cases(["email", "maid"], keyless=True))
def test_warehouse_and_operator_withhold_the_same_people(opened: duckdb.DuckDBPyConnection, case: Case) -> None:
    expected, actual = warehouses.compare_people(DuckDB(opened), case)
    assert actual == expected


@pytest.mark.parametrize("name", WITHHOLDING)
def test_values_are_sent_or_counted_by_reason(database: duckdb.DuckDBPyConnection, name: str) -> None:
    expected, actual = warehouses.compare_withholding(DuckDB(database), WITHHOLDING[name])
    assert actual == expected


def test_without_a_column_for_the_key_the_group_is_chosen_by_the_digest(database: duckdb.DuckDBPyConnection) -> None:
    warehouse = DuckDB(database)
    warehouse.load("people", {"email": "varchar"}, [[person] for person in people(300)])
    query = warehouses.build_query("people", ["email"])
    everybody = sorted(warehouses.select_people(warehouse, query, lists={}, control=None)[0])
    control = ControlGroup(percent=Decimal(10), salt=SALT)
    kept = assign_control(control, [answer.encode() for answer in everybody])
    left = {answer for answer, chosen in zip(everybody, kept, strict=True) if not chosen}
    assert warehouses.select_people(warehouse, query, lists={}, control=control)[0] == left
    assert len(left) < len(everybody) == 300


def test_lists_are_counted(database: duckdb.DuckDBPyConnection) -> None:
    warehouse = DuckDB(database)
    lists: dict[str, Rows] = {
        "suppress": [["a@b.cc", DEVICE], ["A@b.cc", "5eed" * 16], ["n/a", None]],
        "consent": [],
    }
    tables = {name: warehouses.load_list(warehouse, name, rows) for name, rows in lists.items()}
    assert sorted(warehouse.read(build_list_statistics_select(tables))) == [
        ("consent", 0, 0, 0, ""),
        ("suppress", 3, 4, 1, "placeholder 1"),
    ]
    assert parse_reason_counts("null 3, empty 1") == {"null": 3, "empty": 1}
