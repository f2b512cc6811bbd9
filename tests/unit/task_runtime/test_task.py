"""A task as digdag runs it: parameters in, statistics out."""

import logging
import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.task_runtime.task import (
    Task,
    build_task_source,
    get_current_task,
    parse_api_key,
    read_row_source,
    store_workflow_values,
)
from td_pinterest_op.treasure_data.job import JobOrQuery
from tests.exporting import digest

SESSION = {"session_time": "2026-11-25T00:00:00+00:00", "project_id": 4711, "task_name": "+pinterest_export+export"}
SESSION |= {"session_uuid": "0c9eb4a2-1111-4222-8333-444455556666", "attempt_id": 7}
SESSION_SECONDS = 1_795_564_800
TRACING = (
    "-- project_id: 4711\n-- project_name: \n-- workflow_name: pinterest_export\n-- session_id: \n-- attempt_id: 7\n"
    "-- task_name: +pinterest_export+export\n"
)


def task(**params: Any) -> Task:
    return Task(params=SESSION | params, environ={})


def domain_key(task: Task, **params: Any) -> str:
    query = {"query": "select 1", "database": "crm", **params}
    return read_row_source(replace(task, params={**task.params, **query})).domain_key


# -- keys


def test_a_session_key_is_eight_hex_digits_of_session_time_project_and_task_name() -> None:
    text = "2026-11-25T00:00:00+00:00 4711 +pinterest_export+export"
    assert digest(text)[:8] == task().session_task_key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session_time", "2026-11-25T00:00:00-08:00"),
        ("project_id", "4712"),
        ("task_name", "+pinterest_export+other"),
    ],
)
def test_another_session_project_or_task_has_another_key(name: str, value: str) -> None:
    assert task(**{name: value}).session_task_key != task().session_task_key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session_time", "2026-11-25T09:00:00+09:00"),
        ("session_time", "2026-11-24T16:00:00-08:00"),
        ("task_name", "+pinterest_export+export^sub+subtask0"),
        ("task_name", "+pinterest_export+export^sub+subtask0^sub+subtask0"),
    ],
)
def test_same_moment_and_task_that_started_again_have_the_same_keys(name: str, value: str) -> None:
    other = task(**{name: value})
    assert (other.session_task_key, domain_key(other)) == (task().session_task_key, domain_key(task()))


def test_entries_of_a_list_have_keys_of_their_own() -> None:
    tasks = [task(), *(replace(task(), entry=name) for name in ("one", "two"))]
    assert len({each.session_task_key for each in tasks}) == 3
    assert len({domain_key(each) for each in tasks}) == 3


@pytest.mark.parametrize("name", ["session_time", "task_name"])
@pytest.mark.parametrize("value", [None, ""])
def test_outside_a_session_each_run_has_a_random_key_of_its_own(name: str, value: object) -> None:
    runs = [task(**{name: value}) for _ in range(10)]
    assert len({run.session_task_key for run in runs}) == 10
    assert {len(run.session_task_key) for run in runs} == {8}
    assert runs[0].session_task_key == runs[0].session_task_key


@pytest.mark.parametrize("name", ["session_uuid", "attempt_id", "task_name"])
def test_domain_key_differs_between_attempts_and_tasks_and_is_random_without_a_name(name: str) -> None:
    others = [task(**{name: value}) for value in ("another", None, None)]
    assert len({domain_key(each) for each in (task(), *others)}) == 4


def test_a_domain_key_is_the_same_for_the_same_query_and_another_for_a_corrected_one() -> None:
    assert domain_key(task()) == domain_key(task(session_time="2026-11-26T00:00:00+00:00"))
    corrected = [{}, {"query": "select 2"}, {"database": "dev"}, {"engine": "trino"}]
    assert len({domain_key(task(), **params) for params in corrected}) == 4
    assert "select" not in domain_key(task())


# -- the job or the query


@pytest.mark.parametrize(
    ("params", "job_id"),
    [
        ({"job_id": "12"}, "12"),
        ({"job_id": 12}, "12"),
        ({"job_id": 12.0}, "12"),
        ({"td": {"last_job_id": "13"}}, "13"),
    ],
)
def test_a_job_is_that_of_the_task_or_else_the_last_one_of_the_workflow(params: dict[str, Any], job_id: str) -> None:
    assert JobOrQuery(job_id=job_id) == read_row_source(task(**params))


@pytest.mark.parametrize(("params", "named"), [({"td": {"last_job_id": 13}}, ["13"]), ({"job_id": "13"}, [])])
def test_log_names_the_last_job_of_the_workflow_where_its_rows_are_exported(
    params: dict[str, Any], named: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    read_row_source(task(**params))
    assert [line.rpartition(" ")[2] for line in caplog.messages if "the workflow's last job" in line] == named


@pytest.mark.parametrize(
    ("params", "engine"),
    [
        ({"database": "crm"}, "presto"),
        ({"database": "crm", "engine": "HIVE"}, "hive"),
        ({"td": {"database": "crm", "engine": "trino"}}, "trino"),
        ({"database": "crm", "td": {"database": "other", "last_job_id": "13"}}, "presto"),
    ],
)
def test_a_query_comes_with_its_database_and_engine(params: dict[str, Any], engine: str) -> None:
    source = read_row_source(task(**params, query="select 1"))
    assert source == JobOrQuery(
        query="select 1", database="crm", engine=engine, scheduled_time=SESSION_SECONDS, tracing=TRACING
    )
    key = replace(source, attempt_key=task().attempt_key, scheduled_time=None, tracing="").domain_key
    assert source.domain_key == key


def test_query_of_a_list_or_outside_a_session_has_no_scheduled_time() -> None:
    params = {"database": "crm", "query": "select 1"}
    source = build_task_source(task(**params), "suppress", "select 1")
    assert (source.scheduled_time, source.tracing) == (None, TRACING)
    outside = read_row_source(Task(params=params, environ={}))
    assert (outside.scheduled_time, outside.tracing) == (None, "")


@pytest.mark.parametrize(
    ("engine", "params", "options"),
    [
        ("presto", {"priority": 0, "job_retry": "2"}, {"priority": "0", "retry_limit": "2"}),
        ("presto", {"presto_pool_name": "p", "hive_pool_name": "h"}, {"pool_name": "p"}),
        ("hive", {"presto_pool_name": "p", "hive_pool_name": "h"}, {"pool_name": "h"}),
        ("presto", {"engine_version": "350", "hive_engine_version": "stable"}, {"engine_version": "350"}),
        ("hive", {"engine_version": "350", "hive_engine_version": "stable"}, {"engine_version": "stable"}),
        ("presto", {"td": {"priority": 1, "job_retry": 3}, "priority": 2}, {"priority": "2", "retry_limit": "3"}),
        ("presto", {"priority": "", "pool_name": "none", "td": {"priority": None}}, {}),
    ],
)  # fmt: skip
def test_options_of_jobs_are_those_of_digdags_td_operator(
    engine: str, params: dict[str, Any], options: dict[str, str]
) -> None:
    given = {"query": "select 1", "database": "crm", "engine": engine, **params}
    suppress = build_task_source(task(**given), "suppress", "select 1")
    assert read_row_source(task(**given)).job_options == options
    assert suppress.job_options == options


def test_tracing_comments_are_those_of_digdags_td_operator_a_line_each() -> None:
    source = read_row_source(task(query="select 1", database="crm", project_name="a\nb", session_id=3))
    assert source.tracing == TRACING.replace("name: \n", "name: a b\n").replace("session_id: ", "session_id: 3")


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({}, "there is no job to export: put a td> task that writes no table before this task"),
        ({"job_id": "1", "query": "select 1"}, "both job_id and query"),
        ({"job_id": "", "td": {"last_job_id": "13"}}, "job_id of the task is blank"),
        ({"query": " \n", "td": {"last_job_id": "13"}}, "query of the task is blank"),
        ({"query": "select 1", "database": "", "td": {"database": "crm"}}, "a query needs a database"),
        ({"query": "select 1", "database": "../../../database/delete/people"}, "must be the name of a database"),
        ({"job_id": "1" * 41}, "allowed: the id of a Treasure Data job"),
        (
            {"query": "select 1", "engine": "spark", "database": "crm"},
            "engine: 'spark' is not an allowed value; allowed: presto, trino, hive",
        ),
        ({"job_id": "${td.last_job_id}"}, "allowed: the id of a Treasure Data job"),
        ({"job_id": 1.5}, "allowed: the id of a Treasure Data job"),
        ({"job_id": True}, "allowed: the id of a Treasure Data job"),
    ],
)
def test_invalid_source_is_an_error_with_advice(params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_row_source(task(**params))
    assert complaint in str(caught.value)
    assert {problem.key for problem in caught.value.problems} <= {"job_id", "query", "database", "engine"}


def test_a_missing_database_and_a_wrong_engine_are_named_in_one_error() -> None:
    with pytest.raises(SettingsError) as caught:
        read_row_source(task(query="select 1", engine="spark"))
    assert [problem.key for problem in caught.value.problems] == ["database", "engine"]


@pytest.mark.parametrize(
    ("job_id", "warned"),
    [
        (2**53, False),
        (2**53 + 2, True),
        (str(2**53 + 2), False),
        ("1234567890123456800", True),
    ],
)
def test_number_that_may_have_lost_digits_causes_a_warning(
    caplog: pytest.LogCaptureFixture, job_id: object, warned: bool
) -> None:
    read_row_source(task(job_id=job_id))
    assert warned == ("over 2^53" in caplog.text)


# -- the environment


@pytest.mark.parametrize("key", ["", " "])
def test_missing_api_key_is_an_error_that_says_where_it_comes_from(key: str) -> None:
    with pytest.raises(
        SettingsError, match=r"^there is no TD_API_KEY: .* give it to the task as TD_API_KEY, under its"
    ):
        parse_api_key({"TD_API_KEY": key})


def test_api_key_that_no_header_can_hold_is_an_error_that_does_not_show_it() -> None:
    with pytest.raises(SettingsError, match=r"^TD_API_KEY has other characters than visible ASCII: check td\.apikey$"):
        parse_api_key({"TD_API_KEY": "1/\u00e9\u2603"})


def test_current_task_outside_digdag_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"only as a py> task of a digdag workflow"):
        get_current_task()


def test_task_has_digdags_parameters_and_stores_values_without_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[object] = []
    env = types.SimpleNamespace(params={"job_id": "1"}, store=stored.append)
    monkeypatch.setitem(sys.modules, "digdag", types.SimpleNamespace(env=env))
    assert Task(params={"job_id": "1"}, environ=os.environ) == get_current_task()
    store_workflow_values(
        pinterest={"name": "a ${b}", "rows": {"read": 1}, "audiences": [{"name": "${c}"}], "id": None}
    )
    plain = {"name": "a $ {b}", "rows": {"read": 1}, "audiences": [{"name": "$ {c}"}], "id": None}
    assert stored == [{"pinterest": plain}]


@pytest.mark.parametrize("value", ["last night", "2026-13-01T00:00:00", {"a": 1}])
def test_session_time_that_is_no_time_is_an_error_that_names_it(value: object) -> None:
    for read in (
        lambda: task(session_time=value).session_task_key,
        lambda: read_row_source(task(session_time=value, query="SELECT 1", database="crm")),
    ):
        with pytest.raises(SettingsError, match=r"session_time .* must be a time such as"):
            read()


def test_byte_order_mark_of_a_query_file_is_no_part_of_the_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.sql").write_bytes(b"\xef\xbb\xbfSELECT email FROM people\r\n")
    assert read_row_source(task(query="people.sql", database="crm")).query == "SELECT email FROM people\r\n"
