"""The setting `history`: a row for each run, and runs that succeed although the history cannot be written."""

import contextlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from td_pinterest_op.erasure import erase_people
from td_pinterest_op.errors import AudienceError, EntriesError, ExportError, LimitError, PinterestError, SettingsError
from td_pinterest_op.exporting.entry_runs import export_audiences
from td_pinterest_op.lift import _open_history, compare_and_record_lift
from td_pinterest_op.run_history.history_table import COLUMN_TYPES
from td_pinterest_op.status import check_audiences
from td_pinterest_op.task_runtime import outcome
from td_pinterest_op.task_runtime.task import Task
from td_pinterest_op.treasure_data import tables as writing
from tests import guard
from tests.e2e.audiences import ADD, CLEAR, is_cleared, settings_of
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.emulators.td import Fault, JobFault
from tests.emulators.td.warehouse import fetch_rows
from tests.exporting import SESSION, Services, people

TABLE = "pinterest_history"
HISTORY = f"crm.{TABLE}"
ATTEMPT: dict[str, Any] = {"session_uuid": "0f3c5a1e-0000-4000-8000-00000000abcd", "attempt_id": 7}
TASK = {"session_time": SESSION, "task_name": "+pinterest_export+export", "project_id": 1, **ATTEMPT}
# The paths of requests to the history's database, and of its jobs.
ISSUE = "/v3/job/issue/presto/crm$"
JOB = "td_pinterest_op: .*history"


@pytest.fixture(autouse=True)
def database(services: Services) -> None:
    services.td.warehouse.load("crm", "others", "SELECT 1 AS n")


def read_rows(services: Services, named: str = HISTORY) -> list[dict[str, Any]]:
    """Return the rows of the history in the order of writing; none if there is no table."""
    database, name = named.split(".")
    if name not in [each.name for each in services.td.warehouse.tables(database)]:
        return []
    session = services.td.warehouse.session(database, scheduled_time=0)
    found = fetch_rows(session.execute(f"SELECT * FROM {name} ORDER BY rowid"))
    guard.check(json.dumps(found).replace(ATTEMPT["session_uuid"], ""), "the history")
    guard.check_inert(json.dumps(found), "the history")
    return found


def read(services: Services, *names: str) -> list[tuple[Any, ...]]:
    """Return the values of these columns for each row."""
    return [tuple(row[name] for name in names) for row in read_rows(services)]


def run_add(services: Services, count: int = 5, **more: Any) -> dict[str, Any]:
    """Export people to a new audience, with the history."""
    settings = settings_of(services, ADD) | {"history": HISTORY} | more.pop("settings", {})
    return services.export(settings, job_id=services.job(people(count)), **ATTEMPT | more)


def task_of(services: Services, settings: dict[str, Any], **params: Any) -> Task:
    return Task(params={**TASK, "result_settings": settings, **params}, environ=services.environ)


def logged_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# -- a row for each run


def test_run_writes_one_row_with_its_statistics(services: Services) -> None:
    stored = run_add(services)
    (row,) = read_rows(services)
    expected = {
        "kind": "run",
        "outcome": "success",
        "workflow": "pinterest_export",
        "task": "+pinterest_export+export",
        "session_time": SESSION,
        "attempt_id": "7",
        "time": int(services.time.now()),
        "action": ADD,
        "ad_account_id": AD_ACCOUNT_ID,
        "audience_id": stored["audience_id"],
        "rows_read": 5,
        "records_sent": 5,
        "requests_sent": 1,
        "summary": stored["summary"],
        "version": stored["version"],
        "error": None,
    }
    assert {name: row[name] for name in expected} == expected
    assert set(COLUMN_TYPES) == set(row)


def test_failed_run_writes_a_row_with_its_error_and_progress(services: Services) -> None:
    with pytest.raises(LimitError) as limit:
        run_add(services, settings={"min_records": 9})
    with pytest.raises(AudienceError) as missing:
        run_add(services, settings={"audience_id": "77"})
    services.pinterest.answer(500, operation="customer_lists/update", times=None)
    with pytest.raises(PinterestError, match="Partly sent: 0 of 5 records sent") as broken:
        run_add(services, settings={"retry_count": 0})
    assert read(services, "outcome", "error", "rows_read", "requests_sent", "records_sent") == [
        ("failed", str(limit.value), 5, 0, 0),
        ("failed", str(missing.value), 0, 0, 0),
        ("failed", str(broken.value), 5, 1, 0),
    ]
    assert read(services, "audience_id", "customer_list_id")[1] == ("77", None)


def test_each_run_without_a_workflow_is_a_session_of_its_own(services: Services) -> None:
    for _ in range(2):
        run_add(services, session_uuid=None, attempt_id=None, task_name=None)
    assert len(set(read(services, "session_uuid"))) == 2


def test_history_table_is_in_the_database_of_the_task_unless_it_names_one(services: Services) -> None:
    services.td.warehouse.load("shop", "others", "SELECT 1 AS n")
    run_add(services, settings={"history": TABLE}, database="shop")
    run_add(services, settings={"history": TABLE}, td={"database": "crm"})
    assert [len(read_rows(services, f"{database}.{TABLE}")) for database in ("shop", "crm")] == [1, 1]
    with pytest.raises(SettingsError, match=f"the history {TABLE} needs a database: give the task a `database`"):
        run_add(services, settings={"history": TABLE})


def test_follow_up_writes_a_row_for_each_audience_even_an_unreadable_one(services: Services) -> None:
    there = services.audience(people(120))
    small = services.audience(people(40), name="Small")
    settings = {"ad_account_id": AD_ACCOUNT_ID, "audience_ids": [there, "77", small], "history": HISTORY}
    unreadable, too_small = check_audiences(task_of(services, settings), services.time.timing)["problems"]
    assert read(services, "kind", "outcome", "audience_id", "audience_status", "audience_size", "error") == [
        ("follow-up", "success", there, "READY", 120, None),
        ("follow-up", "failed", "77", None, None, unreadable),
        ("follow-up", "failed", small, "TOO_SMALL", 40, too_small),
    ]


@pytest.mark.parametrize(("run", "ids"), [(erase_people, {}), (check_audiences, {"audience_id": "77"})])
def test_run_with_a_rejected_token_writes_a_failed_row(
    services: Services, run: Callable[..., object], ids: dict[str, str]
) -> None:
    services.environ["PINTEREST_REFRESH_TOKEN"] = "pinr.s3cr3t-wrong-token"
    settings = {"ad_account_id": AD_ACCOUNT_ID, "history": HISTORY, **ids}
    with pytest.raises(ExportError) as refused:
        run(task_of(services, settings, job_id=services.job(people(5))), services.time.timing)
    assert read(services, "outcome", "audience_id", "error") == [("failed", ids.get("audience_id"), str(refused.value))]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, None),
        ({"query": "SELECT email FROM nowhere"}, "ended with status error. Nothing was sent"),
        ({"audience_id": "77"}, "there is no audience 77"),
        ({"colour": "red"}, "colour: is unknown"),
        ({"query": ""}, "query of the task is blank"),
        ({"segment": "a.b", "history": HISTORY}, "segment: is unknown"),
    ],
)
def test_entry_of_several_writes_one_row_whatever_its_outcome(
    services: Services, changes: dict[str, Any], error: str | None
) -> None:
    services.td.create_people("crm", people(5))
    entry = {"name": "vip", "ad_account_id": AD_ACCOUNT_ID, "action": ADD, "query": "SELECT email FROM people"}
    entry |= {"audience_id": services.audience()} | changes
    shared = {"type": "pinterest", "audience_type": "customer_list", "history": TABLE}
    whole = task_of(services, shared, audiences=[entry], database="crm", task_name="+pinterest_audiences+export")
    with pytest.raises(EntriesError) if error else contextlib.nullcontext():
        export_audiences(whole, services.time.timing)
    expected = ("+pinterest_audiences+export vip", entry["audience_id"], "failed" if error else "success")
    assert read(services, "task", "audience_id", "outcome") == [expected]
    ((said,),) = read(services, "error")
    assert (error or "") in (said or "")
    assert (said is None) == (error is None)


def test_resubmitted_task_writes_no_row(services: Services) -> None:
    services.environ["PINTEREST_REFRESH_TOKEN"] = "pinr.s3cr3t-wrong-token"
    with pytest.raises(ExportError):
        run_add(services, _env={"PINTEREST_REFRESH_TOKEN": "${secret:pinterest.refresh_token}"})
    assert read_rows(services) == []


# -- the table


def create_table_of_version_0_4(services: Services) -> None:
    """Create a history as 0.4.0 did, with one row."""
    names = {"is_dry_run": "dry_run", "is_usable": "usable"}
    old = [f"{names.get(name, name)} {'varchar' if name in names else type_}" for name, type_ in COLUMN_TYPES.items()]
    session = services.td.warehouse.session("crm", scheduled_time=0)
    session.execute(f"CREATE TABLE {TABLE} ({', '.join(old)})")
    session.execute(f"INSERT INTO {TABLE} (time, kind, dry_run, records_sent) VALUES (1795000000, 'run', 'true', 9)")


@pytest.mark.parametrize("old", [True, False])
def test_concurrent_runs_that_create_or_extend_the_table_all_write_their_row(
    services: Services, old: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if old:
        create_table_of_version_0_4(services)
    wanted = [(settings_of(services, ADD) | {"history": HISTORY}, services.job(people(3))) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(services.export, settings, job_id=job, **ATTEMPT) for settings, job in wanted]
    assert [each.result()["records"]["sent"] for each in done] == [3] * 4
    assert len(read_rows(services)) == 4 + old
    assert logged_warnings(caplog) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", path=ISSUE),
        Fault(kind="lost", path=ISSUE),
        Fault(kind="status", path="/v3/job/status/"),
        JobFault(query=JOB, times=2),
    ],
    ids=["refused once", "answer lost", "status refused", "jobs fail"],
)
def test_row_is_retried_after_a_temporary_failure_and_written_once(
    services: Services, fault: Fault | JobFault, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(services, ADD) | {"history": HISTORY}
    job_id = services.job(people(3))
    if isinstance(fault, JobFault):
        services.td.job_faults.add(fault)
    else:
        services.td.faults.add(fault)
    services.export(settings, job_id=job_id, **ATTEMPT)
    assert len(read_rows(services)) == 1
    assert [warning for warning in logged_warnings(caplog) if "history" in warning] == []


# -- a history that cannot be written


def refuse_queries(services: Services, kind: str = "status", status: int = 503) -> None:
    services.td.faults.add(Fault(kind=kind, status=status, path=ISSUE, times=None))


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda services: services.td.warehouse.drop_table("crm", "others"), None),
        (refuse_queries, "response 503"),
        (lambda services: refuse_queries(services, status=403), "Treasure Data does not permit this to the owner"),
        (lambda services: refuse_queries(services, "reset"), "no response"),
        (lambda services: refuse_queries(services, "stall"), "within the time limit"),
        (lambda services: services.td.job_faults.add(JobFault(query=JOB, times=None)), "ended with status error"),
        (lambda services: services.environ.pop("TD_API_KEY"), "there is no TD_API_KEY"),
    ],
)
def test_export_with_an_unwritable_history_succeeds_with_one_warning(
    services: Services,
    break_it: Callable[[Services], object],
    why: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if why == "within the time limit":
        monkeypatch.setattr(writing, "TABLE_TIME_LIMIT", 0.3)
        monkeypatch.setattr(writing, "TABLE_CREATION_TIME_LIMIT", 0.3)
    break_it(services)
    named = HISTORY if why else f"nowhere.{TABLE}"
    stored = services.export(settings_of(services, CLEAR, people(3)) | {"history": named}, **ATTEMPT)
    assert is_cleared(services, stored["audience_id"])
    (warning,) = logged_warnings(caplog)
    assert warning.startswith(f"the history {named} failed: ")
    assert (why or 'there is no database "nowhere"') in warning
    assert "Nothing was sent" not in warning
    assert warning.endswith(". The run continues, and may have no row there")


def test_failed_run_with_an_unwritable_history_keeps_its_error(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_queries(services)
    with pytest.raises(AudienceError, match=r"^there is no audience 77 in ad account \d+\. Nothing was sent\. Check"):
        run_add(services, settings={"audience_id": "77"})
    assert len(logged_warnings(caplog)) == 1


def test_follow_up_with_an_unreadable_history_warns_once(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    refuse_queries(services)
    settings = {"ad_account_id": AD_ACCOUNT_ID, "audience_id": services.audience(people(120)), "history": HISTORY}
    assert check_audiences(task_of(services, settings), services.time.timing)["usable"] == 1
    assert len(logged_warnings(caplog)) == 1


COUNTS = {"people_sent": 900, "converted_sent": 90, "people_control": 100, "converted_control": 9}


@pytest.mark.parametrize(
    ("lift", "results", "complaint"),
    [
        ({"percent": 10}, None, "there is no comparison with the control"),
        ({"percent": 10}, {"n": "many"}, "there is no comparison with the control"),
        ({"percent": 70}, COUNTS, r"lift\.percent"),
    ],
)
def test_comparison_without_counts_or_a_percent_is_an_error(
    services: Services, lift: dict[str, Any], results: object, complaint: str
) -> None:
    task = task_of(services, {}, lift=lift, td={"last_results": results})
    with pytest.raises(SettingsError, match=complaint):
        compare_and_record_lift(task, services.time.timing)


def test_comparison_has_no_warning_if_the_history_has_a_control_group(services: Services) -> None:
    row = {"kind": "run", "audience_id": "12", "outcome": "success", "records_withheld_control": 7}
    lift = {"percent": 10, "audience_id": "12", "history": HISTORY}
    task = Task(params={**TASK, "lift": lift, "td": {"last_results": COUNTS}}, environ=services.environ)
    history = _open_history(task, lift, services.time.timing)
    assert history
    history.write_rows([row])
    summary = compare_and_record_lift(task, services.time.timing)["summary"]
    assert "no run of this audience that withheld a control group" not in summary


def test_audiences_beyond_the_size_of_one_statement_all_get_their_row(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "_ROWS_PER_INSERT", 2)
    audiences = [services.audience(people(120)) for _ in range(5)]
    settings = {"ad_account_id": AD_ACCOUNT_ID, "audience_ids": audiences, "history": HISTORY}
    check_audiences(task_of(services, settings), services.time.timing)
    assert read(services, "audience_id") == [(audience_id,) for audience_id in audiences]
