"""Compares Trino's results of the queries outside the mirror with Python's."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings

from td_pinterest_op.identifiers.identifier_types import EMAIL
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.run_history.history_table import (
    COLUMN_TYPES,
    build_insert_statement,
    build_lift_row,
    build_run_row,
    build_status_check_row,
)
from td_pinterest_op.treasure_data.tables import build_create_or_alter_sql
from td_pinterest_op.trino.hashing_sql import build_hashing_sql, build_lower_sql, build_trim_sql
from tests import warehouses
from tests.trino.client import run
from tests.trino.days import QUERIES, most_table_reads
from tests.unit.report.samples import statistics
from tests.unit.run_history import test_history_table as test_history
from tests.unit.run_history.conftest import TABLE
from tests.unit.withholding.test_people import Case, cases
from tests.warehouses import WITHHOLDING, Rows

Row = dict[str, Any]


@dataclass(frozen=True)
class Trino:
    """Runs statements on a server."""

    server: str

    def load(self, table: str, columns: Mapping[str, str], rows: Rows) -> None:
        casts = ", ".join(f"CAST({column} AS {type_}) AS {column}" for column, type_ in columns.items())
        values = ", ".join(f"({', '.join(map(format_literal, row))})" for row in rows or [[None] * len(columns)])
        given = f"(VALUES {values}) AS given ({', '.join(columns)})"
        self.store(table, f"SELECT {casts} FROM {given} WHERE {'true' if rows else 'false'}")

    def store(self, table: str, select: str) -> None:
        run(self.server, f"DROP TABLE IF EXISTS {table}")
        run(self.server, f"CREATE TABLE {table} AS {select}")

    def read(self, statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in run(self.server, statement).rows]


def format_literal(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"ARRAY[{', '.join(map(format_literal, value))}]"
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return f"from_utf8(from_hex('{value.hex()}'))"
    return "NULL" if value is None else str(value)


def differences(server: str) -> Iterator[str]:
    """Yield the differences, and the statements that read a table more than twice."""
    warehouse = Trino(server)
    expected, actual = warehouses.compare_values(warehouse)
    if actual != expected:
        yield "the answers for values"
    expected, actual = warehouses.find_shown_keys(warehouse)
    if sorted(actual) != sorted(expected):
        yield f"the keys of rejected rows: {sorted({*actual} ^ {*expected})}"
    yield from check_bytes(warehouse)
    for name, case in WITHHOLDING.items():
        wanted, found = warehouses.compare_withholding(warehouse, case)
        if found != wanted:
            yield f"{name}: {found}, not {wanted}"
    yield from check_people(warehouse)
    yield from check_history(server)


def check_bytes(warehouse: Trino) -> Iterator[str]:
    """Judge bytes that are not UTF-8, which no other engine of the tests can hold."""
    bytes_ = [b"j\xfcrgen@shop.example", b" \xe2\x82@b.cc ", b"\xed\xa0\x80@b.cc", b"\xff", "\ufffd@b.cc".encode()]
    warehouse.load("given", {"number": "integer", "hex": "varchar"}, [[n, raw.hex()] for n, raw in enumerate(bytes_)])
    source = f"SELECT number, {build_trim_sql('raw_varchar(from_hex(hex))')} AS text FROM given"
    of_each = build_hashing_sql(EMAIL, text_sql="text", lowered_sql="lowered")
    lowered = f"SELECT *, {build_lower_sql('text')} AS lowered FROM ({source})"
    (*bad, good) = warehouse.read(f"SELECT {of_each} AS answer FROM ({lowered}) ORDER BY number")
    if set(bad) != {(Reason.BAD_ENCODING.value,)} or len(good[0]) < 64:
        yield "the answers for bytes that are not UTF-8"


def check_people(warehouse: Trino) -> Iterator[str]:
    """Compare random people and lists in random spellings with the oracle of the operator's tests."""
    found: list[str] = []

    @settings(max_examples=30, deadline=None, database=None, derandomize=True)
    @given(cases(["email", "maid"], keyless=True))
    def compare(case: Case) -> None:
        expected, actual = warehouses.compare_people(warehouse, case)
        if actual != expected:
            found.append(repr(case))

    compare()
    yield from found


def check_history(server: str) -> Iterator[str]:
    """Write every kind of row twice and query them."""
    table = TABLE
    run(server, f"DROP TABLE IF EXISTS {table}")

    def ask(text: str) -> list[Row]:
        return [run(server, statement).rows for statement in text.split(";\n")][-1]

    session = test_history.SESSION
    failed = test_history.FAILED | {"audience_id": "12", "error": test_history.NASTY}
    seen = session | dict(build_status_check_row(test_history.AUDIENCE)) | {"ad_account_id": "5"}
    ask(build_create_or_alter_sql(table, COLUMN_TYPES, None, description="history"))
    for _ in range(2):
        ask(build_insert_statement(table, [session | dict(build_run_row(statistics())), seen]))
    ask(build_insert_statement(table, [failed]))
    lift_row = session | dict(build_lift_row({"summary": test_history.NASTY, "split_p": 0.5}))
    ask(build_insert_statement(table, [lift_row]))
    expected: dict[str, tuple[str, list[object]]] = {
        "history_people": ("audience_size", [40]),
        "history_rejected": ("rejected_percent", [21.88]),
        "history_failed": ("error", [test_history.NASTY]),
        "history_last_runs": ("audience_id", ["12", "549755885175000002"]),
    }
    for name, (column, values) in expected.items():
        text = (QUERIES / f"{name}.sql").read_text()
        if (answers := sorted((row[column] for row in ask(text)), key=str)) != values:
            yield f"{name}.sql answers {answers}, not {values}"
        if (named := most_table_reads(server, text)) > 2:
            yield f"{name}.sql reads its table {named} times"
    (count,) = ask(f"SELECT count(*) AS n FROM {table}")
    if count["n"] != 2 * 2 + 1 + 1:
        yield f"the history has {count['n']} rows"
    (row,) = ask(f"SELECT lift, summary FROM {table} WHERE kind = 'lift'")
    if json.loads(row["lift"])["summary"] != row["summary"] or row["summary"] != test_history.NASTY:
        yield "a comparison changes its figures"
