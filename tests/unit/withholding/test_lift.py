"""control.sql and lift.sql as they are shipped, and the comparison of what they count."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from td_pinterest_op.run_history.lift import COUNT_NAMES, compare_with_control_group
from tests.dig.template import fill
from tests.e2e.audiences import is_in_control
from tests.emulators.td.sql import statements
from tests.emulators.td.warehouse import fetch_rows

QUERIES = Path(__file__).parents[3] / "workflows" / "queries"
LIFT = {
    "audience_id": "12",
    "percent": 10,
    "salt": "spring",
    "conversions": "orders",
    "conversions_key": "customer_id",
    "conversions_time": "time",
    "start": "2026-11-01",
}
START = 1_793_491_200
NASTY_KEYS = [
    *("", " ", "a", "A", " a ", "ä", "Σ", "日本", "'", "\\", "a\nb", "\U0001f600", "0", "12", "f" * 64, "x" * 500),
]


def rows(database: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    (statement,) = statements(sql, dialect="trino")
    return fetch_rows(database.execute(statement.sql))


def query(name: str, **lift: Any) -> str:
    return fill((QUERIES / name).read_text(), {"lift": LIFT | lift})


@pytest.mark.parametrize(("salt", "percent"), [("spring", 10), ("it's", 0.01), ("x", 12.34), (2026, "0.5"), ("y", 50)])
def test_each_key_is_in_the_arm_that_the_setting_control_gives_it(
    database: duckdb.DuckDBPyConnection, salt: object, percent: object
) -> None:
    keys = [*NASTY_KEYS, *(f"customer {number}" for number in range(2000))]
    database.execute("CREATE TABLE people (customer_id VARCHAR, opted_in BIGINT)")
    database.executemany("INSERT INTO people VALUES (?, true)", [[key] for key in [*keys, *keys[:9]]])
    database.execute("INSERT INTO people VALUES (NULL, true), ('left', false)")
    arms = {row["key"]: row["arm"] for row in rows(database, query("control.sql", salt=salt, percent=percent))}
    expected = {key: "control" if is_in_control(key, float(str(percent)), salt=str(salt)) else "sent" for key in keys}
    assert arms == expected


def test_a_whole_number_is_the_key_of_its_digits(database: duckdb.DuckDBPyConnection) -> None:
    database.execute("CREATE TABLE people AS SELECT range AS customer_id, 1 AS opted_in FROM range(500)")
    keys = {row["key"] for row in rows(database, query("control.sql")) if row["arm"] == "control"}
    assert keys == {str(number) for number in range(500) if is_in_control(str(number), 10)}


def test_people_count_once_and_conversions_from_the_first_day_on(database: duckdb.DuckDBPyConnection) -> None:
    database.execute(
        "CREATE TABLE pinterest_arms_12 AS "
        "SELECT range::VARCHAR AS key, if(range < 10, 'control', 'sent') AS arm FROM range(100)"
    )
    database.execute("CREATE TABLE orders (customer_id BIGINT, time BIGINT)")
    bought = [(3, START), (3, START + 9), (4, START - 1), (20, START), (21, START + 5), (22, START), (777, START)]
    database.executemany("INSERT INTO orders VALUES (?, ?)", bought)
    assert rows(database, query("lift.sql")) == [
        {"people_sent": 90, "converted_sent": 3, "people_control": 10, "converted_control": 1}
    ]


def compare(*counts: int, percent: float = 10) -> dict[str, Any]:
    """Compare people and converted of those sent, then of the control group."""
    return compare_with_control_group(dict(zip(COUNT_NAMES, counts, strict=True)), control_share=percent / 100)


def test_figures_are_those_of_a_table_of_statistics() -> None:
    # Newcombe (1998), table II, method 10, for the difference; the ratio by hand.
    figures = compare(70, 56, 80, 48, percent=53)
    expected = {"lift_absolute": 0.2, "lift_absolute_low": 0.0524, "lift_absolute_high": 0.3339, "lift_relative": 1 / 3}
    assert pytest.approx(expected, abs=1e-4) == {name: figures[name] for name in expected}
    assert (figures["lift_relative_low"], figures["lift_relative_high"]) == pytest.approx((0.0766, 0.6512), abs=1e-4)


@pytest.mark.parametrize(("control", "split_p"), [(1000, 1), (1050, 0.0989), (950, 0.0989), (1300, 0)])
def test_an_uneven_split_is_improbable_and_called_out(control: int, split_p: float) -> None:
    # 50 more or less than expected, after the correction for continuity, are 1.65 standard deviations.
    figures = compare(10_000 - control, 900, control, 100)
    assert figures["split_p"] == pytest.approx(split_p, abs=1e-4)
    warning = f"Do not trust this comparison: {control} of 10000 people are in the control group"
    assert (warning in figures["summary"]) == (split_p < 0.001)


@pytest.mark.parametrize(
    ("counts", "said", "unknown"),
    [
        ((9000, 1200, 1000, 100), "The audience brought conversions", 0),
        ((9000, 900, 1000, 150), "converted less than the control group", 0),
        ((9000, 900, 1000, 100), "No difference can be told", 0),
        ((0, 0, 0, 0), "one of the two groups is empty", 9),
        ((9000, 9, 0, 0), "one of the two groups is empty", 9),
        ((9000, 0, 1000, 0), "too few people converted (0 of those sent, 0 of the control group)", 3),
        ((9000, 0, 1000, 100), "too few people converted (0 of those sent, 100 of the control group)", 2),
        ((9000, 900, 1000, 9), "too few people converted (900 of those sent, 9 of the control group)", 0),
    ],
)
def test_the_comparison_is_said_in_words(counts: tuple[int, ...], said: str, unknown: int) -> None:
    figures = compare(*counts)
    assert said in figures["summary"]
    assert [value for value in figures.values() if value is None] == [None] * unknown
