"""A task, an entry of a list and an activation read only the project's files, and issue only queries."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from td_pinterest_op.activation import build_activation_export_task
from td_pinterest_op.errors import EntriesError, SettingsError
from td_pinterest_op.exporting.entry_runs import export_audiences
from td_pinterest_op.exporting.export_run import export_task
from td_pinterest_op.task_runtime.task import Task
from tests.e2e.audiences import ADD
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import SESSION, Services

OUTSIDE = "SELECT 'outside but readable' AS email"
SETTINGS = {
    "type": "pinterest",
    "audience_type": "customer_list",
    "ad_account_id": AD_ACCOUNT_ID,
    "action": ADD,
    "audience_id": "77",
}
PARAMS = {"session_time": SESSION, "task_name": "+export+export", "project_id": 1, "database": "crm"}


def build_task(services: Services, name: str, sql: str, **params: str) -> Task:
    """Return a task with SQL as its parameter `query`, or as the setting `suppress` or `consent`."""
    given = {"query": "SELECT 1 AS email", **params} | ({"query": sql} if name == "query" else {})
    settings = SETTINGS if name == "query" else {**SETTINGS, name: sql}
    return Task(params={**PARAMS, **given, "result_settings": settings}, environ=services.environ)


def run_task(services: Services, name: str, sql: str, **params: str) -> None:
    export_task(build_task(services, name, sql, **params), services.time.timing)


def run_activation(services: Services, name: str, sql: str, **params: str) -> None:
    task = build_task(services, name, sql, later_runs="add", **params)
    export_task(build_activation_export_task(task), services.time.timing)


def run_entry(services: Services, name: str, sql: str, **params: str) -> None:
    entry = {"name": "one", "query": "SELECT 1 AS email", **SETTINGS, name: sql, **params}
    export_audiences(Task(params={**PARAMS, "audiences": [entry]}, environ=services.environ), services.time.timing)


RUNS = [run_task, run_activation, run_entry]


@pytest.mark.parametrize("name", ["query", "suppress", "consent"])
@pytest.mark.parametrize("file", ["link.sql", "../outside.sql", "{outside}", "zero.sql", "pipe.sql"])
@pytest.mark.parametrize("run", RUNS)
def test_file_outside_the_project_is_not_read_and_the_error_names_its_setting(
    services: Services,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    run: Callable[..., None],
    file: str,
    name: str,
) -> None:
    (tmp_path / "outside.sql").write_text(OUTSIDE)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    Path("link.sql").symlink_to("../outside.sql")
    Path("zero.sql").symlink_to("/dev/zero")
    os.mkfifo("pipe.sql")
    caplog.set_level(logging.DEBUG)
    with pytest.raises((SettingsError, EntriesError), match=rf"\b{name}: ") as caught:
        run(services, name, file.format(outside=tmp_path / "outside.sql"))
    assert "but readable" not in str(caught.value) + caplog.text
    assert services.td.requests == []


@pytest.mark.parametrize("name", ["query", "suppress", "consent"])
@pytest.mark.parametrize(
    ("engine", "sql"),
    [
        ("hive", "SET a=`; DROP TABLE opt_outs; SET b=`; SELECT email FROM people"),
        ("hive", "SET a=it's; DROP TABLE opt_outs; SET b=it's; SELECT email FROM people"),
        ("hive", "SELECT TRANSFORM(email) USING '/bin/sh -c id' AS email FROM people"),
        ("trino", "WITH a AS (SELECT 1) DELETE FROM opt_outs"),
        ("trino", "SELECT * FROM TABLE(crm.system.query(query => 'DROP TABLE opt_outs'))"),
    ],
)
@pytest.mark.parametrize("run", RUNS)
def test_statement_that_is_no_query_is_not_issued(
    services: Services, run: Callable[..., None], engine: str, sql: str, name: str
) -> None:
    with pytest.raises((SettingsError, EntriesError), match=rf"\b{name} is no query"):
        run(services, name, sql, engine=engine)
    assert services.td.requests == []
