"""The warehouse's SQL gives the same answers as the operator, value by value."""

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.cli.sql import build_arms_statement
from td_pinterest_op.identifiers.hashing_sql import build_hashing_sql, build_lower_sql, build_trim_sql
from td_pinterest_op.identifiers.identifier_types import (
    EMAIL,
    HASHES_OF_NOTHING,
    LIST_TYPES,
    PLACEHOLDERS,
    SEPARATORS,
    IdentifierType,
)
from td_pinterest_op.identifiers.reasons import UNSURE_LETTERS, Reason
from td_pinterest_op.records.digests import compute_identifier
from td_pinterest_op.records.hashed_query import Query
from tests.campaigns import examples
from tests.unit.records.test_identifiers_fuzz import padded, texts

QUERIES = Path(__file__).parent.parent.parent.parent / "workflows" / "queries"
UUID = "5eed0123-4567-89ab-cdef-0123456789ab"
HASH = hashlib.sha256(b"ann@lee.example").hexdigest()
# Characters that take part in a rule, or whose case is peculiar.
CHARACTERS = sorted(set(SEPARATORS) | set("@.-+aA0fF\u0130\u0131\u00df\u1e9e\u212a\ufb00\u00e9\u00c9\u01c5\U0001f600"))
TYPES = list(LIST_TYPES.values())


def in_duckdb(query: str) -> str:
    return sqlglot.transpile(query, read="trino", write="duckdb")[0]


def statement(type_: IdentifierType) -> str:
    judged = build_hashing_sql(type_, text_sql="text", lowered_sql="lowered")
    return in_duckdb(f"""SELECT {judged} FROM (SELECT *, {build_lower_sql("text")} AS lowered
        FROM (SELECT number, {build_trim_sql("value")} AS text FROM given)) ORDER BY number""")


STATEMENTS = {type_.name: statement(type_) for type_ in TYPES}


def answers(
    database: duckdb.DuckDBPyConnection, type_: IdentifierType, values: Sequence[str | None]
) -> list[str | None]:
    database.execute("CREATE OR REPLACE TABLE given (number BIGINT, value VARCHAR)")
    database.executemany("INSERT INTO given VALUES (?, ?)", [*enumerate(values)])
    return [judged and judged.removeprefix("=") for (judged,) in database.execute(STATEMENTS[type_.name]).fetchall()]


def expected(type_: IdentifierType, value: str | None) -> str | None:
    """A digest in hex, a reason, or None for a null."""
    if value is None:
        return None
    judged = compute_identifier(type_, value.encode())
    return judged.value if isinstance(judged, Reason) else judged.hex()


def corpus() -> list[str | None]:
    """Every character in and around an address, a device id and a digest; all placeholders; lengths at their edge."""
    shapes = ("ann@lee.example", UUID, HASH)
    inside = [f"{shape[:4]}{char}{shape[4:]}" for shape in shapes for char in CHARACTERS]
    around = [f"{char}{shape}{char}" for shape in shapes for char in CHARACTERS]
    cases = [change(shape) for shape in shapes for change in (str.upper, str.title, str.swapcase)]
    words = [change(word) for word in sorted(PLACEHOLDERS) for change in (str, str.upper, str.capitalize)]
    nothing = [digest.hex() for digest in sorted(HASHES_OF_NOTHING)]
    lengths = ["a" * count + end for count in range(240, 258) for end in ("@b.cc", "\u00e9@b.cc", "\u0130@b.cc")]
    forms = ["a@b", "@b.cc", "a@", "a@b.", "a@.b", "a@b..c", "a@@b.cc", "a@b@c.dd", "a.b@c-d.ee", "", "\u00e9@\u00fc.d"]
    hashes = [HASH[:size] for size in (31, 32, 33, 39, 40, 41, 63)] + [HASH + "0", "5EED" * 16, "\ufb00" * 32]
    return [None, *CHARACTERS, *inside, *around, *cases, *words, *nothing, *lengths, *forms, *hashes]


@pytest.mark.parametrize("type_", TYPES)
def test_warehouse_and_operator_agree_on_the_corpus(database: duckdb.DuckDBPyConnection, type_: IdentifierType) -> None:
    values = corpus()
    assert [expected(type_, value) for value in values] == answers(database, type_, values)


@given(type_=st.sampled_from(TYPES), values=st.lists(st.one_of(st.none(), texts, padded), min_size=1, max_size=50))
@settings(max_examples=examples(60), deadline=None)
def test_warehouse_and_operator_agree_on_any_text(
    opened: duckdb.DuckDBPyConnection, type_: IdentifierType, values: list[str | None]
) -> None:
    python = [expected(type_, value) for value in values]
    sql = answers(opened, type_, values)
    assert [answer for answer, given in zip(python, sql, strict=True) if given != Reason.UNSURE.value] == [
        given for given in sql if given != Reason.UNSURE.value
    ]


UNSURE = re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: chr(int(match[1], 16)), UNSURE_LETTERS))
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
    assert set(answers(database, EMAIL, values)) == {Reason.UNSURE.value}


def test_every_other_letter_has_the_same_lower_case_in_all_versions(database: duckdb.DuckDBPyConnection) -> None:
    letters = map(chr, range(sys.maxunicode + 1))
    cased = [letter for letter in letters if letter.lower() != letter and not UNSURE.match(letter)]
    # As many as in Unicode 10, and in 18: a version of Python that knows more of them needs another block in the rule.
    assert len(cased) == 992
    values = [f"x{letter}@b.cc" for letter in cased]
    assert answers(database, EMAIL, values) == [expected(EMAIL, value) for value in values]


def test_only_an_address_that_the_operator_can_hash_is_unsure(database: duckdb.DuckDBPyConnection) -> None:
    values = ["SOFI\u03a3@shop.example", "SOFI\u03a3", "SOFI \u03a3@shop.example", "\u03a3" * 130 + "@shop.example"]
    assert [Reason.UNSURE.value, "not_an_email", "contains_separator", "too_long"] == answers(database, EMAIL, values)
    assert [64, "not_an_email", "contains_separator", "too_long"] == [
        64 if judged and len(judged) == 64 else judged for judged in (expected(EMAIL, value) for value in values)
    ]


def test_the_shipped_query_of_the_arms_is_the_one_that_an_export_follows() -> None:
    salt = """'${String(lift.salt).replace(/'/g, "''")}'"""
    query = Query(text="SELECT customer_id FROM people WHERE opted_in", names=["customer_id"], columns=[])
    statement = build_arms_statement(query, by="customer_id", salt=salt, share="${Math.round(lift.percent * 100)}")
    shipped = (QUERIES / "control.sql").read_text(encoding="utf-8")
    assert shipped[shipped.index("-- The arm of each person") :] == f"{statement}\n"
