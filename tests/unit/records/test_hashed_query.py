"""What the warehouse makes of a user's query: the operator's own answers, row by row, and nothing plain."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from td_pinterest_op.cli.sql import build_arms_statement, build_hashed_statement, build_rejected_statement
from td_pinterest_op.errors import SettingsError, UnexpectedError
from td_pinterest_op.identifiers.identifier_types import EMAIL, IDFA, LIST_TYPES, MAID, IdentifierType
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import ColumnIdentifiers, decode_hashed_values, read_column_identifiers
from td_pinterest_op.records.hashed_query import (
    NUMBERS,
    Query,
    build_columns_statement,
    build_hashing_statement,
    require_one_statement,
)
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.withholding.people import assign_control
from tests.emulators.td.sql import statements
from tests.unit.identifiers.test_hashing_sql import HASH, UUID, corpus

SIGMA = "SOFI\u03a3@shop.example"
DIGEST = hashlib.sha256(b"ann@lee.example").hexdigest()
# Names that only quotes keep together, and that others have as well.
NAMES = ["e-mail", "customer", 'my "ids"', "select", "E-Mail"]
COLUMNS = [
    Column(name=NAMES[0], type=EMAIL, position=0),
    Column(name=NAMES[2], type=MAID, position=2, is_array=True),
    Column(name=NAMES[3], type=IDFA, position=3),
    Column(name=NAMES[4], type=EMAIL, position=4),
]
QUERY = Query(text="SELECT * FROM nasty -- all of them;\n;\n", names=NAMES, columns=COLUMNS)
Row = tuple[Any, ...]


def run(database: duckdb.DuckDBPyConnection, statement: str, rows: Sequence[Row]) -> list[Row]:
    """The rows of a statement over `nasty` with these rows."""
    database.execute("CREATE OR REPLACE TABLE nasty (a VARCHAR, b BIGINT, c VARCHAR[], d VARCHAR, e VARCHAR)")
    database.executemany("INSERT INTO nasty VALUES (?, ?, ?, ?, ?)", rows)
    # Without comments: DuckDB takes an apostrophe in one for the beginning of a text.
    (made,) = statements(statement, dialect="trino")
    return database.execute(made.sql).fetchall()


def keys(rows: Sequence[Row], *, is_hashed_by_warehouse: bool) -> list[ColumnIdentifiers]:
    """What the operator makes of the rows of a job."""
    raw = [[_raw(value) for value in column] for column in zip(*rows, strict=True)]
    return [
        read_column_identifiers(replace(column, is_hashed_by_warehouse=is_hashed_by_warehouse), raw)
        for column in COLUMNS
    ]


def _raw(value: object) -> object:
    if isinstance(value, list):
        return tuple(map(_raw, value))
    return value.encode() if isinstance(value, str) else value


def without_unsure(columns: Sequence[ColumnIdentifiers], judged: Sequence[ColumnIdentifiers]) -> list[Any]:
    """Keys, rejections and counts of the columns, but for values that the warehouse is unsure of."""
    facts: list[Any] = []
    for column, other in zip(columns, judged, strict=True):
        unsure = {row for row, reason in other.rejected if reason is Reason.UNSURE}
        known = [entry for entry in column.rejected if entry[0] not in unsure]
        facts.append((known, [] if unsure else (column.identifiers, column.hashed_count)))
    return facts


def nasty_rows() -> list[Row]:
    values = corpus()
    others = [*values[7:], *values[:7]]
    return [
        (value, number, [value, other, None][number % 4 :], other, other)
        for number, (value, other) in enumerate(zip(values, others, strict=True))
    ]


def test_every_row_has_the_operators_answers_whatever_is_in_it(database: duckdb.DuckDBPyConnection) -> None:
    rows = nasty_rows()
    answers = run(database, build_hashing_statement(QUERY, control=None), rows)
    given, judged = keys(rows, is_hashed_by_warehouse=False), keys(spread(answers), is_hashed_by_warehouse=True)
    assert without_unsure(given, judged) == without_unsure(judged, judged)
    assert {64, 65} == {len(text) for text, *_ in answers if text and len(text) > 40}


def spread(answers: Sequence[Row]) -> list[Row]:
    """The answers with a column in the place of the customer's, which is no identifier."""
    return [(row[0], 0, *row[1:]) for row in answers]


@pytest.mark.parametrize("type_", LIST_TYPES.values())
def test_a_digest_is_marked_if_it_was_one_before(database: duckdb.DuckDBPyConnection, type_: IdentifierType) -> None:
    query = Query(text="SELECT a FROM nasty", names=["a"], columns=[Column(name="a", type=type_, position=0)])
    given = UUID if type_ is not EMAIL else "ann@lee.example"
    rows = [(value, None, None, None, None) for value in (given, HASH, "1" * 64, None, "nobody")]
    block = decode_hashed_values(
        query.columns[0],
        [_raw(value) for (value,) in run(database, build_hashing_statement(query, control=None), rows)],
    )
    assert (2, 3) == (block.hashed_count, len(list(filter(None, block.identifiers))))
    of_type = Reason.NOT_AN_EMAIL if type_ is EMAIL else Reason.NOT_A_DEVICE_ID
    assert [Reason.NULL, of_type] == [reason for _, reason in block.rejected]


@pytest.mark.parametrize("answer", [b"", b"ann@lee.example", b"x" * 64, b"\xff", 7])
def test_an_answer_that_is_neither_digest_nor_reason_ends_the_export(answer: object) -> None:
    with pytest.raises(UnexpectedError, match="neither a digest nor a reason"):
        decode_hashed_values(COLUMNS[0], [DIGEST.encode(), answer])


def number_of(control: Control, key: int) -> int:
    """The number of a person, by Python's own arithmetic."""
    return int(hashlib.sha256(f"{control.salt}\n{key}".encode()).hexdigest()[:8], 16)


@pytest.mark.parametrize("salt", ["spring", "it's", " ä\\'\n", "${x}"])
def test_a_key_becomes_the_number_that_decides(database: duckdb.DuckDBPyConnection, salt: str) -> None:
    control = Control(percent=Decimal("12.34"), salt=salt, by="customer")
    rows = [("ann@lee.example", key, None, None, None) for key in [*range(-200, 200), None]]
    answers = run(database, build_hashing_statement(QUERY, control=control), rows)
    numbers = [row[1] for row in answers]
    assert numbers.pop() is None
    expected = assign_control(control, range(-200, 200))
    assert expected == [number % NUMBERS < control.share_of_ten_thousand for number in numbers]


def test_hashed_query_keeps_other_columns_and_drops_rejected_values(
    database: duckdb.DuckDBPyConnection,
) -> None:
    rows = [(" Ann@Lee.example", 1, [UUID, "x", None], HASH.upper(), SIGMA), (None, 2, None, "n/a", "")]
    device = hashlib.sha256(UUID.encode()).hexdigest()
    expected = [(DIGEST, 1, [device], HASH, None), (None, 2, None, None, None)]
    assert expected == run(database, build_hashed_statement(QUERY), rows)


def test_rejected_values_have_the_keys_of_the_user_the_column_and_the_reason(
    database: duckdb.DuckDBPyConnection,
) -> None:
    rows = [
        ("ann@lee.example", 1, [UUID, "x", None, ""], None, None),
        (None, 2, [None], None, None),
        ("n/a", 3, [], HASH[:40], SIGMA),
        ("ann@lee.example", 4, None, None, None),
    ]
    found = run(database, build_rejected_statement(QUERY, keys=["Customer"]), rows)
    assert [
        (1, 'my "ids"', "empty"),
        (1, 'my "ids"', "not_a_device_id"),
        (2, "", "null"),
        (3, "e-mail", "placeholder"),
        (3, "select", "unsupported_hash"),
        (3, "E-Mail", "unsure"),
    ] == sorted(found, key=lambda row: row[0])


@pytest.mark.parametrize("by", ["customer", None])
def test_arms_are_those_of_the_operator(database: duckdb.DuckDBPyConnection, by: str | None) -> None:
    control = Control(percent=Decimal(20), salt="it's", by=by)
    rows = [(f"person{number}@shop.example", number, None, None, None) for number in (*range(300), 5)]
    query = Query(
        text="SELECT a, b FROM nasty", names=["email", "customer"], columns=[replace(COLUMNS[0], name="email")]
    )
    arms: dict[str, str] = dict(run(database, build_arms_statement(query, by=by, salt="'it''s'", share="2000"), rows))
    known = [str(number) if by else hashlib.sha256(person.encode()).hexdigest() for person, number, *_ in rows]
    chosen = assign_control(control, map(str.encode, known))
    assert {key: "control" if is_chosen else "sent" for key, is_chosen in zip(known, chosen, strict=True)} == arms


@pytest.mark.parametrize(
    ("query", "statement"),
    [
        ("SELECT 1", "SELECT 1"),
        (" SELECT 1 ;\n", "SELECT 1"),
        ("SELECT ';' AS \";\" -- ; it's\n", "SELECT ';' AS \";\" -- ; it's"),
        ("SELECT 1; -- done;\n/* ; */ ;", "SELECT 1"),
        ("SELECT 'it''s', 4 / 2 - 1 /* ; */", "SELECT 'it''s', 4 / 2 - 1 /* ; */"),
    ],
)
def test_a_query_loses_the_semicolon_at_its_end_and_nothing_else(query: str, statement: str) -> None:
    assert statement == require_one_statement(query)


def test_several_statements_are_an_error() -> None:
    with pytest.raises(SettingsError, match="several statements"):
        require_one_statement("SELECT 1; SELECT 2")


@pytest.mark.parametrize(
    "statement", [build_columns_statement, lambda text: build_hashed_statement(replace(QUERY, text=text))]
)
def test_comments_in_front_of_a_query_stay_in_front(statement: Any) -> None:
    made = statement("-- set session a = 'b'\n--x\nWITH people AS (SELECT 1) SELECT * FROM people -- the end")
    assert made.startswith("-- set session a = 'b'\n--x\n-- ")
    assert "\nWITH people AS (SELECT 1) SELECT * FROM people -- the end\n)" in made
