"""Whom the warehouse withholds: the operator's own cases, and its control group, in DuckDB."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings

from td_pinterest_op.identifiers.identifier_types import TYPES
from td_pinterest_op.records.columns import Column, is_single
from td_pinterest_op.records.hashed_query import Query
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.withholding.people import assign_control
from td_pinterest_op.withholding.withholding_sql import (
    build_list_counts_select,
    build_list_select,
    build_people_select,
    build_values_select,
    parse_counts,
)
from tests.campaigns import examples
from tests.exporting import digest
from tests.unit.withholding.test_people import SALT, Case, Oracle, cases

DEVICE = "5eed0123-4567-89ab-cdef-000000000001"
ROWS = Sequence[Sequence[Any]]


def query_of(table: str, types: Sequence[str], *, arrays: bool = False, key: str | None = None) -> Query:
    """A query of all that is in a table of the test: columns named like their types, and a column of keys."""
    columns = [Column(name=name, type=TYPES[name], position=n, is_array=arrays) for n, name in enumerate(types)]
    names = [*types, *([key] if key else [])]
    return Query(text=f"SELECT {', '.join(names)} FROM {table} -- all;\n;", names=names, columns=columns)


def select(
    database: duckdb.DuckDBPyConnection, query: Query, *, lists: Mapping[str, ROWS], control: Control | None
) -> dict[str, tuple[int, ...]]:
    """The answers of a query, with their digests, values, digests given, rows, and rows with invalid values."""
    tables = {}
    for name, of_list in lists.items():
        _fill(database, name, {"email": "VARCHAR", "maid": "VARCHAR"}, of_list)
        tables[name] = f"of_{name}"
        database.execute(
            f"CREATE OR REPLACE TABLE of_{name} AS {_duckdb(build_list_select(query_of(name, ['email', 'maid'])))}"
        )
    rows = database.execute(_duckdb(build_people_select(query, list_tables=tables, control=control))).fetchall()
    if not tables and control is None and is_single(query.columns):
        alone = "answer, 0, sum(given), sum(hashed), sum(row_count), sum(invalid_rows)"
        plain = database.execute(f"SELECT {alone} FROM ({_duckdb(build_values_select(query))}) GROUP BY 1").fetchall()
        assert sorted(plain) == sorted((row[0], 0, *row[2:]) for row in rows)
    return {answer: tuple(map(int, counts)) for answer, *counts in rows}


def sent(answers: Mapping[str, tuple[int, ...]]) -> set[str]:
    return {answer for answer in answers if len(answer) == 64}


def reasons(answers: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """How many digests each reason of withholding counts, and how many values each reason of rejection."""
    return {answer: counts[0] or counts[1] for answer, counts in answers.items() if len(answer) < 64}


def _duckdb(statement: str) -> str:
    return sqlglot.transpile(statement, read="trino", write="duckdb")[0]


def _fill(database: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str], rows: ROWS) -> None:
    types = ", ".join(f"{column} {type_}" for column, type_ in columns.items())
    database.execute(f"CREATE OR REPLACE TABLE {name} ({types})")
    if rows:
        text = [[_text(value) for value in row] for row in rows]
        database.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", text)


def _text(value: Any) -> Any:
    if isinstance(value, tuple):
        return [*map(_text, value)]
    return value.decode() if isinstance(value, bytes) else value


@settings(max_examples=examples(60), deadline=None)
@given(cases(["email", "maid"], keyless=True))
def test_warehouse_and_operator_withhold_the_same_people(opened: duckdb.DuckDBPyConnection, case: Case) -> None:
    control = Control(percent=Decimal(case.percent), salt=SALT, by="customer") if case.percent else None
    rows = [[*row, key] for row, key in zip(case.rows, case.keys, strict=True)]
    types = dict.fromkeys(case.types, "VARCHAR[]" if case.arrays else "VARCHAR")
    _fill(opened, "people", types | {"customer": "BIGINT"}, rows)
    query = query_of("people", case.types, arrays=case.arrays, key="customer" if control else None)
    answers = select(opened, query, lists=case.list_rows, control=control)
    expected, counts = Oracle(case).identifiers()
    keyless = sum(control is not None and key is None for key in case.keys)
    nulls = sum(not person for person, key in zip(case.people, case.keys, strict=True) if not (control and key is None))
    invalid = {"null": nulls, "no_control_key": keyless}
    assert (expected, +(counts + type(counts)(invalid))) == (sent(answers), reasons(answers))
    assert (len(rows), nulls + keyless) == tuple(sum(each[n] for each in answers.values()) for n in (3, 4))


def test_without_a_column_for_the_key_the_group_is_chosen_by_the_digest(database: duckdb.DuckDBPyConnection) -> None:
    control, query = Control(percent=Decimal(10), salt=SALT), query_of("people", ["email"])
    _fill(database, "people", {"email": "VARCHAR"}, [[f"person{number}@shop.example"] for number in range(300)])
    everybody = sorted(sent(select(database, query, lists={}, control=None)))
    kept = assign_control(control, [answer.encode() for answer in everybody])
    left = {answer for answer, chosen in zip(everybody, kept, strict=True) if not chosen}
    assert left == sent(select(database, query, lists={}, control=control))
    assert len(left) < 300 == len(everybody)


def test_values_rows_and_digests_are_counted(database: duckdb.DuckDBPyConnection) -> None:
    hashed = "5eed" * 16
    rows: ROWS = [["A@b.cc", None], ["a@b.cc", "n/a"], ["x", "y"], [hashed.upper(), DEVICE], [None, None]]
    _fill(database, "people", {"email": "VARCHAR", "maid": "VARCHAR"}, rows)
    answers = select(database, query_of("people", ["email", "maid"]), lists={}, control=None)
    assert 3 == len(sent(answers))
    assert (1, 1, 1) == answers[hashed][:3]
    assert {"placeholder": 1, "not_an_email": 1, "not_a_device_id": 1, "null": 1} == reasons(answers)
    # Values, digests among them, rows, rows with an invalid value.
    assert [8, 1, 5, 3] == [sum(each[n] for each in answers.values()) for n in range(1, 5)]


@pytest.mark.parametrize("control", [None, Control(percent=Decimal("0.01"), salt=SALT, by="customer")])
def test_row_with_an_unsure_address_counts_as_suppressed(
    database: duckdb.DuckDBPyConnection, control: Control | None
) -> None:
    rows: ROWS = [["SOFI\u03a3@shop.example", DEVICE, None], ["b@shop.example", None, 7], [None, DEVICE, 8]]
    _fill(database, "people", {"email": "VARCHAR", "maid": "VARCHAR", "customer": "BIGINT"}, rows)
    query = query_of("people", ["email", "maid"], key="customer")
    answers = select(database, query, lists={"suppress": [["else@shop.example", None]]}, control=control)
    assert 1 == len(sent(answers))
    assert {"suppressed": 1, "no_control_key" if control else "unsure": 1} == reasons(answers)


REJECTED_CONTROL = Control(percent=Decimal("0.01"), salt=SALT, by="customer")
REJECTED_PEOPLE: ROWS = [
    ["SOFI\u03a3@shop.example", DEVICE, None],
    ["a@b.cc", "no-device", 1],
    ["b@b.cc", DEVICE, 2],
]
REJECTED_LIST: ROWS = [["b@b.cc", None], ["x@b.cc", "n0-device"]]
REJECTED = [
    # The row without a key shields its device, since its address cannot be compared.
    ({"suppress": REJECTED_LIST[1:]}, ["a@b.cc", "b@b.cc"], {"suppressed": 1}),
    ({"suppress": REJECTED_LIST}, ["a@b.cc"], {"suppressed": 2}),
    ({"consent": REJECTED_LIST}, ["b@b.cc", DEVICE], {"without_consent": 1}),
]


@pytest.mark.parametrize(("lists", "values", "withheld"), REJECTED)
def test_value_rejected_for_the_same_reason_as_a_value_of_a_list_matches_nobody(
    database: duckdb.DuckDBPyConnection, lists: Mapping[str, ROWS], values: Sequence[str], withheld: dict[str, int]
) -> None:
    _fill(database, "people", {"email": "VARCHAR", "maid": "VARCHAR", "customer": "BIGINT"}, REJECTED_PEOPLE)
    query = query_of("people", ["email", "maid"], key="customer")
    answers = select(database, query, lists=lists, control=REJECTED_CONTROL)
    assert set(map(digest, values)) == sent(answers)
    assert withheld | {"not_a_device_id": 1, "no_control_key": 1} == reasons(answers)


def test_lists_are_counted(database: duckdb.DuckDBPyConnection) -> None:
    tables = {}
    lists: dict[str, ROWS] = {"suppress": [["a@b.cc", DEVICE], ["A@b.cc", "5eed" * 16], ["n/a", None]], "consent": []}
    for name, rows in lists.items():
        _fill(database, name, {"email": "VARCHAR", "maid": "VARCHAR"}, rows)
        database.execute(
            f"CREATE OR REPLACE TABLE of_{name} AS {_duckdb(build_list_select(query_of(name, ['email', 'maid'])))}"
        )
        tables[name] = f"of_{name}"
    found = sorted(database.execute(_duckdb(build_list_counts_select(tables))).fetchall())
    assert [("consent", 0, 0, 0, ""), ("suppress", 3, 4, 1, "placeholder 1")] == found
    assert {"null": 3, "empty": 1} == parse_counts("null 3, empty 1")
