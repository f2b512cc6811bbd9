"""The warehouse's SQL gives the same answers as the operator, value by value. Corpus: tests/warehouses.py."""

import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.cli.commands.sql import build_control_arms_select
from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, EMAIL, IdentifierType
from td_pinterest_op.identifiers.reasons import VERSION_DEPENDENT_LETTERS, Reason
from td_pinterest_op.records.digests import compute_identifier
from td_pinterest_op.treasure_data.quoting import quote_literal, quote_name
from td_pinterest_op.trino.hashed_query import UserQuery
from td_pinterest_op.trino.hashing_sql import build_hashing_sql, build_lower_sql, build_trim_sql
from tests.campaigns import examples
from tests.unit.records.test_identifiers_fuzz import padded, texts
from tests.warehouses import SIGMA

QUERIES = Path(__file__).parent.parent.parent.parent / "workflows" / "queries"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
UNSURE = Reason.UNSURE.value


@cache
def build_statement(name: str) -> str:
    """Return a SELECT, in DuckDB's SQL, of the answers for all values of `given`."""
    judged = build_hashing_sql(CUSTOMER_LIST_TYPES[name], text_sql="text", lowered_sql="lowered")
    statement = f"""SELECT {judged} FROM (SELECT *, {build_lower_sql("text")} AS lowered
        FROM (SELECT number, {build_trim_sql("value")} AS text FROM given)) ORDER BY number"""
    return sqlglot.transpile(statement, read="trino", write="duckdb")[0]


def ask_warehouse(
    database: duckdb.DuckDBPyConnection, type_: IdentifierType, values: Sequence[str | None]
) -> list[str | None]:
    database.execute("CREATE OR REPLACE TABLE given (number BIGINT, value VARCHAR)")
    database.executemany("INSERT INTO given VALUES (?, ?)", list(enumerate(values)))
    answers = database.execute(build_statement(type_.name)).fetchall()
    return [answer and answer.removeprefix("=") for (answer,) in answers]


def ask_operator(type_: IdentifierType, value: str | None) -> str | None:
    """Return a digest in hex, a reason, or None for a null."""
    if value is None:
        return None
    judged = compute_identifier(type_, value.encode())
    return judged.value if isinstance(judged, Reason) else judged.hex()


@given(
    name=st.sampled_from(list(CUSTOMER_LIST_TYPES)),
    values=st.lists(st.one_of(st.none(), texts, padded), min_size=1, max_size=50),
)
@settings(max_examples=examples(60), deadline=None)
def test_warehouse_and_operator_agree_on_any_text(
    opened: duckdb.DuckDBPyConnection, name: str, values: list[str | None]
) -> None:
    type_ = CUSTOMER_LIST_TYPES[name]
    for value, answer in zip(values, ask_warehouse(opened, type_, values), strict=True):
        assert answer in (ask_operator(type_, value), UNSURE)


# The first and last letters with a lower case of each group that Unicode has added since version 11 (DerivedAge.txt).
NEW_LETTERS = {
    "11": "1c90 1cbf a7b8 16e40 16e5f",
    "12": "a7ba a7be a7c2 a7c6",
    "13": "a7c7 a7c9 a7f5",
    "14": "2c2f a7c0 a7d0 a7d8 10570 10595",
    "16": "1c89 a7cb a7cc a7da a7dc 10d50 10d65",
    "17": "a7ce a7d2 a7d4 16ea0 16eb8",
    "18": "a7dd a7e2 ab6c ab6d 1df40 1df7e",
}


@pytest.mark.parametrize("codes", NEW_LETTERS.values(), ids=NEW_LETTERS)
def test_letter_whose_case_some_versions_of_unicode_do_not_know_is_unsure(
    database: duckdb.DuckDBPyConnection, codes: str
) -> None:
    values = [f"x{chr(int(code, 16))}@b.cc" for code in codes.split()]
    assert set(ask_warehouse(database, EMAIL, values)) == {UNSURE}


def test_every_other_letter_has_the_same_lower_case_in_all_versions(database: duckdb.DuckDBPyConnection) -> None:
    unsure = re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: chr(int(match[1], 16)), VERSION_DEPENDENT_LETTERS))
    letters = map(chr, range(sys.maxunicode + 1))
    cased = [letter for letter in letters if letter.lower() != letter and not unsure.match(letter)]
    # As many as in Unicode 10, and in 18: a version of Python that knows more of them needs another block in the rule.
    assert len(cased) == 992
    values = [f"x{letter}@b.cc" for letter in cased]
    assert ask_warehouse(database, EMAIL, values) == [ask_operator(EMAIL, value) for value in values]


def test_only_an_address_that_the_operator_can_hash_is_unsure(database: duckdb.DuckDBPyConnection) -> None:
    values = [SIGMA, "SOFI\u03a3", "SOFI \u03a3@shop.example", "\u03a3" * 130 + "@shop.example"]
    reasons = ["not_an_email", "contains_separator", "too_long"]
    assert ask_warehouse(database, EMAIL, values) == [UNSURE, *reasons]
    assert reasons == [ask_operator(EMAIL, value) for value in values[1:]]


def test_the_shipped_query_of_the_arms_is_the_one_that_an_export_follows() -> None:
    salt = """'${String(lift.salt).replace(/'/g, "''")}'"""
    query = UserQuery(text="SELECT customer_id FROM people WHERE opted_in = 1", names=["customer_id"], columns=[])
    statement = build_control_arms_select(
        query, by="customer_id", salt_sql=salt, share_sql="${Math.round(lift.percent * 100)}"
    )
    shipped = (QUERIES / "control.sql").read_text(encoding="utf-8")
    assert shipped[shipped.index("-- The arm of each person") :] == f"{statement}\n"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("it's", "'it''s'"),
        (r"a\b", r"'a\b'"),
        ("a\nb", r"U&'a\+00000ab'"),
        ("caf\u00e9's\\", r"U&'caf\+0000e9''s\+00005c'"),
        ("\U0001f600", r"U&'\+01f600'"),
    ],
)
def test_literal_is_printable_ascii(text: str, literal: str) -> None:
    assert quote_literal(text) == literal


@settings(max_examples=examples(60), deadline=None)
@given(text=TEXTS, name=TEXTS.filter(str.strip))
def test_quoted_text_is_read_back_unchanged(opened: duckdb.DuckDBPyConnection, text: str, name: str) -> None:
    statement = f"SELECT {quote_literal(text)} AS {quote_name(name)}"
    result = opened.execute(sqlglot.transpile(statement, read="trino", write="duckdb")[0])
    assert [name] == [column[0] for column in result.description or ()]
    assert result.fetchall() == [(text,)]
