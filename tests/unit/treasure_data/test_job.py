"""The job whose rows are exported: found or issued, waited for, checked."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from td_pinterest_op.errors import JobError, StoppedError, TreasureDataError
from td_pinterest_op.treasure_data.job import Job, JobOrQuery, run_or_await_job
from td_pinterest_op.treasure_data.td_api import TreasureData
from tests.clock import FakeTime
from tests.unit.scripted import describe_td

QUERY = JobOrQuery(query="select email from customers", database="crm", engine="presto", attempt_key="first")
EMAIL = '[["email","varchar"]]'
UNKNOWN_COUNTS: list[object] = [None, "", "many", [], float("inf"), float("nan"), "Infinity", 1e300, -1, 10**400]

NUMBERS = ["+12025550101", "12025550101", "(202) 555-0101", "202.555.0101", "030/9018 20", "1234567", "\uff11" * 7]
NAMES_AND_POSITIONS = [
    "line 1:8: no column c20260101 in customers_20260101 or 20260101_customers",
    "started at 2026-11-27 16:50:15 UTC and at 2026-11-27T16:50:15Z",
    "20261127_165015_00012_abcde failed: 123456 rows, 1.5GB at (Query.java:1234)",
]


class Scripted(TreasureData):
    """Answers each call from a script, the last answer of a path again and again; nothing is sent."""

    def __init__(self, time: FakeTime, script: dict[str, list[tuple[int, dict[str, Any]]]]) -> None:
        super().__init__(**describe_td(time, retries=1))
        self.script = script
        self.asked: list[tuple[str, dict[str, str]]] = []

    def call(self, method: str, path: str, *, subject: str = "", **params: str) -> tuple[int, dict[str, Any]]:
        self.asked.append((f"{method} {path}", params))
        answers = self.script[path]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def shown(status: str = "success", **fields: Any) -> dict[str, Any]:
    return {"status": status, "hive_result_schema": EMAIL, "num_records": 7, "result_size": 70} | fields


def finished(time: FakeTime, show: dict[str, Any], *statuses: str) -> Job:
    script = {
        "/v3/job/status/5": [(200, {"status": status}) for status in statuses or (show["status"],)],
        "/v3/job/show/5": [(200, show)],
    }
    return run_or_await_job(Scripted(time, script), JobOrQuery(job_id="5"))


# -- a job that is found


def test_a_job_that_succeeded_has_its_columns_and_counts(fake_time: FakeTime) -> None:
    expected = Job(id="5", schema=(("email", "varchar"),), records=7, size=70)
    assert finished(fake_time, shown()) == expected
    assert fake_time.slept == []


@pytest.mark.parametrize(("value", "expected"), [("12", 12), *((value, None) for value in UNKNOWN_COUNTS)])
def test_count_may_be_text_and_an_invalid_one_is_unknown(
    fake_time: FakeTime, value: object, expected: int | None
) -> None:
    job = finished(fake_time, shown(num_records=value, result_size=value))
    assert (job.records, job.size) == (expected, expected)


def test_running_job_is_polled_less_and_less_often(fake_time: FakeTime) -> None:
    finished(fake_time, shown(), "queued", "booting", *["running"] * 20, "success")
    assert fake_time.slept[0] == 0.1
    assert 10.0 == fake_time.slept[-1] == max(fake_time.slept)
    assert sorted(fake_time.slept) == fake_time.slept


def test_a_long_wait_is_reported_every_ten_seconds(fake_time: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    finished(fake_time, shown(), *["running"] * 100, "success")
    # 84 polls are ten seconds apart; the waits before are shorter, and the first of them have no line.
    assert 84 < len(caplog.messages) < 98
    assert caplog.messages[-1].startswith("waiting for job 5 (running): ")


@pytest.mark.parametrize(
    ("purpose", "words", "has_advice"),
    [
        ("settle the plan", "line 1:8: Column 'members' cannot be resolved", True),
        ("settle the plan", "Division by zero", False),
        ("", "line 1:8: Column 'members' cannot be resolved", False),
    ],
)
def test_column_that_the_operators_own_statement_does_not_find_may_be_hidden_by_a_policy(
    fake_time: FakeTime, purpose: str, words: str, has_advice: bool
) -> None:
    td = issuing(fake_time, issued("5"), job_5="error")
    td.script["/v3/job/show/5"] = [(200, shown("error", debug={"stderr": words}))]
    with pytest.raises(JobError) as caught:
        run_or_await_job(td, replace(QUERY, purpose=purpose))
    assert ("a column policy hides its columns" in str(caught.value)) == has_advice


@pytest.mark.parametrize("status", ["error", "killed"])
@pytest.mark.parametrize(
    ("debug", "expected"),
    [
        (
            {"cmdout": "at noon\n", "stderr": "line 1\n\nno column\n"},
            "line 1 / no column / at noon",
        ),
        ({"stderr": None, "cmdout": " \n"}, ""),
        (None, ""),
        ({"stderr": "a\x1b[31m\x00"}, "a\\x1b[31m\\x00"),
        # The cut would fall into the digest, and leave a piece that nothing recognises.
        ({"stderr": f"{'ab' * 32} {'x' * 600} person@shop.example"}, f"{'x' * 591} <hidden>"),
        (
            {"stderr": "Column 'mail' cannot be resolved\n1234567\nCannot cast 'Jane Doe' to bigint"},
            "Column 'mail' cannot be resolved / <hidden> / Cannot cast '<hidden>' to bigint",
        ),
        *(({"stderr": f"at {number}"}, "at <hidden>") for number in NUMBERS),
        *(({"stderr": words}, words) for words in NAMES_AND_POSITIONS),
    ],
)
def test_failed_job_is_an_error_with_its_status_and_the_engines_last_lines_without_people(
    fake_time: FakeTime, status: str, debug: object, expected: str
) -> None:
    with pytest.raises(JobError) as caught:
        finished(fake_time, shown(status, debug=debug, query="select mail from people"))
    quote = f"; the engine's last lines: {expected}" if expected else ""
    assert str(caught.value) == f"job 5 ended with status {status}{quote}. Nothing was sent"


def test_missing_job_is_an_error_that_names_the_region(fake_time: FakeTime) -> None:
    with pytest.raises(JobError, match=r"has no job 5. Check the job id, and that TD_API_SERVER is the region"):
        run_or_await_job(Scripted(fake_time, {"/v3/job/status/5": [(404, {})]}), JobOrQuery(job_id="5"))


@pytest.mark.parametrize("content", [{}, {"status": None}, {"status": 7}])
def test_an_answer_without_a_status_is_treasure_datas_error(fake_time: FakeTime, content: dict[str, Any]) -> None:
    with pytest.raises(TreasureDataError, match="has no status"):
        run_or_await_job(Scripted(fake_time, {"/v3/job/status/5": [(200, content)]}), JobOrQuery(job_id="5"))


@pytest.mark.parametrize(
    "schema",
    [
        *(None, "", "null", "{", "7", "[7]", '[["email"]]'),
        *("[" * 100_000, '[["email","varchar"],' + "[" * 100_000),
    ],
    ids=lambda schema: str(schema)[:30],
)
def test_job_without_a_result_is_an_error_that_asks_for_a_select(fake_time: FakeTime, schema: object) -> None:
    with pytest.raises(JobError, match=r"job 5 succeeded but has no result. Its query must be a SELECT"):
        finished(fake_time, shown(hive_result_schema=schema))


def issuing(time: FakeTime, *issues: tuple[int, dict[str, Any]], **statuses: str) -> Scripted:
    """`statuses` are those of the jobs: job_5="success"."""
    script: dict[str, list[tuple[int, dict[str, Any]]]] = {"/v3/job/issue/presto/crm": list(issues)}
    for name, status in statuses.items():
        job_id = name.removeprefix("job_")
        script |= {f"/v3/job/{what}/{job_id}": [(200, shown(status))] for what in ("status", "show")}
    return Scripted(time, script)


def issued(job_id: str) -> tuple[int, dict[str, Any]]:
    return 200, {"job_id": job_id}


def taken(job_id: str) -> tuple[int, dict[str, Any]]:
    return 409, {"details": {"conflicts_with": job_id}}


# -- a job that is issued


def test_failed_job_of_an_earlier_try_is_replaced_under_the_next_key(fake_time: FakeTime) -> None:
    td = issuing(fake_time, taken("5"), taken("6"), issued("7"), job_5="error", job_6="killed", job_7="success")
    assert run_or_await_job(td, QUERY).id == "7"
    keys = [QUERY.domain_key, f"{QUERY.domain_key}-2", f"{QUERY.domain_key}-3"]
    assert keys == [params["domain_key"] for _, params in td.asked if params]


@pytest.mark.parametrize("error", [StoppedError("stopped"), KeyboardInterrupt(), TreasureDataError("no response")])
@pytest.mark.parametrize(
    ("source", "killed"),
    [
        (JobOrQuery(query="select 1", database="crm"), ["POST /v3/job/kill/5"]),
        (QUERY.replace_query("select 1", adopts=False), ["POST /v3/job/kill/5"]),
        (QUERY, []),  # a retry adopts it
        (JobOrQuery(job_id="5"), []),  # issued by somebody else
    ],
)
def test_a_job_that_nobody_waits_for_any_more_is_killed_once(
    fake_time: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
    source: JobOrQuery,
    killed: list[str],
    error: BaseException,
) -> None:
    td = issuing(fake_time, issued("5"), job_5="running")
    td.script["/v3/job/kill/5"] = [(404, {})]
    monkeypatch.setattr(td, "sleep", Mock(side_effect=error))
    with pytest.raises(type(error)):
        run_or_await_job(td, source)
    assert killed == [call for call, _ in td.asked if "kill" in call]


def test_failed_job_of_this_try_is_an_error(fake_time: FakeTime) -> None:
    td = issuing(fake_time, taken("5"), issued("6"), job_5="error", job_6="error")
    with pytest.raises(JobError, match="job 6 ended with status error"):
        run_or_await_job(td, QUERY)


def test_a_database_that_is_not_there_is_named(fake_time: FakeTime) -> None:
    with pytest.raises(JobError, match='there is no database "crm"'):
        run_or_await_job(issuing(fake_time, (404, {"error": "Couldn't find Database"})), QUERY)


@pytest.mark.parametrize(
    "answer",
    [
        *((200, {"job_id": job_id}) for job_id in ("../../database/delete/x", "7?x", "", ["7"], "1" * 65, "7\n")),
        *((409, {"details": {"conflicts_with": job_id}}) for job_id in ("x)|.*|(x", "a7", -7, [7])),
        (409, {}),
        (409, {"details": None}),
        (409, {"details": {}}),
    ],
)
def test_an_answer_without_a_valid_job_is_treasure_datas_error(
    fake_time: FakeTime, answer: tuple[int, dict[str, Any]]
) -> None:
    td = issuing(fake_time, answer)
    with pytest.raises(TreasureDataError, match=f"responded {answer[0]} to the query, but sent no job id"):
        run_or_await_job(td, QUERY)
    assert len(td.asked) == 1
