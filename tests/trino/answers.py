"""Compares Trino's results of the queries outside the mirror with Python's."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings

from td_pinterest_op.identifiers.hashing_sql import build_hashing_sql, build_lower_sql, build_trim_sql
from td_pinterest_op.identifiers.identifier_types import EMAIL
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.hashed_query import Query, build_hashing_statement
from td_pinterest_op.run_history.history_table import (
    build_follow_up_row,
    build_insert_statement,
    build_lift_row,
    build_run_row,
    build_table_statement,
)
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import WITHHELD
from td_pinterest_op.withholding.withholding_sql import build_list_select, build_people_select
from tests.exporting import digest
from tests.trino.client import run
from tests.trino.days import QUERIES, most_table_reads
from tests.unit.records import test_hashed_query as test_query
from tests.unit.report.samples import statistics
from tests.unit.run_history import test_history_table as test_history
from tests.unit.run_history.conftest import TABLE
from tests.unit.withholding import test_withholding_sql as test_withholding
from tests.unit.withholding.test_people import SALT, Case, Oracle, cases

Row = dict[str, Any]


def differences(server: str) -> Iterator[str]:
    """Yield the differences, and the statements that read a table more than twice."""
    for check in (check_hashing, check_withholding, check_history):
        yield from (f"{check.__name__.strip('_')}: {found}" for found in check(server))


def check_hashing(server: str) -> Iterator[str]:
    """Compare every row of difficult values with the operator: in texts, in arrays, in columns of one name."""
    rows = test_query.nasty_rows()
    columns = {"a": "varchar", "b": "bigint", "c": "array(varchar)", "d": "varchar", "e": "varchar"}
    load_table(server, "nasty", columns, rows)
    control = Control(percent=Decimal(50), salt="it's \u00fc", by="customer")
    names = [f"c{place}" for place in range(len(columns))]
    statement = build_hashing_statement(replace(test_query.QUERY, names=names), control=replace(control, by="c1"))
    answers = [tuple(row.values()) for row in run(server, statement).rows]
    # Trino does not keep the order of rows.
    answers.sort(key=lambda row: row[1])
    by_number = sorted(rows, key=lambda row: test_query.number_of(control, row[1]))
    given, judged = (test_query.keys(of, is_hashed_by_warehouse=of is answers) for of in (by_number, answers))
    if test_query.without_unsure(given, judged) != test_query.without_unsure(judged, judged):
        yield "the answers for identifiers"
    bytes_ = [b"j\xfcrgen@shop.example", b" \xe2\x82@b.cc ", b"\xed\xa0\x80@b.cc", b"\xff", "\ufffd@b.cc".encode()]
    load_table(
        server, "given", {"number": "integer", "hex": "varchar"}, [[n, raw.hex()] for n, raw in enumerate(bytes_)]
    )
    source = f"SELECT number, {build_trim_sql('raw_varchar(from_hex(hex))')} AS text FROM given"
    of_each = build_hashing_sql(EMAIL, text_sql="text", lowered_sql="lowered")
    lowered = f"SELECT *, {build_lower_sql('text')} AS lowered FROM ({source})"
    found = f"SELECT {of_each} AS answer FROM ({lowered}) ORDER BY number"
    (*bad, good) = run(server, found).rows
    if {row["answer"] for row in bad} != {Reason.BAD_ENCODING.value} or len(good["answer"]) < 64:
        yield "the answers for bytes that are not UTF-8"
    if [row[1] for row in answers] != [test_query.number_of(control, row[1]) for row in by_number]:
        yield "the numbers of a control group"


def load_table(server: str, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
    """Create a table, replacing an existing one; `columns` are types by name."""
    casts = ", ".join(f"CAST({column} AS {type_}) AS {column}" for column, type_ in columns.items())
    values = ", ".join(f"({', '.join(map(format_literal, row))})" for row in rows or [[None] * len(columns)])
    run(server, f"DROP TABLE IF EXISTS {name}")
    run(
        server,
        f"CREATE TABLE {name} AS SELECT {casts} FROM (VALUES {values}) AS given ({', '.join(columns)}) "
        f"WHERE {'true' if rows else 'false'}",
    )


def format_literal(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"ARRAY[{', '.join(map(format_literal, value))}]"
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return f"from_utf8(from_hex('{value.hex()}'))"
    return "NULL" if value is None else str(value)


def check_withholding(server: str) -> Iterator[str]:
    """Compare random people and lists in random spellings with the oracle of the operator's tests."""
    found: list[str] = []

    @settings(max_examples=30, deadline=None, database=None, derandomize=True)
    @given(cases(["email", "maid"], keyless=True))
    def compare(case: Case) -> None:
        control = Control(percent=Decimal(case.percent), salt=SALT, by="customer") if case.percent else None
        types = dict.fromkeys(case.types, "array(varchar)" if case.arrays else "varchar")
        rows = [[*row, key] for row, key in zip(case.rows, case.keys, strict=True)]
        load_table(server, "people", types | {"customer": "bigint"}, rows)
        key = "customer" if control else None
        query = test_withholding.query_of("people", case.types, arrays=case.arrays, key=key)
        sent, counts = Oracle(case).identifiers()
        if (sent, dict(+counts)) != select_people(server, query, case.list_rows, control):
            found.append(repr(case))

    compare()
    yield from found
    types = {"email": "varchar", "maid": "varchar", "customer": "bigint"}
    load_table(server, "people", types, test_withholding.REJECTED_PEOPLE)
    query = test_withholding.query_of("people", ["email", "maid"], key="customer")
    for lists, values, withheld in test_withholding.REJECTED:
        answers = select_people(server, query, lists, test_withholding.REJECTED_CONTROL)
        if (set(map(digest, values)), withheld) != answers:
            yield f"rejected values and {lists}: {answers}"


def select_people(
    server: str, query: Query, lists: Mapping[str, Sequence[Sequence[object]]], control: Control | None
) -> tuple[set[str], dict[str, int]]:
    """Return the digests to send, and the number of withheld digests by reason. `lists`: rows of email and maid."""
    tables = {}
    for name, of_list in lists.items():
        load_table(server, name, {"email": "varchar", "maid": "varchar"}, of_list)
        tables[name] = f"of_{name}"
        run(server, f"DROP TABLE IF EXISTS of_{name}")
        of_query = build_list_select(test_withholding.query_of(name, ["email", "maid"]))
        run(server, f"CREATE TABLE of_{name} AS {of_query}")
    answers = run(server, build_people_select(query, list_tables=tables, control=control)).rows
    withheld = {row["answer"]: row["people"] for row in answers if row["answer"] in WITHHELD}
    return {row["answer"] for row in answers if len(row["answer"]) == 64}, withheld


def check_history(server: str) -> Iterator[str]:
    """Write every kind of row twice and query them."""
    table = TABLE
    run(server, f"DROP TABLE IF EXISTS {table}")

    def ask(text: str) -> list[Row]:
        return [run(server, statement).rows for statement in text.split(";\n")][-1]

    session, failed = test_history.SESSION, test_history.FAILED | {"audience_id": "12", "error": test_history.NASTY}
    seen = session | dict(build_follow_up_row(test_history.AUDIENCE)) | {"ad_account_id": "5"}
    ask(build_table_statement(table, None))
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
