"""What the warehouse makes of a user's query: the operator's own answers, row by row, and nothing plain."""

from collections.abc import Callable
from dataclasses import replace

import duckdb
import pytest

from td_pinterest_op.cli.commands.sql import build_digests_only_statement
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.records.digests import decode_warehouse_hashed_values
from td_pinterest_op.treasure_data.user_sql import require_one_statement
from td_pinterest_op.trino.hashed_query import build_empty_select
from tests import warehouses
from tests.warehouses import COLUMNS, HASH, QUERY, DuckDB


def test_every_row_has_the_operators_answers_whatever_is_in_it(database: duckdb.DuckDBPyConnection) -> None:
    expected, actual = warehouses.compare_values(DuckDB(database))
    assert actual == expected


@pytest.mark.parametrize("answer", [b"", b"ann@lee.example", b"x" * 64, b"\xff", 7])
def test_an_answer_that_is_neither_digest_nor_reason_ends_the_export(answer: object) -> None:
    with pytest.raises(ValueError):
        decode_warehouse_hashed_values(COLUMNS[0], [HASH.encode(), answer])


@pytest.mark.parametrize(
    ("query", "statement"),
    [
        (" SELECT 1 ;\n", "SELECT 1"),
        ("SELECT ';' AS \";\" -- ; it's\n", "SELECT ';' AS \";\" -- ; it's"),
        ("SELECT 1; -- done;\n/* ; */ ;", "SELECT 1"),
        ("SELECT 'it''s', 4 / 2 - 1 /* ; */", "SELECT 'it''s', 4 / 2 - 1 /* ; */"),
    ],
)
def test_a_query_loses_the_semicolon_at_its_end_and_nothing_else(query: str, statement: str) -> None:
    assert require_one_statement(query) == statement


def test_several_statements_are_an_error() -> None:
    with pytest.raises(SettingsError, match="several statements"):
        require_one_statement("SELECT 1; SELECT 2")


@pytest.mark.parametrize(
    ("build", "purpose"),
    [
        (build_empty_select, "td_pinterest_op: read the columns of the query"),
        (
            lambda text: build_digests_only_statement(replace(QUERY, text=text)),
            "The query with digests in place of identifiers, NULL where one is rejected.",
        ),
    ],
)
def test_first_comments_of_a_query_follow_the_purpose_of_its_statement(
    build: Callable[[str], str], purpose: str
) -> None:
    statement = build("-- set session a = 'b'\n--x\nWITH people AS (SELECT 1) SELECT * FROM people -- the end")
    assert statement.startswith(f"-- {purpose}\n-- set session a = 'b'\n--x\nSELECT")
    assert "\nWITH people AS (SELECT 1) SELECT * FROM people -- the end\n)" in statement
