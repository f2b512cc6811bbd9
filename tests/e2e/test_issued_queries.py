"""The requests that issue an export's queries: the session's time, options of jobs, comments that trace them."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from td_pinterest_op.erasure import erase_people
from td_pinterest_op.errors import StoppedError
from td_pinterest_op.task_runtime.task import Task
from tests.clock import FakeTime
from tests.e2e.audiences import ADD, settings_of
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.emulators.td.state import ReceivedRequest
from tests.exporting import ATTEMPT, SESSION, TASK_NAME, Services, digests, people

SESSION_SECONDS = "1795564800"
# 40 people of the day before the session, 60 of the day of the session, among them all who opted out.
PEOPLE = "-- set session a='b'\nSELECT email FROM people WHERE TD_INTERVAL(time, '-1d')"
LISTS: dict[str, Any] = {"suppress": "SELECT email FROM opted_out", "consent": "SELECT email FROM agreed"}
OPTIONS = {"priority": "1", "pool_name": "small", "engine_version": "350", "retry_limit": "2"}
TASK: dict[str, Any] = {
    "query": PEOPLE,
    "database": "crm",
    "priority": 1,
    "job_retry": 2,
    "td": {"presto_pool_name": "small", "hive_pool_name": "wrong", "engine_version": "350"},
    **ATTEMPT,
}
TRACING = (
    "-- project_id: 1\n-- project_name: \n-- workflow_name: pinterest_export\n-- session_id: \n-- attempt_id: 7\n"
    f"-- task_name: {TASK_NAME}\n"
)


@pytest.fixture(autouse=True)
def _tables(services: Services) -> None:
    day = 24 * 3600
    rows = [{"email": person, "time": int(SESSION_SECONDS) - day + 3600} for person in people(40)]
    rows += [{"email": person, "time": int(SESSION_SECONDS) + 3600} for person in people(60, first=40)]
    services.td.create("crm", "people", rows)
    services.td.create_people("crm", people(100), table="agreed")
    services.td.create_people("crm", people(60, first=30), table="opted_out")


def export(services: Services, **settings: Any) -> str:
    """Export yesterday's people, and return the audience's id."""
    audience_id = services.audience()
    services.export({"action": ADD, "audience_id": audience_id, **settings}, **TASK, **LISTS)
    assert services.pinterest.members_of_audience(audience_id) == digests(30)
    return audience_id


def mirror(services: Services) -> None:
    export(services, action="mirror_current_audience", begin="replace", min_records=1)


def export_hashed(services: Services) -> None:
    export(services, hash_in="warehouse")


def erase(services: Services) -> None:
    audience_id = services.audience(people(100))
    settings = {"ad_account_ids": AD_ACCOUNT_ID}
    params = {"session_time": SESSION, "task_name": TASK_NAME, "project_id": 1, "result_settings": settings, **TASK}
    erase_people(Task(params=params, environ=services.environ), services.time.timing)
    assert services.pinterest.members_of_audience(audience_id) == digests(60, first=40)


def is_of_list(request: ReceivedRequest) -> bool:
    return any(sql in request.form["query"] for sql in LISTS.values())


@pytest.mark.parametrize("run", [export, export_hashed, mirror, erase])
def test_queries_have_the_options_and_comments_of_a_td_task_and_the_session_time(
    services: Services, run: Callable[[Services], object]
) -> None:
    run(services)
    issued = services.td.calls("POST", "/v3/job/issue")
    with_people = [request for request in issued if "TD_INTERVAL" in request.form["query"]]
    assert with_people
    for request in issued:
        form = request.form
        assert re.match(f"(-- (td_pinterest_op: |set session a).*\n)*{re.escape(TRACING)}(?!--)", form["query"])
        returns_rows = "INSERT" not in form["query"] and "CREATE" not in form["query"]
        options = OPTIONS if returns_rows else {name: OPTIONS[name] for name in OPTIONS if name != "retry_limit"}
        assert options == {name: form[name] for name in form.keys() & OPTIONS}
        if request in with_people:
            assert form["scheduled_time"] == SESSION_SECONDS
            assert not is_of_list(request)
        elif is_of_list(request) and "LIMIT 0" not in form["query"]:
            assert "scheduled_time" not in form


def test_comments_change_no_domain_key_so_a_retry_adopts_its_job(services: Services) -> None:
    for session_id in (1, 2):
        services.export(settings_of(services, ADD), **TASK, session_id=session_id)
    queries, keys = zip(
        *((call.form["query"], call.form["domain_key"]) for call in services.td.calls("POST", "/v3/job/issue")),
        strict=True,
    )
    assert len(set(queries)) == 2
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    ("words", "is_killed", "settings", "params"),
    [
        (r"TD_INTERVAL", False, {}, {}),  # the same attempt adopts it
        (r"TD_INTERVAL", True, {}, {"attempt_id": None}),
        (r"opted_out", True, {}, LISTS),
        (r"LIMIT 0", True, {"hash_in": "warehouse"}, {}),
        (r"identifiers as digests", False, {"hash_in": "warehouse"}, {}),
        (r"state of the ledger", True, {"action": "mirror_current_audience", "begin": "replace"}, {}),
        (r"CREATE TABLE .*suppress", True, {"action": "mirror_current_audience", "begin": "replace"}, LISTS),
        (r"write the plan", True, {"action": "mirror_current_audience", "begin": "replace"}, {}),
        (r"INSERT .*history", True, {"history": "crm.pinterest_history"}, {}),
    ],
)
def test_a_run_that_is_stopped_kills_the_job_that_it_awaits_unless_a_retry_adopts_it(
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    is_killed: bool,
    settings: dict[str, Any],
    params: dict[str, Any],
) -> None:
    audience_id = services.audience()
    given = {"action": ADD, "audience_id": audience_id, "min_records": 1, **settings}

    def sleep(_self: FakeTime, _seconds: float) -> None:
        if re.search(words, services.td.jobs.all()[0].query, re.DOTALL):
            raise StoppedError("the run was stopped (SIGTERM)")

    with monkeypatch.context() as patch:
        services.td.switches.queued_polls = 1
        patch.setattr(FakeTime, "sleep", sleep)
        with pytest.raises(StoppedError) if "history" not in given else contextlib.nullcontext():
            services.export(given, **TASK | params)
    awaited = services.td.jobs.all()[0].id
    killed = [request.path.rpartition("/")[2] for request in services.td.calls("POST", "/v3/job/kill")]
    assert killed == [awaited] * is_killed
    services.td.switches.queued_polls = 0
    services.export(given, **TASK | params)
    assert services.pinterest.members_of_audience(audience_id) == digests(30 if params == LISTS else 40)
