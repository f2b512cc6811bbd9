"""The setting `history`: a row for each run, and runs that succeed although the history cannot be written."""

import contextlib
import json
import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op import history as door
from td_pinterest_op.activation import add_activation_settings
from td_pinterest_op.erase import erase_people
from td_pinterest_op.errors import (
    AudienceError,
    EntriesError,
    ExportError,
    LimitError,
    PinterestError,
    SettingsError,
)
from td_pinterest_op.export import export
from td_pinterest_op.many import export_all
from td_pinterest_op.run_history.history_table import COLUMNS
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.status import check_audiences
from td_pinterest_op.workflow import task_history as writing
from td_pinterest_op.workflow.task import Task
from tests import guard
from tests.campaigns import select_rows
from tests.e2e.audiences import ADD, CLEAR, CREATE, DELETE, REMOVE, REPLACE, is_cleared, settings_of
from tests.emulators.pinterest import AD_ACCOUNT_ID, Answer
from tests.emulators.pinterest import Fault as PinterestFault
from tests.emulators.td import Fault, JobFault
from tests.emulators.td.state import ReceivedRequest
from tests.exporting import SESSION, Services, digest, digests, people
from tests.faults import child

TABLE = "pinterest_history"
MIRROR = "mirror_current_audience"
HISTORY = f"crm.{TABLE}"
ATTEMPT: dict[str, Any] = {"session_uuid": "0f3c5a1e-0000-4000-8000-00000000abcd", "attempt_id": 7}
TASK = {"session_time": SESSION, "task_name": "+pinterest_export+export", "project_id": 1, **ATTEMPT}
CLEARING = {"type": "pinterest", "audience_type": "customer_list", "action": CLEAR, "audience_id": "77"}
# The paths of requests to the history's database, and of its jobs.
ISSUE, JOB = "/v3/job/issue/presto/crm$", "td_pinterest_op: .*history"


@pytest.fixture(autouse=True)
def database(services: Services) -> None:
    services.td.warehouse.load("crm", "others", "SELECT 1 AS n")


def read_rows(services: Services, named: str = HISTORY) -> list[dict[str, Any]]:
    """Return the rows of the history in the order of writing; none if there is no table."""
    database, name = named.split(".")
    if name not in [each.name for each in services.td.warehouse.tables(database)]:
        return []
    done = services.td.warehouse.session(database, scheduled_time=0).execute(f"SELECT * FROM {name} ORDER BY rowid")
    names = [column[0] for column in done.description or ()]
    found = [dict(zip(names, row, strict=True)) for row in done.fetchall()]
    guard.check(json.dumps(found).replace(ATTEMPT["session_uuid"], ""), "the history")
    guard.check_inert(json.dumps(found), "the history")
    return found


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
    assert ("run", "success", "pinterest_export", "+pinterest_export+export", SESSION, "7") == tuple(
        row[name] for name in ("kind", "outcome", "workflow", "task", "session_time", "attempt_id")
    )
    assert int(services.time.now()) == row["time"]
    assert (ADD, AD_ACCOUNT_ID, stored["audience_id"], 5, 5, 1) == tuple(
        row[name] for name in ("action", "ad_account_id", "audience_id", "rows_read", "records_sent", "requests_sent")
    )
    assert (stored["summary"], stored["version"], None) == (row["summary"], row["version"], row["error"])
    assert {column.name for column in COLUMNS} == set(row)


@pytest.mark.parametrize("action", [ADD, REMOVE, CREATE, REPLACE, CLEAR, DELETE])
def test_every_action_writes_its_row(services: Services, action: str) -> None:
    rows_of = None if action in (CLEAR, DELETE) else services.job(people(120))
    services.export(settings_of(services, action, people(3)) | {"history": HISTORY}, job_id=rows_of)
    assert [(action, "success")] == [(row["action"], row["outcome"]) for row in read_rows(services)]


def test_failed_run_writes_a_row_with_its_error_and_progress(services: Services) -> None:
    with pytest.raises(LimitError) as limit:
        run_add(services, settings={"min_records": 9})
    with pytest.raises(AudienceError):
        run_add(services, settings={"audience_id": "77"})
    services.pinterest.inject(PinterestFault(effect=Answer(status=500), operation="customer_lists/update", times=None))
    with pytest.raises(PinterestError, match="Partly sent: 0 of 5 records sent"):
        run_add(services, settings={"retry_count": 0})
    limited, missing, broken = read_rows(services)
    assert ("failed", str(limit.value), 5, 0) == tuple(
        limited[name] for name in ("outcome", "error", "rows_read", "requests_sent")
    )
    assert ("77", None) == (missing["audience_id"], missing["customer_list_id"])
    assert missing["error"].startswith("there is no audience 77 in ad account")
    assert ("failed", 1, 0) == tuple(broken[name] for name in ("outcome", "requests_sent", "records_sent"))


def test_repeated_attempt_writes_a_row_of_its_own(services: Services) -> None:
    settings = settings_of(services, ADD) | {"history": HISTORY}
    for attempt in (7, 8, 8):
        services.export(settings, job_id=services.job(people(3)), session_uuid="s", attempt_id=attempt)
    assert ["7", "8", "8"] == [row["attempt_id"] for row in read_rows(services)]


def test_each_run_without_a_workflow_is_a_session_of_its_own(services: Services) -> None:
    for _ in range(2):
        run_add(services, session_uuid=None, attempt_id=None, task_name=None)
    assert 2 == len({row["session_uuid"] for row in read_rows(services)})


def test_dry_run_writes_a_row_marked_as_a_dry_run(services: Services) -> None:
    run_add(services, settings={"dry_run": True})
    assert [(1, 0, 0)] == [
        (row["is_dry_run"], row["requests_sent"], row["records_sent"]) for row in read_rows(services)
    ]


def test_history_table_is_in_the_database_of_the_task_unless_it_names_one(services: Services) -> None:
    services.td.warehouse.load("shop", "others", "SELECT 1 AS n")
    run_add(services, settings={"history": TABLE}, database="shop")
    run_add(services, settings={"history": TABLE}, td={"database": "crm"})
    assert [1, 1] == [len(read_rows(services, f"{database}.{TABLE}")) for database in ("shop", "crm")]
    with pytest.raises(SettingsError, match=f"the history {TABLE} needs a database: give the task a `database`"):
        run_add(services, settings={"history": TABLE})


def test_erasure_writes_its_row_whether_a_list_fails_or_not(services: Services) -> None:
    held = [services.pinterest.add_list(f"List {number}", members=digests(9)) for number in range(3)]
    settings = {"ad_account_id": AD_ACCOUNT_ID, "history": HISTORY, "retry_count": 0}
    erase_people(task_of(services, settings, job_id=services.job(people(5))), services.time.timing)
    fault = PinterestFault(effect=Answer(status=500), path=f"/customer_lists/{held[1].id}$", times=None)
    services.pinterest.inject(fault)
    with pytest.raises(PinterestError):
        erase_people(task_of(services, settings, job_id=services.job(people(5))), services.time.timing)
    names = ("action", "outcome", "records_unique", "erasure_accounts", "erasure_lists", "requests_sent", "summary")
    assert [
        ("erase", "success", 5, 1, 3, 3, "Pinterest was asked to remove 5 records from 3 of 3 customer lists."),
        ("erase", "failed", 5, 1, 3, 3, "Pinterest was asked to remove 5 records from 2 of 3 customer lists."),
    ] == [tuple(row[name] for name in names) for row in read_rows(services)]
    assert "1 of 3 lists may still contain people who opted out" in read_rows(services)[1]["error"]


def test_interrupted_erasure_records_its_progress(services: Services, request: pytest.FixtureRequest) -> None:
    for number in range(3):
        services.pinterest.add_list(f"List {number}", members=digests(9))
    services.environ["PINTEREST_REFRESH_TOKEN"] = "pinr.s3cr3t-wrong-token"
    settings = {"ad_account_id": AD_ACCOUNT_ID, "history": HISTORY, "retry_count": 0}
    with pytest.raises(ExportError):
        erase_people(task_of(services, settings, job_id=services.job(people(5))), services.time.timing)
    assert [("failed", "Failed: 0 of 0 customer lists were processed.")] == [
        (row["outcome"], row["summary"]) for row in read_rows(services)
    ]


def test_follow_up_writes_a_row_for_each_audience_even_an_unreadable_one(services: Services) -> None:
    there, small = services.audience(people(120)), services.audience(people(40), name="Small")
    settings = {"ad_account_id": AD_ACCOUNT_ID, "audience_ids": [there, "77", small], "history": HISTORY}
    stored = check_audiences(task_of(services, settings), services.time.timing)
    assert 2 == len(stored["problems"])
    assert [
        ("follow-up", "success", there, "READY", 120, None),
        ("follow-up", "failed", "77", None, None, stored["problems"][0]),
        ("follow-up", "failed", small, "TOO_SMALL", 40, stored["problems"][1]),
    ] == [
        tuple(row[name] for name in ("kind", "outcome", "audience_id", "audience_status", "audience_size", "error"))
        for row in read_rows(services)
    ]


def test_follow_up_with_a_rejected_token_writes_a_failed_row(services: Services) -> None:
    services.environ["PINTEREST_REFRESH_TOKEN"] = "pinr.s3cr3t-wrong-token"
    settings = {"ad_account_id": AD_ACCOUNT_ID, "audience_id": "77", "history": HISTORY}
    with pytest.raises(ExportError) as refused:
        check_audiences(task_of(services, settings), services.time.timing)
    (row,) = read_rows(services)
    assert ("failed", "77", str(refused.value)) == tuple(row[name] for name in ("outcome", "audience_id", "error"))


def test_activation_writes_its_row(services: Services) -> None:
    least = {"type": "pinterest", "ad_account_id": AD_ACCOUNT_ID, "audience_type": "customer_list", "history": HISTORY}
    given = task_of(services, least, segment_name="Likely buyers", job_id=services.job(people(5)))
    export(add_activation_settings(given), services.time.timing)
    assert [("Likely buyers", CREATE)] == [(row["audience_name"], row["action"]) for row in read_rows(services)]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, None),
        ({"query": "SELECT email FROM nowhere"}, "ended with status error: nothing was sent"),
        ({"audience_id": "77"}, "there is no audience 77"),
        ({"colour": "red"}, "colour: is unknown"),
        ({"query": ""}, "query of the task is blank"),
    ],
)
def test_entry_of_several_writes_one_row_whatever_its_outcome(
    services: Services, changes: dict[str, Any], error: str | None
) -> None:
    services.td.create("crm", "people", [{"email": person} for person in people(5)])
    entry = {"name": "vip", "ad_account_id": AD_ACCOUNT_ID, "action": ADD, "query": "SELECT email FROM people"}
    entry |= {"audience_id": services.audience()} | changes
    shared = {"type": "pinterest", "audience_type": "customer_list", "history": TABLE}
    whole = task_of(services, shared, audiences=[entry], database="crm", task_name="+pinterest_many+export")
    with pytest.raises(EntriesError) if error else contextlib.nullcontext():
        export_all(whole, services.time.timing)
    (row,) = read_rows(services)
    expected = ("+pinterest_many+export vip", entry["audience_id"], "failed" if error else "success")
    assert tuple(row[column] for column in ("task", "audience_id", "outcome")) == expected
    assert (row["error"] is None) if error is None else (error in row["error"])


def test_entry_with_a_wrong_setting_writes_to_its_own_history_that_nothing_was_sent(services: Services) -> None:
    entry = {"action": ADD, "audience_id_add_people": "12", "segment": "not a table", "history": "crm.own"}
    shared = {"type": "pinterest", "history": TABLE}
    with pytest.raises(EntriesError):
        export_all(task_of(services, shared, audiences=[entry]), services.time.timing)
    (row,) = read_rows(services, "crm.own")
    assert ("failed", "12", 0) == tuple(row[name] for name in ("outcome", "audience_id", "requests_sent"))
    assert (row["task"], row["session_uuid"]) == (f"{TASK['task_name']} entry 1", ATTEMPT["session_uuid"])


def test_resubmitted_task_writes_no_row_and_logs_no_failure(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    services.environ["PINTEREST_REFRESH_TOKEN"] = "pinr.s3cr3t-wrong-token"
    environment = {"PINTEREST_REFRESH_TOKEN": "${secret:pinterest.refresh_token}"}
    with pytest.raises(ExportError):
        run_add(services, _env=environment)
    assert [] == read_rows(services)
    assert "statistics of the failed run" not in caplog.text
    with pytest.raises(ExportError):
        run_add(services)
    assert ["failed"] == [row["outcome"] for row in read_rows(services)]


def test_wrong_history_setting_is_an_error_before_any_request(services: Services) -> None:
    with pytest.raises(SettingsError):
        run_add(services, settings={"colour": "red"})
    assert [] == services.td.requests


# -- the table


def create_table_of_version_0_4(services: Services) -> None:
    """Create a history as 0.4.0 did, with one row."""
    names = {"is_dry_run": "dry_run", "is_usable": "usable"}
    old = [
        f"{names.get(column.name, column.name)} "
        + ("varchar" if column.name in names or column.type == "json" else column.type)
        for column in COLUMNS
    ]
    session = services.td.warehouse.session("crm", scheduled_time=0)
    session.execute(f"CREATE TABLE {TABLE} ({', '.join(old)})")
    session.execute(f"INSERT INTO {TABLE} (time, kind, dry_run, records_sent) VALUES (1795000000, 'run', 'true', 9)")


def test_table_of_an_earlier_version_is_extended_by_what_it_lacks(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    create_table_of_version_0_4(services)
    run_add(services)
    assert [(row["records_sent"], row["dry_run"], row["is_dry_run"]) for row in read_rows(services)] == [
        (9, "true", None),
        (5, None, 0),
    ]
    statements = [job.query for job in services.td.jobs.all() if "history" in job.query]
    assert [query.count(change) for query in statements for change in ("CREATE", "ALTER", "INSERT")] == [
        *(0, 0, 1),
        *(0, 2, 0),
    ]
    assert logged_warnings(caplog) == []


@pytest.mark.parametrize("old", [True, False])
def test_concurrent_runs_that_create_or_extend_the_table_all_write_their_row(
    services: Services, old: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if old:
        create_table_of_version_0_4(services)
    wanted = [(settings_of(services, ADD) | {"history": HISTORY}, services.job(people(3))) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(services.export, settings, job_id=job, **ATTEMPT) for settings, job in wanted]
    assert [3] * 4 == [each.result()["records"]["sent"] for each in done]
    assert 4 + old == len(read_rows(services))
    assert [] == logged_warnings(caplog)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", path=ISSUE),
        Fault(kind="reset", path=ISSUE),
        Fault(kind="lost", path=ISSUE),
        Fault(kind="status", path="/v3/job/status/"),
        JobFault(query=JOB),
        JobFault(query=JOB, times=2),
    ],
    ids=["refused once", "reset once", "answer lost", "status refused", "job fails", "jobs fail"],
)
def test_row_is_retried_after_a_temporary_failure_and_written_once(
    services: Services, fault: Fault | JobFault, caplog: pytest.LogCaptureFixture
) -> None:
    settings, job_id = settings_of(services, ADD) | {"history": HISTORY}, services.job(people(3))
    if isinstance(fault, JobFault):
        services.td.job_faults.add(fault)
    else:
        services.td.faults.add(fault)
    services.export(settings, job_id=job_id, **ATTEMPT)
    assert 1 == len(read_rows(services))
    assert [] == [warning for warning in logged_warnings(caplog) if "history" in warning]


# -- a history that cannot be written


def shorten_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "TIME_LIMIT", 0.3)
    monkeypatch.setattr(writing, "CREATION_TIME_LIMIT", 0.3)


BROKEN: dict[str, tuple[Callable[[Services], object], str]] = {
    "no such database": (lambda services: None, 'there is no database "nowhere"'),
    "503": (lambda s: s.td.faults.add(Fault(kind="status", path=ISSUE, times=None)), "response 503"),
    "no right": (
        lambda s: s.td.faults.add(Fault(kind="status", status=403, path=ISSUE, times=None)),
        "Treasure Data does not permit this to the owner of the API key",
    ),
    "reset": (lambda s: s.td.faults.add(Fault(kind="reset", path=ISSUE, times=None)), "no response"),
    "no answer": (lambda s: s.td.faults.add(Fault(kind="stall", path=ISSUE, times=None)), "within the time limit"),
    "jobs fail": (lambda s: s.td.job_faults.add(JobFault(query=JOB, times=None)), "ended with status error"),
    "no key": (lambda s: s.environ.pop("TD_API_KEY"), "there is no TD_API_KEY"),
}


@pytest.fixture(params=BROKEN)
def broken_history(
    request: pytest.FixtureRequest, services: Services, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """The table of a history that cannot be written, and what the warning says."""
    break_it, why = BROKEN[request.param]
    break_it(services)
    if request.param == "no answer":
        shorten_time_limits(monkeypatch)
    return ("nowhere" if request.param == "no such database" else "crm") + f".{TABLE}", why


# The export meets each of them.
few_broken_histories = pytest.mark.parametrize("broken_history", select_rows([*BROKEN], quick=2), indirect=True)


def test_export_with_an_unwritable_history_succeeds_with_one_warning(
    services: Services, broken_history: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    named, why = broken_history
    settings = settings_of(services, CLEAR, people(3))
    stored = services.export(settings | {"history": named}, **ATTEMPT)
    assert is_cleared(services, stored["audience_id"])
    (warning,) = logged_warnings(caplog)
    assert warning.startswith(f"this run may have no row in the history {named}: ")
    assert why in warning
    assert "nothing was sent" not in warning
    assert warning.endswith(". The run continues without its history")


@few_broken_histories
def test_unwritable_history_does_not_change_the_error_of_a_run(
    services: Services, broken_history: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"action": CLEAR, "audience_id": "77"}
    with pytest.raises(AudienceError) as without:
        services.export(settings, **ATTEMPT)
    caplog.clear()
    with pytest.raises(AudienceError) as caught:
        services.export(settings | {"history": broken_history[0]}, **ATTEMPT)
    assert str(without.value) == str(caught.value)
    assert 1 == len(logged_warnings(caplog))


@pytest.mark.parametrize("kind", ["status", "stall"])
def test_mirror_settles_with_an_unwritable_history(
    services: Services, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shorten_time_limits(monkeypatch)
    services.td.faults.add(Fault(kind=kind, path=ISSUE, times=None))
    settings = {"action": MIRROR, "audience_id": services.audience(people(3)), "begin": "replace", "history": HISTORY}
    for day, members in enumerate((people(150), people(150, first=20))):
        services.td.create("shop", "people", [{"email": person} for person in members])
        stored = services.export(
            settings, query="SELECT email FROM people", database="shop", **ATTEMPT | {"attempt_id": day}
        )
        assert {digest(person) for person in members} == services.pinterest.members_of_audience(stored["audience_id"])
    assert (20, 20) == (stored["mirror"]["joined"], stored["mirror"]["left"])
    told = [warning for warning in logged_warnings(caplog) if "history" in warning]
    assert 2 == len(told)


@few_broken_histories
def test_follow_up_with_an_unusable_history_warns_once(
    services: Services, broken_history: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    audience_id = services.audience(people(120))
    settings = {
        "ad_account_id": AD_ACCOUNT_ID,
        "audience_id": audience_id,
        "history": broken_history[0],
        "max_drop_ratio": 0.1,
    }
    stored = check_audiences(task_of(services, settings), services.time.timing)
    assert [120] == [state["size"] for state in stored["audiences"]]
    (warning,) = logged_warnings(caplog)
    assert warning.startswith(f"nothing is known from the history {broken_history[0]}: ")


@few_broken_histories
def test_unwritable_row_of_a_failed_run_causes_one_warning(
    services: Services, broken_history: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    door.write_failure(task_of(services, {}, history=broken_history[0], error={"message": "x"}), services.time.timing)
    assert 1 == len(logged_warnings(caplog))


def test_warehouse_without_response_delays_a_run_by_the_time_limit_only(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 60.0 >= writing.TIME_LIMIT
    shorten_time_limits(monkeypatch)
    services.td.faults.add(Fault(kind="stall", path=ISSUE, times=None))
    settings = settings_of(services, CLEAR, people(3)) | {"history": HISTORY}
    begin = time.monotonic()
    services.export(settings, **ATTEMPT)
    assert time.monotonic() - begin < 10.0


def test_history_job_that_does_not_end_is_killed_with_a_warning(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = services.td.add_job(status="running", query="stuck", database="crm")
    answer = json.dumps({"job_id": stuck, "job": stuck, "database": "crm"})
    services.td.faults.add(Fault(kind="status", status=200, body=answer, path=ISSUE, times=None))
    begin = services.time.now()
    services.export(settings_of(services, CLEAR, people(3)) | {"history": HISTORY}, **ATTEMPT)
    (warning,) = logged_warnings(caplog)
    assert "within the time limit" in warning
    assert services.time.now() - begin < writing.TIME_LIMIT + writing.CREATION_TIME_LIMIT
    assert services.td.job(stuck).status == "killed"


class Requests(list[ReceivedRequest]):
    """The requests that Treasure Data notes; `stalled` is set by the first that gets no response."""

    def __init__(self) -> None:
        super().__init__()
        self.stalled = threading.Event()

    def append(self, request: ReceivedRequest) -> None:
        super().append(request)
        if request.fault == "stall":
            self.stalled.set()


def test_signal_while_the_history_is_written_ends_the_task_after_its_work(services: Services, tmp_path: Path) -> None:
    services.td.faults.add(Fault(kind="stall", path=ISSUE, times=None))
    services.td.requests = requests = Requests()
    settings = settings_of(services, ADD) | {"history": HISTORY}
    run = child.start_run(services, settings, job_id=services.job(people(5)), folder=tmp_path, hurried=False, **ATTEMPT)
    assert requests.stalled.wait(30)
    begin = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    code, said = run.wait()
    assert (0, 5) == (code, run.stored["records"]["sent"]), said
    assert time.monotonic() - begin < 3.0


def test_run_ended_by_a_signal_writes_no_row(services: Services, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(shutdown.clear_request)
    services.pinterest.on_request(
        lambda call: shutdown.request_end("SIGTERM") if call.operation == "audiences/get" else None
    )
    with pytest.raises(ExportError, match="was stopped"):
        run_add(services)
    assert [] == read_rows(services)


# -- summaries of work before a failure


def test_row_of_an_error_after_sending_has_the_number_of_records_sent(services: Services) -> None:
    settings = settings_of(services, ADD) | {"retry_count": 0, "max_retry_wait_millis": 0}
    sent: list[object] = []
    services.pinterest.on_request(lambda call: sent.append(call) if call.operation == "customer_lists/update" else None)

    def refuse(call: Any) -> None:
        if call.operation == "audiences/get" and sent:
            fault = PinterestFault(effect=Answer(status=403), operation="audiences/get", times=None)
            services.pinterest.inject(fault)

    services.pinterest.on_request(refuse)
    with pytest.raises(ExportError, match=r"Before that, 5 of 5 records were sent$"):
        services.export(settings, job_id=services.job(people(5)))


# -- the row of a run that could not write its own


def record_failure(services: Services, *, scope: str = "+pinterest_export", **params: Any) -> None:
    name = f"{scope}^error^sub+for-0=0=error=0=%7B%22messag+history"
    given = {"history": HISTORY, "task_name": name, "error": {"message": "the job failed"}} | params
    door.write_failure(task_of(services, {}, **given), services.time.timing)


def test_failure_task_writes_one_row_for_a_run_that_never_began(services: Services) -> None:
    for _ in range(2):
        record_failure(services)
    assert [("run", "failed", "pinterest_export", "+pinterest_export", "the job failed")] == [
        tuple(row[name] for name in ("kind", "outcome", "workflow", "task", "error")) for row in read_rows(services)
    ]
    record_failure(services, attempt_id=8)
    record_failure(services, session_uuid="another")
    assert 3 == len(read_rows(services))


def test_failure_task_writes_no_second_row_for_a_run(services: Services) -> None:
    with pytest.raises(LimitError):
        run_add(services, settings={"min_records": 9})
    record_failure(services)
    assert 1 == len(read_rows(services))


def test_failure_of_a_later_task_gets_a_row_besides_that_of_the_run(services: Services) -> None:
    run_add(services)
    record_failure(services)
    assert ["success", "failed"] == [row["outcome"] for row in read_rows(services)]


def test_task_whose_last_row_in_the_attempt_is_a_success_has_not_failed(services: Services) -> None:
    with pytest.raises(LimitError):
        run_add(services, settings={"min_records": 9})
    services.time.sleep(60)
    run_add(services)
    for _ in range(2):
        record_failure(services)
    assert [row["outcome"] for row in read_rows(services)] == ["failed", "success", "failed"]


@pytest.mark.parametrize(
    ("task", "count"),
    [
        ("+pinterest_export", 1),
        ("+pinterest_export+export^sub", 1),
        ("+pinterest_other", 2),
        ("+pinterest_export_vip", 2),
        ("+pinterest", 2),
    ],
)
def test_failure_of_another_workflow_is_another_failure(services: Services, task: str, count: int) -> None:
    with pytest.raises(LimitError):
        run_add(services, settings={"min_records": 9}, task_name=task)
    record_failure(services)
    assert len(read_rows(services)) == count


AUDIENCES: list[dict[str, Any]] = [
    {"name": "vip", "action": ADD, "audience_id_add_people": "12", "ad_account_id": AD_ACCOUNT_ID},
    {"name": "the vip", "result_settings": {"action": CREATE, "audience_name": "New"}},
    {"name": "both", "audience_id_add_people": "12", "audience_id_remove_people": "13"},
]


@pytest.mark.parametrize("as_text", [False, True])
def test_each_entry_without_a_row_in_the_attempt_gets_one(services: Services, as_text: bool) -> None:
    audiences = json.dumps(AUDIENCES) if as_text else AUDIENCES
    many: dict[str, Any] = {"scope": "+pinterest_many", "audiences": audiences}
    settings = CLEARING | settings_of(services, ADD) | {"history": HISTORY, "ad_account_id": AD_ACCOUNT_ID}
    task = task_of(services, settings, job_id=services.job(people(5)), task_name="+pinterest_many+export")
    export(replace(task, entry="the vip"), services.time.timing)
    for _ in range(2):
        record_failure(services, **many)
    names = ("task", "outcome", "action", "ad_account_id", "audience_id", "audience_name")
    assert [tuple(row[name] for name in names) for row in read_rows(services)][1:] == [
        ("+pinterest_many vip", "failed", ADD, AD_ACCOUNT_ID, "12", None),
        ("+pinterest_many both", "failed", None, None, None, None),
    ]
    record_failure(services, **many, attempt_id=8)
    assert [(row["task"], row["audience_name"]) for row in read_rows(services)[3:]] == [
        ("+pinterest_many vip", None),
        ("+pinterest_many the vip", "New"),
        ("+pinterest_many both", None),
    ]


@pytest.mark.parametrize("audiences", ["", [], "not a list: [", [7, {}], None])
def test_failure_of_a_workflow_whose_list_has_no_entries_gets_one_row(services: Services, audiences: object) -> None:
    record_failure(services, scope="+pinterest_many", audiences=audiences)
    assert [row["task"] for row in read_rows(services)] == ["+pinterest_many"]


TARGET = {"ad_account_id": "5", "audience_id": "12", "audience_name": "New", "replace": {"audience_id": "13"}}


@pytest.mark.parametrize(
    ("workflow", "params", "subject"),
    [
        ("export", {"target": TARGET}, ("5", "12", "New")),
        ("create", {"target": TARGET}, ("5", None, "New")),
        ("replace", {"target": TARGET}, ("5", "13", None)),
        ("erase", {"target": TARGET}, ("5", None, None)),
        ("lift", {"target": TARGET, "lift": {"audience_id": "14"}}, ("5", "14", None)),
        ("export", {"ad_account_id": "6", "audience_id": "15"}, ("6", "15", None)),
        ("export", {"target": "", "lift": None}, (None, None, None)),
    ],
)
def test_row_of_a_failure_names_ad_account_and_audience_as_the_parameters_do(
    services: Services, workflow: str, params: dict[str, Any], subject: tuple[str | None, ...]
) -> None:
    record_failure(services, scope=f"+pinterest_{workflow}", **params)
    (row,) = read_rows(services)
    assert tuple(row[name] for name in ("ad_account_id", "audience_id", "audience_name")) == subject


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (
            "Python command failed with code 1\nError messages from python: There is no audience 7: check\n  both ids "
            "(AudienceError)\n\tfrom Traceback (most recent call last):\n\tfrom x (runtime)",
            "There is no audience 7: check both ids",
        ),
        ("The first line.\nThe row of jane@shop.example is wrong.", "The first line."),
        ("of jane@shop.example and ${secret:td.apikey}", "of <hidden> and $ {secret:td.apikey}"),
        ("", ""),
    ],
)
def test_failure_task_stores_one_masked_paragraph_of_the_error(services: Services, message: str, kept: str) -> None:
    record_failure(services, error={"message": message})
    assert [kept] == [row["error"] for row in read_rows(services)]


@pytest.mark.parametrize(("history", "warned"), [(None, 0), ("", 0), ({"keep": True}, 1), ("a.b.c", 1), (TABLE, 1)])
def test_failure_task_without_a_usable_table_writes_nothing_and_succeeds(
    services: Services, history: object, warned: int, caplog: pytest.LogCaptureFixture
) -> None:
    record_failure(services, history=history)
    assert [] == services.td.requests
    assert warned == len(logged_warnings(caplog))


@pytest.mark.parametrize("results", [{}, {"people_sent": 9}, {"people_sent": "many"}, None])
def test_comparison_without_counts_is_an_error(services: Services, results: object) -> None:
    with pytest.raises(SettingsError, match="there is no comparison with the control group to record"):
        door.write_lift(task_of(services, {}, history=HISTORY, td={"last_results": results}), services.time.timing)


def test_comparison_without_the_percent_of_the_control_group_is_an_error(services: Services) -> None:
    results = {"people_sent": 900, "converted_sent": 90, "people_control": 100, "converted_control": 9}
    with pytest.raises(SettingsError, match=r"lift\.percent"):
        door.write_lift(task_of(services, {}, lift={"percent": 70}, td={"last_results": results}), services.time.timing)


def test_audiences_beyond_the_size_of_one_statement_all_get_their_row(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_ROWS_AT_A_TIME", 2)
    audiences = [services.audience(people(120)) for _ in range(5)]
    settings = {"ad_account_id": AD_ACCOUNT_ID, "audience_ids": audiences, "history": HISTORY}
    check_audiences(task_of(services, settings), services.time.timing)
    assert audiences == [row["audience_id"] for row in read_rows(services)]
