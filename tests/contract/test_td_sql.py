"""The SQL of the shipped queries and workflows, as Treasure Data's emulator runs it, through td-client."""

from typing import Any

import pytest
import tdclient

from tests.contract.test_td_client import DB, run_query
from tests.emulators.td import TreasureData

# 2026-01-02 00:00:00 UTC, a Friday.
SCHEDULED = 1_767_312_000


@pytest.fixture(autouse=True)
def people(td: TreasureData) -> None:
    td.create_people(DB, (f"p{number}@shop.example" for number in range(10)))


def run(client: tdclient.Client, sql: str) -> list[list[Any]]:
    """Run a query and return its rows, none for a statement without a result."""
    job = run_query(client, sql, scheduled_time=SCHEDULED)
    assert job.success(), job.debug
    return list(job.result()) if job.result_schema else []


LEDGER = """CREATE TABLE IF NOT EXISTS ledger (audience_id varchar, plan bigint, time bigint)
WITH (bucketed_on = array['audience_id'], bucket_count = 512)"""


@pytest.mark.parametrize("create", ["CREATE TABLE made (k varchar)", "CREATE TABLE made AS SELECT 'x' AS k"])
def test_row_without_time_gets_that_of_its_job(client: tdclient.Client, create: str) -> None:
    run(client, create)
    run(client, "INSERT INTO made (k) VALUES ('y')")
    assert ["y", SCHEDULED] in run(client, "SELECT k, time FROM made")


def test_insert_with_columns_goes_by_position_and_fills_others_with_null(client: tdclient.Client) -> None:
    run(client, LEDGER)
    run(
        client,
        """-- project_id: 1
-- task_name: +mirror+plan
INSERT INTO ledger (plan, time)
WITH number AS (SELECT 7 AS a) SELECT a, cast(to_unixtime(TIMESTAMP '1970-01-01 00:01:00') AS bigint) FROM number
UNION ALL SELECT 8, 61""",
    )
    assert run(client, "SELECT * FROM ledger ORDER BY plan") == [[None, 7, 60], [None, 8, 61]]


@pytest.mark.parametrize(
    "wrong",
    [
        "INSERT INTO ledger (plan, audience_id) SELECT 1",
        "INSERT INTO ledger (nothing) SELECT 1",
        "INSERT INTO nowhere (plan) SELECT 1",
        "CREATE TABLE ledger (plan bigint)",
        "DELETE FROM ledger",
        # Types that Treasure Data's tables lack.
        "CREATE TABLE made (k varchar, is_k boolean)",
        "CREATE TABLE made AS SELECT ARRAY[true] AS k",
        "INSERT INTO ledger (plan) SELECT true",
        "CREATE TABLE made AS SELECT DATE '2026-01-02' AS k",
        "CREATE TABLE made AS SELECT 1.5 AS k",
        "ALTER TABLE ledger ADD COLUMN k array(timestamp)",
        # Trino takes no number for a condition.
        "SELECT plan FROM ledger WHERE plan",
        "SELECT plan FROM ledger WHERE NOT (plan)",
        "SELECT plan FROM ledger WHERE plan = 1 AND plan",
        "SELECT if(plan, 1) FROM ledger",
        "SELECT count_if(plan) FROM ledger",
    ],
)
def test_invalid_statement_fails_the_job_and_changes_nothing(
    td: TreasureData, client: tdclient.Client, wrong: str
) -> None:
    run(client, LEDGER)
    run(client, "INSERT INTO ledger (plan) SELECT 1")
    assert run_query(client, wrong, scheduled_time=SCHEDULED).status() == "error"
    assert run(client, "SELECT plan FROM ledger") == [[1]]
    assert {table.name for table in td.warehouse.tables(DB)} == {"people", "ledger"}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("lower(to_hex(sha256(to_utf8('a'))))", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        (r"regexp_like('ab' || chr(10), '\A[a-z]+\z')", False),
        (r"trim(BOTH U&'\00a0\200b' FROM U&'\00a0x\200b')", "x"),
        ("json_extract_scalar(json_parse('{\"a\": {\"b\": 3}}'), '$.a.b')", "3"),
        ("json_format(json_extract(json_parse('{\"a\": {\"b\": 3}}'), '$.a'))", '{"b":3}'),
        ("array_join(array_agg(x || '!' ORDER BY x DESC), ', ')", "c!, b!, a!"),
        ("max_by(x, y)", "a"),
        ("min_by(x, y)", "c"),
        # A NULL in the chosen row is the result; a row with NULL to compare is left out.
        ("max_by(nullif(x, 'a'), y)", None),
        ("min_by(nullif(x, 'c'), y)", None),
        ("max_by(x, nullif(y, 3))", "b"),
        ("max_by(x, CASE WHEN y > 5 THEN y END)", None),
        ("cardinality(array_agg(nullif(y, 3)))", 3),
        ("coalesce(array_join(array_agg(x) FILTER (WHERE y > 5), ','), '-')", "-"),
        ("greatest(max(y), nullif(max(y), 3))", None),
        ("from_base(substr('00ffee', 1, 4), 16) % 30", 15),
        ("TD_SCHEDULED_TIME()", SCHEDULED),
        ("TD_TIME_ADD(TD_SCHEDULED_TIME(), '-400d')", SCHEDULED - 400 * 86400),
        ("TD_TIME_ADD('2026-01-02', '1h', 'JST')", SCHEDULED - 8 * 3600),
        ("TD_TIME_RANGE(5, NULL, '1970-01-02')", True),
        ("TD_TIME_RANGE(86400, NULL, '1970-01-02')", False),
    ],
)
def test_functions_return_the_results_of_trino(client: tdclient.Client, expression: str, value: object) -> None:
    assert [[value]] == run(
        client, f"SELECT {expression} AS v FROM (VALUES ('a', 3), ('b', 2), ('c', 1)) t(x, y) LIMIT 1"
    )


HOUR = 3600
DAY = 86400


@pytest.mark.parametrize(
    ("interval", "begin", "end"),
    [
        ("'-30d'", SCHEDULED - 30 * DAY, SCHEDULED),
        ("'-1d/now', 'JST'", SCHEDULED - DAY - 9 * HOUR, SCHEDULED),
        ("'-1M'", SCHEDULED - 32 * DAY, SCHEDULED - DAY),
        ("'-1d/2026-01-01'", SCHEDULED - 2 * DAY, SCHEDULED - DAY),
    ],
)
def test_interval_covers_whole_units_before_the_scheduled_time(
    client: tdclient.Client, interval: str, begin: int, end: int
) -> None:
    times = f"(VALUES {begin - 1}, {begin}, {end - 1}, {end}) t(time)"
    rows = run(client, f"SELECT time FROM {times} WHERE TD_INTERVAL(time, {interval}) ORDER BY time")
    assert rows == [[begin], [end - 1]]
