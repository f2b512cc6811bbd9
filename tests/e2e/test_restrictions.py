"""Settings that restrict an export are honoured, or rejected by name before the first write, in every entry point."""

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from td_pinterest_op.activation import build_activation_export_task
from td_pinterest_op.errors import ExportError
from td_pinterest_op.exporting import entry_runs
from td_pinterest_op.exporting.export_run import export_task
from td_pinterest_op.settings.table import RESTRICTING_SETTING_NAMES
from td_pinterest_op.task_runtime.task import Task
from tests.e2e.audiences import ADD, CREATE, REPLACE
from tests.e2e.restrictions import (
    EVERY,
    MIRROR,
    RESTRICTIONS,
    check_restrictions,
    create_people,
)
from tests.exporting import SESSION, Services

DUMPS: Mapping[str, Callable[[dict[str, Any]], object]] = {"mapping": dict, "JSON": json.dumps, "YAML": yaml.safe_dump}
SHARED = {"type": "pinterest", "audience_type": "customer_list"}
_numbers = itertools.count(1)
SESSION_OF_TASK = {"session_time": SESSION, "project_id": 1}


@pytest.fixture(autouse=True)
def rows(services: Services) -> None:
    create_people(services)


def error_of(run: Callable[[], object]) -> str:
    try:
        run()
    except ExportError as error:
        return str(error)
    return ""


def make_task(services: Services, action: str, **params: Any) -> Task:
    """A task with these parameters; each run is a task of its own."""
    own = {**SESSION_OF_TASK, "task_name": f"+{action} {next(_numbers)}", "database": "crm"}
    return Task(params=own | params, environ=services.environ)


def test_every_restriction_is_tried() -> None:
    assert RESTRICTIONS.keys() == RESTRICTING_SETTING_NAMES


# All forms reach every action by one way, so they take turns.
@pytest.mark.parametrize(("action", "form"), list(zip(EVERY, itertools.cycle(DUMPS), strict=False)))
def test_restriction_of_a_task_is_honoured_or_rejected(services: Services, action: str, form: str) -> None:
    def run(settings: dict[str, Any], restriction: dict[str, Any]) -> str:
        given = DUMPS[form](SHARED | settings | restriction)
        task = make_task(services, action, query="SELECT email FROM people", result_settings=given)
        return error_of(lambda: export_task(task, services.time.timing))

    check_restrictions(services, action, run)


@pytest.mark.parametrize(
    ("place", "action", "form"),
    [
        ("shared", ADD, "mapping"),
        ("entry", ADD, "YAML"),
        ("entry", CREATE, "JSON"),
        ("entry", "clear_current_audience", "JSON"),
    ],
)
def test_restriction_in_an_entry_of_several_is_honoured_or_rejected(
    services: Services, place: str, action: str, form: str
) -> None:
    def run(settings: dict[str, Any], restriction: dict[str, Any]) -> str:
        shared = DUMPS[form](SHARED | (restriction if place == "shared" else {}))
        entry = {"name": "one", **settings, **(restriction if place == "entry" else {})}
        query = "SELECT email FROM people"
        task = make_task(services, action, query=query, audiences=[entry], result_settings=shared)
        return error_of(lambda: entry_runs.export_audiences(task, services.time.timing))

    check_restrictions(services, action, run)


LATER = {"add": (ADD, CREATE), "replace": (REPLACE, CREATE), "mirror": (MIRROR,)}


@pytest.mark.parametrize(
    ("later", "action"),
    [("add", ADD), ("add", CREATE), ("add", REPLACE), ("replace", CREATE), ("mirror", MIRROR), ("mirror", ADD)],
)
def test_restriction_of_an_activation_is_honoured_or_rejected(services: Services, later: str, action: str) -> None:
    def run(settings: dict[str, Any], restriction: dict[str, Any]) -> str:
        named = {} if action in LATER[later] else {"action": action}
        own = {name: settings[name] for name in ("begin",) if name in settings}
        console = {name: value for name, value in settings.items() if name not in own} | {"action": ""} | named
        task = make_task(
            services,
            action,
            activation_id=1,
            later_runs=later.title(),
            query="SELECT email FROM activation_actions_table",
            activation_actions_db="cdp_audience_1",
            activation_actions_table="people",
            result_settings=SHARED | own | restriction,
            result_connection_settings=json.dumps(console),
        )
        return error_of(lambda: export_task(build_activation_export_task(task), services.time.timing))

    refusal = "" if action in LATER[later] else f"later_runs: {later} contradicts action in the settings"
    check_restrictions(services, action, run, refusal=refusal, replaces=later == "replace")
