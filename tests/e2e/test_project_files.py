"""A task, an entry of a list and a settings file read no file outside the project's folder."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from td_pinterest_op.activation import build_activation_export_task
from td_pinterest_op.errors import EntriesError, SettingsError
from td_pinterest_op.export import export_task
from td_pinterest_op.many import export_all_entries
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


def run_task(services: Services, name: str, file: str) -> None:
    own = {"query": file} if name == "query" else {"query": "SELECT 1 AS email"}
    lists = {} if name == "query" else {name: file}
    task = Task(params={**PARAMS, **own, "result_settings": SETTINGS | lists}, environ=services.environ)
    export_task(task, services.time.timing)


def run_entry(services: Services, name: str, file: str) -> None:
    entry = {"name": "one", "query": "SELECT 1 AS email", **SETTINGS, name: file}
    export_all_entries(Task(params={**PARAMS, "audiences": [entry]}, environ=services.environ), services.time.timing)


def run_activation(services: Services, name: str, file: str) -> None:
    own = {"query": file} if name == "query" else {"query": "SELECT 1 AS email"}
    lists = {} if name == "query" else {name: file}
    params = {**PARAMS, **own, "result_settings": {**SETTINGS, **lists}, "later_runs": "add"}
    task = build_activation_export_task(Task(params=params, environ=services.environ))
    export_task(task, services.time.timing)


@pytest.mark.parametrize("name", ["query", "suppress", "consent"])
@pytest.mark.parametrize("file", ["link.sql", "../outside.sql", "{outside}", "zero.sql", "pipe.sql"])
@pytest.mark.parametrize("run", [run_task, run_entry, run_activation])
def test_file_outside_the_project_is_not_read_and_the_error_names_its_setting(
    services: Services,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    run: Callable[[Services, str, str], None],
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
