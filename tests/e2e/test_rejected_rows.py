"""The setting `rejected`: a row in a table for each rejected value, without the value, and no failure about it."""

import json
import logging
import re
from collections import Counter
from typing import Any

import pytest

from td_pinterest_op.errors import ExportError, InvalidRowsError, SettingsError
from td_pinterest_op.exporting.entry_runs import export_audiences
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.task_runtime.task import Task
from td_pinterest_op.treasure_data import tables
from tests import guard
from tests.e2e.audiences import ADD, settings_of
from tests.emulators.pinterest import AD_ACCOUNT_ID, Call
from tests.emulators.td.warehouse import fetch_rows
from tests.exporting import ATTEMPT, SESSION, TASK_NAME, Services, people
from tests.warehouses import SIGMA, corpus

TABLE = "pinterest_rejected"
INSERT = "td_pinterest_op: the rejected rows of this run"
LISTS = {"rejected": TABLE, "rejected_keys": "customer_id", "ignore_invalid_records": True}
QUERY = "SELECT email, maid, customer_id FROM people"
MIRROR = {"action": "mirror_current_audience", "begin": "replace", "min_records": 1}
PEOPLE: list[dict[str, Any]] = [
    {"email": "ann@shop.example", "maid": None, "customer_id": 1},
    {"email": "nobody", "maid": "1234-5678", "customer_id": 2},
    {"email": None, "maid": None, "customer_id": 3},
    {"email": "n/a", "maid": "5eed0001-aaaa-4bbb-8ccc-000000000001", "customer_id": None},
]


@pytest.fixture(autouse=True)
def _people(services: Services) -> None:
    services.td.create("crm", "people", PEOPLE)


def run_export(services: Services, settings: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """Export the people of `QUERY` with a table of rejected rows."""
    settings = settings_of(services, ADD) | LISTS | (settings or {})
    return services.export(settings, **{"query": QUERY, "database": "crm", **ATTEMPT, **params})


def read_rows(services: Services, name: str = TABLE, database: str = "crm") -> list[dict[str, Any]]:
    """Return the rows of the table of rejected rows, none if there is no table."""
    if name not in [each.name for each in services.td.warehouse.tables(database)]:
        return []
    session = services.td.warehouse.session(database, scheduled_time=0)
    rows = fetch_rows(session.execute(f"SELECT * FROM {name} ORDER BY ALL"))
    shown = [{column: value for column, value in row.items() if column != "session_uuid"} for row in rows]
    guard.check(json.dumps(shown), "the table of rejected rows")
    return rows


def read_reasons(services: Services) -> Counter[str]:
    return Counter(row["reason"] for row in read_rows(services))


def logged_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    return [warning for warning in warnings if "rejected" in warning]


# -- the rows


def test_each_rejected_value_is_a_row_with_the_keys_and_the_run_but_no_value(services: Services) -> None:
    stored = run_export(services)
    rows = read_rows(services)
    about_run = {
        "time": int(services.time.now()),
        "session_time": SESSION,
        "session_uuid": ATTEMPT["session_uuid"],
        "attempt_id": "7",
        "task": TASK_NAME,
        "ad_account_id": AD_ACCOUNT_ID,
        "audience_id": stored["audience_id"],
    }
    assert [{name: row[name] for name in about_run} for row in rows] == [about_run] * 4
    assert {(row["customer_id"], row["identifier"], row["reason"]) for row in rows} == {
        ("2", "email", "not_an_email"),
        ("2", "maid", "not_a_device_id"),
        ("3", "", "null"),
        (None, "email", "placeholder"),
    }
    assert set(rows[0]) == {*about_run, "customer_id", "identifier", "reason", "hidden_keys"}


@pytest.mark.parametrize(
    ("query", "settings"),
    [
        ("SELECT email, customer FROM nasty", {}),
        ("SELECT maid AS idfa, customer FROM nasty", {}),
        ('SELECT email, "Mail" AS mail, customer FROM nasty', {"columns": {"Mail": "email"}}),
        ('SELECT ARRAY[email, NULL, "Mail"] AS email, maid, customer FROM nasty', {}),
        (
            "SELECT customer, email, maid FROM nasty",
            {"control": {"percent": 10, "salt": "spring", "by": "Customer"}},
        ),
    ],
)
@pytest.mark.parametrize("place", [{"hash_in": "operator"}, {"hash_in": "warehouse"}, MIRROR])
def test_table_has_the_reasons_that_the_run_has_counted(
    services: Services, query: str, settings: dict[str, Any], place: dict[str, Any]
) -> None:
    values = corpus()
    pairs = enumerate(zip(values, [*values[1:], *people(1)], strict=True))
    rows: list[dict[str, Any]] = [
        {"email": value, "Mail": other, "maid": other, "customer": None if number % 50 == 9 else number}
        for number, (value, other) in pairs
    ]
    services.td.create("crm", "nasty", [*rows, dict.fromkeys(rows[0])])
    stored = run_export(services, {"rejected_keys": "customer", **settings, **place}, query=query)
    counts = {reason: count for reason, count in stored["rows"]["invalid_by_reason"].items() if count}
    assert sum(counts.values()) > 50
    assert read_reasons(services) == counts


def test_address_that_only_the_operator_can_hash_is_listed_only_if_the_warehouse_judged(services: Services) -> None:
    services.td.create("crm", "greek", [{"email": value, "customer_id": 1} for value in [SIGMA, "x", *people(1)]])
    query = "SELECT email, customer_id FROM greek"
    assert run_export(services, query=query)["records"]["sent"] == 2
    assert read_reasons(services) == {"not_an_email": 1}
    assert run_export(services, {"hash_in": "warehouse"}, query=query)["records"]["sent"] == 1
    assert read_reasons(services) == {"not_an_email": 2, "unsure": 1}


def test_rows_with_several_keys_list_each_rejected_key_also_of_valid_rows(services: Services) -> None:
    stored = run_export(services, {"records": "rows"})
    assert (stored["rows"]["invalid"], stored["records"]["invalid_keys"]) == (2, 1)
    assert read_reasons(services) == {"not_an_email": 1, "not_a_device_id": 1, "null": 1, "placeholder": 1}


def test_keys_with_the_names_of_the_tables_own_columns_get_a_prefix(services: Services) -> None:
    query = "SELECT 'x' AS email, 1 AS Time, 'here' AS reason, 2 AS key_reason, 'b@c.dd' AS mail"
    keys = ["time", "key_reason", "Reason"]
    run_export(services, {"rejected_keys": keys, "columns": {"mail": "email"}}, query=query)
    (row,) = read_rows(services)
    names = ("key_time", "key_reason", "key_key_reason", "reason")
    assert [row[name] for name in names] == ["1", "2", "here", "not_an_email"]


def test_table_gets_further_keys_and_the_rows_of_later_runs(services: Services) -> None:
    run_export(services)
    run_export(services, {"rejected_keys": "customer_id, source"}, query="SELECT *, 'web' AS source FROM people")
    assert Counter(row["source"] for row in read_rows(services)) == {None: 4, "web": 4}


def test_table_may_be_in_another_database_than_the_query(services: Services) -> None:
    services.td.create("shop", "others", [{"n": 1}])
    run_export(services, {"rejected": f"shop.{TABLE}"})
    assert len(read_rows(services, database="shop")) == 4


@pytest.mark.parametrize("place", [{}, MIRROR])
def test_keys_that_hold_an_identifier_are_null_with_one_warning_of_their_number(
    services: Services, place: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    query = "SELECT email, maid, email AS k, 'id ' || maid AS device, customer_id FROM people"
    settings = {"rejected_keys": "k, device, customer_id", "control": {"percent": 10, "salt": "s", "by": "k"}, **place}
    run_export(services, settings, query=query)
    rows = read_rows(services)
    assert {(row["k"], row["device"]) for row in rows} == {(None, None)}
    assert {row["customer_id"] for row in rows} == {"2", "3", None}
    (warning,) = logged_warnings(caplog)
    assert warning.startswith("6 keys of rejected rows hold an identifier or a digest, and are null in crm.")


# -- when there are rows


def test_run_that_stops_because_of_invalid_rows_lists_them(services: Services) -> None:
    with pytest.raises(InvalidRowsError):
        run_export(services, {"ignore_invalid_records": False})
    assert len(read_rows(services)) == 4
    with pytest.raises(InvalidRowsError):
        run_export(services, {"ignore_invalid_records": False, **MIRROR})
    assert len(read_rows(services)) == 8


@pytest.mark.parametrize(
    ("settings", "params"),
    [({"dry_run": True}, {}), ({}, {"query": f"{QUERY} WHERE customer_id = 1"})],
    ids=["dry run", "no invalid row"],
)
def test_dry_run_and_run_without_invalid_rows_read_the_query_once_and_make_no_table(
    services: Services, settings: dict[str, Any], params: dict[str, Any]
) -> None:
    run_export(services, settings, **params)
    assert read_rows(services) == []
    assert len(services.td.jobs.all()) == 1


def test_query_is_read_a_second_time_with_the_same_scheduled_time_and_options(services: Services) -> None:
    query = f"-- set session x = 'y'\n{QUERY}"
    run_export(services, query=query, priority="1", job_retry="2")
    count, last, *_, first = services.td.jobs.all()
    assert count.query.startswith("-- td_pinterest_op: the hidden keys among the rejected rows of this run\n")
    assert (last.scheduled_time, last.database) == (first.scheduled_time, first.database)
    assert last.query.startswith("-- td_pinterest_op: the rejected rows of this run\n-- set session x = 'y'\n")
    assert INSERT in last.query
    forms = [call.form for call in services.td.calls("POST", "/v3/job/issue/")]
    assert (forms[0]["priority"], forms[-2]["priority"]) == ("1", "1")
    assert "retry_limit" not in forms[-2]


def test_each_entry_of_several_lists_its_own_rejected_rows(services: Services) -> None:
    audiences = [{"name": name, "action": ADD, "audience_id": services.audience()} for name in ("a", "b")]
    settings = {"type": "pinterest", "ad_account_id": AD_ACCOUNT_ID, "audience_type": "customer_list"} | LISTS
    params = {"audiences": audiences, "result_settings": settings, "query": QUERY, "database": "crm"}
    export_audiences(
        Task(params={"task_name": "+many+export", **params}, environ=services.environ), services.time.timing
    )
    assert Counter(row["task"] for row in read_rows(services)) == {"+many+export a": 4, "+many+export b": 4}


def test_run_ended_by_a_signal_lists_nothing_and_has_no_row_in_the_history(
    services: Services, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(shutdown.clear_request)
    services.pinterest.on_request(
        lambda call: shutdown.request_end("SIGTERM") if call.operation == "customer_lists/update" else None
    )
    with pytest.raises(ExportError, match="was stopped"):
        run_export(services, {"history": "pinterest_history"})
    assert [table.name for table in services.td.warehouse.tables("crm")] == ["people"]


# -- no failure


@pytest.mark.parametrize(
    ("settings", "params", "why"),
    [
        ({}, {"query": None, "job_id": "12"}, "it needs `query`, and the engine presto or trino"),
        ({}, {"engine": "hive", "query": "SELECT email, customer_id FROM people"}, "it needs `query`, and the engine"),
        ({"rejected_keys": "customer_id,source"}, {}, "the query has no column source, which rejected_keys names"),
        (
            {"records": "rows"},
            {"query": "SELECT '+4930901820' AS phone, customer_id FROM people UNION ALL SELECT '12', 5"},
            "the warehouse cannot judge the values of phone",
        ),
        ({"rejected": "nowhere.rejected"}, {}, 'there is no database "nowhere"'),
        ({"rejected": "people"}, {}, "it is not the operator's table, which has a column ad_account_id and a column "),
    ],
)
def test_export_whose_rejected_rows_cannot_be_listed_succeeds_with_one_warning(
    services: Services, settings: dict[str, Any], params: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    if "job_id" in params:
        params["job_id"] = services.job(["x", *people(1)])
    before = services.td.warehouse.tables("crm")
    run_export(services, settings, **params)
    (warning,) = logged_warnings(caplog)
    assert warning.startswith("the table of rejected rows ")
    assert why in warning
    assert warning.endswith(". The run continues, and may have no row there")
    assert services.td.warehouse.tables("crm") == before


@pytest.mark.parametrize("setting", ["rejected", "history"])
@pytest.mark.parametrize("columns", ["[]", '[["time", "long"]]', ""])
def test_foreign_table_without_other_columns_than_time_is_not_extended(
    services: Services, setting: str, columns: str, caplog: pytest.LogCaptureFixture
) -> None:
    services.td.create("crm", "foreign", [{"time": 1}])
    before = services.td.warehouse.tables("crm")
    listed = [{"name": "foreign", "schema": columns, "created_at": "2026-11-29 08:15:00 UTC"}]
    services.td.answer(200, body=json.dumps({"tables": listed}), path="/v3/table/list/", times=None)
    run_export(services, {setting: "foreign"} | ({"rejected": None} if setting == "history" else {}))
    assert "crm.foreign failed: it is not the operator's table" in caplog.text
    assert services.td.warehouse.tables("crm") == before


def test_job_is_waited_for_as_long_as_the_history_and_then_goes_on(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    run_export(services)  # makes the table
    stuck = services.td.add_job(status="running", query="stuck", database="crm")
    answer = json.dumps({"job_id": stuck, "job": stuck, "database": "crm"})

    def answer_with_stuck_job(call: Call) -> None:
        if call.operation == "customer_lists/update":
            services.td.answer(200, body=answer, path="/v3/job/issue/", times=None)

    services.pinterest.on_request(answer_with_stuck_job)
    begin = services.time.now()
    run_export(services)
    (warning,) = logged_warnings(caplog)
    assert "within the time limit" in warning
    assert services.time.now() - begin < 2 * tables.TABLE_TIME_LIMIT
    assert services.td.job(stuck).status == "running"


# -- settings


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"rejected_keys": None}, "rejected_keys: missing, and rejected needs it"),
        (
            {"rejected_keys": ["customer_id", "Email"]},
            "rejected_keys: must not name a column of identifiers, as 'email' is",
        ),
        ({"rejected_keys": "phone"}, "rejected_keys: must not name a column of identifiers, as 'phone' is"),
        (
            {"columns": {"Mail": "email"}, "rejected_keys": "mail"},
            "must not name a column of identifiers, as 'mail' is",
        ),
        ({"rejected_keys": [""]}, "rejected_keys: number 1: "),
        ({"rejected": "no table"}, "rejected: 'no table' is not an allowed value"),
    ],
)
def test_wrong_setting_is_an_error_before_anything(services: Services, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(problem)):
        run_export(services, settings)
    assert services.td.jobs.all() == []
    assert services.pinterest.calls.all() == []
