"""`td>` and `td_ddl>` against the emulator of Treasure Data."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dig import Result, run
from tests.emulators.td import API_KEY, TreasureData, serve_td

Flow = Callable[..., Result]


@pytest.fixture
def treasure_data() -> Iterator[tuple[TreasureData, str]]:
    """The emulator with a table of three people, and its address."""
    with serve_td() as (state, url):
        state.create("shop", "people", [{"name": "a", "age": 1}, {"name": "b", "age": 2}, {"name": "c", "age": 3}])
        yield state, url


@pytest.fixture
def flow(tmp_path: Path, treasure_data: tuple[TreasureData, str]) -> Flow:
    """Runs a workflow whose `td:` names the database, with the emulator's key as secret."""

    def run_text(text: str, **options: Any) -> Result:
        (tmp_path / "flow.dig").write_text(f"_export: {{td: {{database: shop}}, least: 2}}\n{text}")
        options = {"environ": {"TD_API_SERVER": treasure_data[1]}, "secrets": {"td.apikey": API_KEY}, **options}
        return run(tmp_path / "flow.dig", sleep=lambda _seconds: None, **options)

    return run_text


@pytest.mark.parametrize(
    "task",
    [
        "td>: {data: 'select name from people where age >= ${least}'}",
        "td>: query.sql",
    ],
    ids=["data", "file"],
)
def test_query_stores_its_job(flow: Flow, tmp_path: Path, task: str) -> None:
    (tmp_path / "query.sql").write_text("select name\nfrom people where age >= ${least}\n")
    result = flow(f"+q: {{{task}}}\n+e: {{echo>: 'job ${{td.last_job_id}} ${{td.last_job.num_records}}'}}\n")
    assert result.status == "success", result.error
    job_id = result.store["td"]["last_job_id"]
    assert result.store["td"] == {"last_job_id": job_id, "last_job": {"id": job_id, "num_records": 2}}
    assert f"\njob {job_id} 2\n" in result.log


def test_query_is_issued_with_the_time_of_the_session(flow: Flow, treasure_data: tuple[TreasureData, str]) -> None:
    flow("+q: {td>: {data: select 1 as one}}\n", session_time="2026-01-02")
    issued = next(request for request in treasure_data[0].requests if "/job/issue/" in request.path)
    assert issued.path == "/v3/job/issue/presto/shop"
    assert issued.form["scheduled_time"] == "1767312000"
    assert issued.form["query"] == (
        "-- project_id: 1\n-- project_name: default\n-- workflow_name: flow\n-- session_id: 1\n-- attempt_id: 1\n"
        "-- task_name: +flow+q\nselect 1 as one"
    )


def test_failed_job_fails_the_task_with_the_engines_message(flow: Flow) -> None:
    result = flow("+q: {td>: {data: select absent from people}}\n")
    assert result.status == "error"
    assert "absent" in str(result.error)


@pytest.mark.parametrize(
    ("task", "secrets", "complaint"),
    [
        ("td>: {data: select 1}", {}, "The 'td.apikey' secret is missing or empty"),
        ("td>: {data: select 1}", {"td.apikey": " "}, "The 'td.apikey' secret is missing or empty"),
        ("td>: absent.sql", None, "absent.sql: [Errno 2]"),
        ("td>: ../outside.sql", None, "../outside.sql: "),
        ("td>: {data: select 1}, database: ''", None, "Parameter 'database'"),
    ],
)
def test_invalid_task_fails_with_the_reason(
    flow: Flow, task: str, secrets: dict[str, str] | None, complaint: str
) -> None:
    options = {} if secrets is None else {"secrets": secrets}
    assert complaint in str(flow(f"+q: {{{task}}}\n", **options).error)


def test_invalid_template_of_a_query_file_is_named_with_its_file(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text("select ${absent}")
    assert "${absent} (ReferenceError: absent is not defined) in query.sql" in str(flow("+q: {td>: query.sql}\n").error)
