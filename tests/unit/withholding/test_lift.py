"""control.sql and lift.sql as they are shipped: the operator's arithmetic, and intervals that keep their word."""

import hashlib
import random
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.campaigns import amount, campaign
from tests.dig.template import fill
from tests.emulators.td.sql import statements

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
    done = database.execute(statement.sql)
    names = [column[0] for column in done.description or ()]
    return [dict(zip(names, row, strict=True)) for row in done.fetchall()]


def query(name: str, **lift: Any) -> str:
    return fill((QUERIES / name).read_text(), {"lift": LIFT | lift})


def is_control(key: str, *, salt: str = "spring", percent: float = 10) -> bool:
    """The definition, written down once more."""
    number = int(hashlib.sha256(f"{salt}\n{key}".encode()).hexdigest()[:8], 16)
    return number % 10_000 < round(percent * 100)


@pytest.mark.parametrize(("salt", "percent"), [("spring", 10), ("it's", 0.01), ("x", 12.34), (2026, "0.5"), ("y", 50)])
def test_each_key_is_in_the_arm_that_the_setting_control_gives_it(
    database: duckdb.DuckDBPyConnection, salt: object, percent: object
) -> None:
    keys = [*NASTY_KEYS, *(f"customer {number}" for number in range(2000))]
    database.execute("CREATE TABLE people (customer_id VARCHAR, opted_in BOOLEAN)")
    database.executemany("INSERT INTO people VALUES (?, true)", [[key] for key in [*keys, *keys[:9]]])
    database.execute("INSERT INTO people VALUES (NULL, true), ('left', false)")
    arms = {row["key"]: row["arm"] for row in rows(database, query("control.sql", salt=salt, percent=percent))}
    expected = {
        key: "control" if is_control(key, salt=str(salt), percent=float(str(percent))) else "sent" for key in keys
    }
    assert expected == arms


def test_a_whole_number_is_the_key_of_its_digits(database: duckdb.DuckDBPyConnection) -> None:
    database.execute("CREATE TABLE people AS SELECT range AS customer_id, true AS opted_in FROM range(500)")
    keys = {row["key"] for row in rows(database, query("control.sql")) if row["arm"] == "control"}
    assert {str(number) for number in range(500) if is_control(str(number))} == keys


def test_people_count_once_and_conversions_from_the_first_day_on(database: duckdb.DuckDBPyConnection) -> None:
    database.execute(
        "CREATE TABLE pinterest_arms_12 AS "
        "SELECT range::VARCHAR AS key, if(range < 10, 'control', 'sent') AS arm FROM range(100)"
    )
    database.execute("CREATE TABLE orders (customer_id BIGINT, time BIGINT)")
    bought = [(3, START), (3, START + 9), (4, START - 1), (20, START), (21, START + 5), (22, START), (777, START)]
    database.executemany("INSERT INTO orders VALUES (?, ?)", bought)
    (row,) = rows(database, query("lift.sql"))
    assert (90, 3, 10, 1) == tuple(
        row[name] for name in ("people_sent", "converted_sent", "people_control", "converted_control")
    )
    assert row["rate_sent"] - row["rate_control"] == pytest.approx(row["lift_absolute"])
    assert "too few people converted" in row["summary"]


Counts = tuple[int, int, int, int]


def compared(database: duckdb.DuckDBPyConnection, campaigns: Sequence[Counts], **lift: Any) -> list[dict[str, Any]]:
    """What the query makes of counts: people and converted of those sent, then of the control group."""
    database.execute("CREATE OR REPLACE TABLE given (n1 BIGINT, x1 BIGINT, n0 BIGINT, x0 BIGINT)")
    database.executemany("INSERT INTO given VALUES (?, ?, ?, ?)", campaigns)
    share = int(lift.get("percent", 10) * 100)
    counted = f"""SELECT
      nullif(n1, 0) AS people_sent, x1 AS converted_sent, CAST(x1 AS double) / nullif(n1, 0) AS rate_sent,
      nullif(n0, 0) AS people_control, x0 AS converted_control, CAST(x0 AS double) / nullif(n0, 0) AS rate_control,
      {share} / 10000E0 AS share FROM given"""
    inner = re.compile(r"SELECT\s+nullif\(count_if.*?ON arms\.key = conversions\.key", re.DOTALL)
    sql, count = inner.subn(lambda _: counted, query("lift.sql", **lift))
    assert 1 == count
    return rows(database, sql)


def simulated(count: int, *, sent: float, control: float, people: int = 4000, percent: float = 10) -> list[Counts]:
    rng = random.Random(26)

    def campaign() -> Counts:
        group = sum(rng.random() < percent / 100 for _ in range(people))
        converted = sum(rng.random() < sent for _ in range(people - group))
        return people - group, converted, group, sum(rng.random() < control for _ in range(group))

    return [campaign() for _ in range(count)]


@campaign
@pytest.mark.parametrize(("sent", "control"), [(0.12, 0.1), (0.1, 0.1), (0.3, 0.2)])
def test_of_a_thousand_campaigns_the_intervals_cover_the_truth_in_nineteen_of_twenty(
    database: duckdb.DuckDBPyConnection, sent: float, control: float
) -> None:
    comparison = compared(database, simulated(1000, sent=sent, control=control))
    absolute, relative = sent - control, sent / control - 1
    assert 930 <= sum(row["lift_absolute_low"] <= absolute <= row["lift_absolute_high"] for row in comparison) <= 970
    assert 930 <= sum(row["lift_relative_low"] <= relative <= row["lift_relative_high"] for row in comparison) <= 970


def test_an_even_split_is_seldom_doubted_and_an_uneven_one_is_called_out(database: duckdb.DuckDBPyConnection) -> None:
    even = compared(database, simulated(amount(1000, quick=200), sent=0.1, control=0.1))
    assert 0.03 <= statistics.mean(row["split_p"] < 0.05 for row in even) <= 0.07
    (uneven,) = compared(database, [(8700, 900, 1300, 130)])
    assert uneven["split_p"] < 0.001
    assert "Do not trust this comparison: 1300 of 10000 people are in the control group" in uneven["summary"]


@pytest.mark.parametrize(
    ("campaign", "said"),
    [
        ((9000, 1200, 1000, 100), "The audience brought conversions"),
        ((9000, 900, 1000, 150), "converted less than the control group"),
        ((9000, 900, 1000, 100), "No difference can be told"),
        ((0, 0, 0, 0), "one of the two groups is empty"),
        ((9000, 0, 1000, 0), "too few people converted (0 of those sent, 0 of the control group)"),
        ((9000, 900, 1000, 9), "too few people converted (900 of those sent, 9 of the control group)"),
    ],
)
def test_the_comparison_is_said_in_words(database: duckdb.DuckDBPyConnection, campaign: Counts, said: str) -> None:
    (row,) = compared(database, [campaign])
    assert said in row["summary"]
