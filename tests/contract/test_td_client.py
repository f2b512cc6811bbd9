"""The Treasure Data emulator against the published td-client, and against statements as digdag's `td>` sends them."""

import gzip
import io
import urllib.error
import urllib.request
from typing import Any

import msgpack
import pytest
import tdclient
import urllib3
from tdclient import errors

from tests.emulators.td import API_KEY, Fault, TreasureData

DB = "sample_db"
HEADER = "-- project_id: 1\n-- project_name: demo\n-- workflow_name: export\n-- session_id: 2\n-- task_name: +query\n"


@pytest.fixture(autouse=True)
def people(td: TreasureData) -> None:
    source = "SELECT i AS id, 'u' || i || '@a.example' AS email, 1700000000 + i AS time FROM range(500) r(i)"
    td.create(DB, "people", source)


def run_query(client: tdclient.Client, sql: str, **options: Any) -> Any:
    job = client.query(DB, sql, **({"type": "presto"} | options))
    job.wait(wait_interval=0.01)  # type: ignore[arg-type]  # seconds, passed on to time.sleep
    return job


def read_rows(client: tdclient.Client, sql: str) -> list[Any]:
    return list(run_query(client, sql).result())


def fetch(url: str, **headers: str) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, headers={"Authorization": f"TD1 {API_KEY}"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


# -- queries -----------------------------------------------------------------------------------------------------------


def test_query_returns_its_rows(client: tdclient.Client) -> None:
    job = run_query(client, HEADER + "SELECT email, id FROM people WHERE id < 2 ORDER BY id")
    assert job.success()
    assert list(job.result()) == [["u0@a.example", 0], ["u1@a.example", 1]]
    assert (job.num_records, job.result_schema) == (2, [["email", "varchar"], ["id", "bigint"]])


@pytest.mark.parametrize("engine", ["presto", "trino", "hive"])
def test_every_engine_runs_a_query_with_a_qualified_table(client: tdclient.Client, engine: str) -> None:
    assert list(run_query(client, "SELECT count(*) AS n FROM sample_db.people", type=engine).result()) == [[500]]


@pytest.mark.parametrize(
    ("expression", "name", "trino", "value"),
    [
        ("email", "email", "varchar", "u0@a.example"),
        ("1", "_col0", "integer", 1),
        ("0.5e0 AS x", "x", "double", 0.5),
        ("ARRAY['a'] AS x", "x", "array(varchar)", ["a"]),
        ("DATE '2026-01-02' AS x", "x", "date", "2026-01-02"),
        ("CAST('2026-01-02 03:04:05' AS timestamp) AS x", "x", "timestamp(3)", "2026-01-02 03:04:05.000"),
        ("CAST(NULL AS varchar) AS x", "x", "varchar", None),
        ("TD_TIME_RANGE(time, '2023-11-14 22:13:20', NULL) AS x", "x", "boolean", True),
        ("TD_TIME_RANGE(time, NULL, '2023-11-15', 'JST') AS x", "x", "boolean", False),
        ("TD_TIME_STRING(time, 's!', 'JST') AS x", "x", "varchar", "2023-11-15 07:13:20"),
    ],
)
def test_columns_have_trinos_names_types_and_values(
    client: tdclient.Client, expression: str, name: str, trino: str, value: Any
) -> None:
    job = run_query(client, f"SELECT {expression} FROM people ORDER BY id LIMIT 1", scheduled_time=1_700_000_000)
    assert ([[name, trino]], [[value]]) == (job.result_schema, list(job.result()))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nothing FROM people", 'column "nothing" not found'),
        ("SELECT * FROM nowhere", "nowhere does not exist"),
        ("SELECT FROM WHERE", "line 1:"),
        ("GRANT ALL ON people TO public", "mismatched input"),
        ("-- a comment only", "mismatched input '<EOF>'"),
        ("SELECT CAST(email AS bigint) FROM people", "Conversion Error"),
    ],
)
def test_invalid_sql_fails_the_job_with_the_engines_message(client: tdclient.Client, sql: str, message: str) -> None:
    job = run_query(client, sql)
    assert job.status() == "error"
    assert message in job.debug["stderr"]
    assert message in job.debug["cmdout"]
    with pytest.raises(errors.NotFoundError):
        list(client.job_result_each(job.id))


@pytest.mark.parametrize(
    ("database", "engine", "options", "error"),
    [
        ("nowhere", "presto", {}, errors.NotFoundError),
        (DB, "pig", {}, errors.APIError),
        (DB, "presto", {"domainkey": "x"}, errors.APIError),
        (DB, "presto", {"priority": 7}, errors.APIError),
    ],
)
def test_invalid_issue_call_is_refused(
    client: tdclient.Client, database: str, engine: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.query(database, "SELECT 1", type=engine, **options)


# -- tables of td> and td_ddl> -----------------------------------------------------------------------------------------


def test_create_table_of_td_replaces_the_table_each_time(client: tdclient.Client) -> None:
    for limit in (3, 5):
        job = run_query(
            client,
            f'{HEADER}DROP TABLE IF EXISTS "copy";\nCREATE TABLE "copy" AS\nSELECT email FROM people LIMIT {limit}',
        )
        assert job.success()
    assert read_rows(client, 'SELECT count(*) AS n FROM "copy"') == [[5]]
    assert job.result_schema is None
    with pytest.raises(errors.NotFoundError):
        list(client.job_result_each(job.id))


def test_table_of_a_query_has_a_time_column(client: tdclient.Client) -> None:
    run_query(client, 'CREATE TABLE "copy" AS\nSELECT email FROM people', scheduled_time=1_700_000_000)
    assert read_rows(client, "SELECT * FROM copy ORDER BY email LIMIT 1") == [["u0@a.example", 1_700_000_000]]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.delete_table(DB, "missing"),
        lambda client: client.tables("nowhere"),
        lambda client: client.job("999"),
    ],
)
def test_using_missing_tables_or_jobs_is_refused(client: tdclient.Client, call: Any) -> None:
    with pytest.raises(errors.NotFoundError):
        call(client)


# -- authorisation -----------------------------------------------------------------------------------------------------


def test_wrong_key_gets_the_services_authorization_error(td_url: str) -> None:
    with (
        tdclient.Client("1234/" + "f" * 40, endpoint=td_url) as stranger,
        pytest.raises(errors.AuthError, match="severity"),
    ):
        stranger.databases()


# -- results -----------------------------------------------------------------------------------------------------------


def test_result_is_downloaded_in_parts_by_range(client: tdclient.Client, td_url: str) -> None:
    job = run_query(client, "SELECT email FROM people ORDER BY id")
    address = f"{td_url}v3/job/result/{job.id}?format=msgpack.gz"
    status, headers, first = fetch(address, Range="bytes=0-99")
    _, _, rest = fetch(address, Range="bytes=100-")
    assert (status, len(first), headers["Content-Range"]) == (206, 100, f"bytes 0-99/{job.result_size}")
    assert len(list(msgpack.Unpacker(io.BytesIO(gzip.decompress(first + rest))))) == 500
    assert len(list(job.result_format("msgpack", store_tmpfile=True))) == 500


# -- faults ------------------------------------------------------------------------------------------------------------


def test_lost_response_keeps_its_job_and_the_domain_key_conflicts(td: TreasureData, client: tdclient.Client) -> None:
    td.faults.add(Fault(kind="lost", method="POST", path="/job/issue/"))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        client.query(DB, "SELECT 1 AS a", type="presto", domain_key="k")
    with pytest.raises(errors.AlreadyExistsError, match=r'"conflicts_with": "\d+"'):
        client.query(DB, "SELECT 2 AS a", type="presto", domain_key="k")
