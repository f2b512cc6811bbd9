import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.identifiers.hashing_sql import quote_literal, quote_name
from tests.campaigns import examples

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("", "''"),
        ("spring", "'spring'"),
        ("it's", "'it''s'"),
        (r"a\b", r"'a\b'"),
        ("'; DROP TABLE people --", "'''; DROP TABLE people --'"),
        ("a\nb", r"U&'a\000ab'"),
        ("caf\u00e9's\\", r"U&'caf\00e9''s\\'"),
        ("\U0001f600", r"U&'\+01f600'"),
    ],
)
def test_literal_quotes_any_text(text: str, literal: str) -> None:
    assert literal == quote_literal(text)


@pytest.mark.parametrize(
    ("name", "quoted"), [("email", '"email"'), ("My Mail", '"My Mail"'), ('a"b', '"a""b"'), ("größe", '"größe"')]
)
def test_name_is_quoted(name: str, quoted: str) -> None:
    assert quoted == quote_name(name)


@settings(max_examples=examples(60), deadline=None)
@given(text=TEXTS, name=TEXTS.filter(str.strip))
def test_quoted_text_is_read_back_unchanged(opened: duckdb.DuckDBPyConnection, text: str, name: str) -> None:
    statement = f"SELECT {quote_literal(text)} AS {quote_name(name)}"
    result = opened.execute(sqlglot.transpile(statement, read="trino", write="duckdb")[0])
    names = [column[0] for column in result.description or ()]
    assert ([(text,)], [name]) == (result.fetchall(), names)
