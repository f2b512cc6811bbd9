"""Whom the warehouse withholds: the operator's own cases, and its control group, in DuckDB."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

import duckdb
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.settings.structures import Control
from td_pinterest_op.withholding.people import in_control, key_of
from td_pinterest_op.withholding.sql import FILES, columns_of, control_of
from tests.campaigns import examples
from tests.dig.template import fill
from tests.unit.withholding.test_people import SALT, Case, Oracle, cases

LISTS = {"suppress": "suppressed", "consent": "consented"}
KEYS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(codec="utf-8", exclude_characters="\0")))


def parameters(types: list[str], *, lists: Collection[str], control: Control | None) -> dict[str, Any]:
    """What a day of the mirror knows when its queries run; `lists` are those that are switched on."""
    key = f'"{control.by}"' if control and control.by else None
    return {
        "mirror": {"allow_empty_suppress": True},
        "mirror_stage": "1",
        **{f"mirror_{name}": str(given in lists).lower() for given, name in LISTS.items()},
        "pinterest_mirror": {
            "columns": columns_of(types, key=key),
            "control": control_of(control, key),
            **{name: columns_of(["email", "maid"]) for name in LISTS.values()},
        },
    }


def withheld(
    database: duckdb.DuckDBPyConnection,
    rows: list[list[Any]],
    *,
    types: list[str],
    lists: dict[str, list[list[Any]]],
    control: Control | None,
    key_type: str = "BIGINT",
) -> tuple[set[str], dict[str, int]]:
    """Who may be sent, and how often each reason occurs."""
    params = parameters(types, lists=lists, control=control)
    _fill(database, "people", [*types, *(["customer"] if control and control.by else [])], rows, key_type=key_type)
    for of_task, name in LISTS.items():
        _fill(database, name, ["email", "maid"], lists.get(of_task, []))
    for step, table in (("listed", "listed"), ("persons", "persons"), ("withheld", "digests")):
        query = sqlglot.transpile(fill(FILES[f"mirror_{step}.sql"], params), read="trino", write="duckdb")[0]
        database.execute(f"CREATE OR REPLACE TABLE pinterest_{table}_1 AS {query}")
    answers = dict(database.execute("SELECT answer, amount FROM pinterest_digests_1").fetchall())
    reasons = {answer: int(amount) for answer, amount in answers.items() if len(answer) < 64}
    return answers.keys() - reasons.keys(), reasons


def _fill(
    database: duckdb.DuckDBPyConnection, name: str, columns: list[str], rows: list[list[Any]], *, key_type: str = ""
) -> None:
    types = ", ".join(f"{column} {key_type if column == 'customer' else 'VARCHAR'}" for column in columns)
    database.execute(f"CREATE OR REPLACE TABLE pinterest_{name}_1 ({types})")
    if rows:
        text = [[value.decode() if isinstance(value, bytes) else value for value in row] for row in rows]
        database.executemany(f"INSERT INTO pinterest_{name}_1 VALUES ({', '.join('?' * len(columns))})", text)


@settings(max_examples=examples(40), deadline=None)
@given(cases(["email", "maid"]).filter(lambda case: not case.arrays))
def test_the_warehouse_withholds_whom_the_operator_withholds(opened: duckdb.DuckDBPyConnection, case: Case) -> None:
    control = Control(percent=Decimal(case.percent), salt=SALT, by="customer") if case.percent else None
    rows = [[*row, key] for row, key in zip(case.rows, case.keys, strict=True)] if control else case.rows
    lists = {name: list(of_list) for name, of_list in case.list_rows.items()}
    sent, reasons = withheld(opened, rows, types=list(case.types), lists=lists, control=control)
    expected, counts = Oracle(case).identifiers()
    nulls = sum(not person for person in case.people)
    assert (expected, +counts) == (sent, {why: count for why, count in reasons.items() if why != "null"})
    assert nulls == reasons.get("null", 0)


@settings(max_examples=examples(30), deadline=None)
@given(
    st.lists(KEYS, min_size=1, max_size=30, unique_by=str),
    st.decimals("0.01", "50", places=2),
    st.text(st.characters(codec="utf-8"), min_size=1),
)
def test_the_control_group_is_the_operators_whatever_the_keys_and_the_salt(
    opened: duckdb.DuckDBPyConnection, keys: list[Any], percent: Decimal, salt: str
) -> None:
    control = Control(percent=percent, salt=salt, by="customer")
    rows = [[f"person{number}@shop.example", str(key)] for number, key in enumerate(keys)]
    _, reasons = withheld(opened, rows, types=["email"], lists={}, control=control, key_type="VARCHAR")
    chosen = in_control(control, [key_of(str(key).encode()) for key in keys])
    assert sum(chosen) == reasons.get("control", 0)


def test_without_a_column_for_the_key_the_group_is_chosen_by_the_digest(database: duckdb.DuckDBPyConnection) -> None:
    control = Control(percent=Decimal(10), salt=SALT)
    rows: list[list[Any]] = [[f"person{number}@shop.example"] for number in range(300)]
    everybody, _ = withheld(database, rows, types=["email"], lists={}, control=None)
    sent, _ = withheld(database, rows, types=["email"], lists={}, control=control)
    kept = in_control(control, [digest.encode() for digest in sorted(everybody)])
    assert {digest for digest, chosen in zip(sorted(everybody), kept, strict=True) if not chosen} == sent
    assert len(sent) < 300


def test_a_row_without_a_key_is_one_invalid_row(database: duckdb.DuckDBPyConnection) -> None:
    control = Control(percent=Decimal("0.01"), salt=SALT, by="customer")
    device = "5eed0123-4567-89ab-cdef-000000000001"
    rows: list[list[Any]] = [["a@shop.example", device, None], ["b@shop.example", None, 7]]
    sent, reasons = withheld(database, rows, types=["email", "maid"], lists={}, control=control)
    assert (1, {"null": 1}) == (len(sent), reasons)


def test_a_row_with_an_address_that_cannot_be_compared_is_taken_for_suppressed(
    database: duckdb.DuckDBPyConnection,
) -> None:
    device = "5eed0123-4567-89ab-cdef-000000000001"
    rows: list[list[Any]] = [["SOFI\u03a3@shop.example", device], ["b@shop.example", None]]
    of_list: list[list[Any]] = [["else@shop.example", None]]
    sent, reasons = withheld(database, rows, types=["email", "maid"], lists={"suppress": of_list}, control=None)
    assert (1, {"suppressed": 1, "unsure": 1}) == (len(sent), reasons)
