"""A service, or a proxy before it, changes its answers: a run ends with an error or the right people in the right list.

Every call of each action to both services gets answers of eight kinds. Whatever they hold, nothing else is written.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from requests.auth import AuthBase

from td_pinterest_op.audiences.actions import Add, Clear, Create, Delete, Remove, Replace
from td_pinterest_op.erasure import erase_people
from td_pinterest_op.errors import ExportError, UnexpectedError
from td_pinterest_op.http.transport import Response, Transport
from td_pinterest_op.task_runtime.task import Task
from td_pinterest_op.treasure_data.td_api import TreasureData
from tests import guard
from tests.campaigns import select_rows
from tests.emulators.pinterest import Audience
from tests.exporting import SESSION, TASK_NAME, Services, digests, people
from tests.faults.conftest import Stage, new_stage, use_transport

COUNT = 6
NEW = digests(COUNT)
STAY = digests(3, first=100)
BYSTANDERS = digests(4, first=200)
ERASE = "erase"

Change = Callable[[str, Any], Any]
"""Returns what a changed answer holds in place of a value, given the name of its field (in lists: the list's)."""


def _replace_ids(hostile: object) -> Change:
    return lambda name, value: hostile if re.search("(^|_)id$|conflicts_with", name) and value else value


def _replace_field(field: str, hostile: object) -> Change:
    return lambda name, value: hostile if name == field else value


def _replace_type(kind: type, change: Callable[[Any], object]) -> Change:
    return lambda _, value: change(value) if type(value) is kind else value


CONTROLS = "\r\n\x1b[31m\x00\u2028${secret:td.apikey}"
KINDS: dict[str, Change] = {
    "id that is a pattern": _replace_ids("x)|.*|(x"),
    "id with a statement": _replace_ids("1\nINSERT INTO people SELECT 'x'"),
    "id that is a path": _replace_ids("../../../customer_lists/1"),
    "id that is a list": _replace_ids(["1"]),
    "id of nothing": _replace_ids(None),
    "name": _replace_field("name", "x (td 00000000 9+9 00000000 1)\n${secret:td.apikey}"),
    "bookmark that is a list": _replace_field("bookmark", ["x"]),
    "bookmark without end": _replace_field("bookmark", "again"),
    "status": _replace_field("status", CONTROLS),
    "number in place of text": _replace_type(str, len),
    "text in place of numbers": _replace_type(int, str),
    "negative numbers": _replace_type(int, lambda value: -value - 1),
    "list in place of text": _replace_type(str, lambda value: [value]),
    "text in place of lists": _replace_type(list, str),
    "megabyte": _replace_type(str, lambda value: value + "x" * 1_000_000),
    "control characters": _replace_type(str, lambda value: value + CONTROLS),
}


def change_content(content: Any, change: Change, name: str = "") -> Any:
    """Return JSON data in which `change` was applied to every value, and to the parts of those that it left alone."""
    changed = change(name, content)
    if changed != content:
        return changed
    if isinstance(content, dict):
        return {field: change_content(value, change, field) for field, value in content.items()}
    return [change_content(value, change, name) for value in content] if isinstance(content, list) else content


class Service:
    """Both services' answers: `names` of all calls; the first to the call named `changed` are changed.

    Not all of them: a job with a status that nobody knows is waited for.
    """

    def __init__(self, change: Change = lambda _, value: value, changed: str = "") -> None:
        self.names: list[str] = []
        self.change = change
        self.changed = changed

    def answer(self, name: str, content: dict[str, Any]) -> dict[str, Any]:
        name = re.sub("/[0-9]+", "/N", name)
        self.names.append(name)
        if name != self.changed or self.names.count(name) > 3:
            return content
        changed = change_content(content, self.change)
        return changed if isinstance(changed, dict) else {}


class ChangingTransport(Transport):
    service = Service()

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, auth: AuthBase | None = None
    ) -> Response:
        response = super().send(method, url, headers=headers, body=body, auth=auth)
        path = url.partition("/v5")[2].partition("?")[0]
        content = self.service.answer(f"{method} {path}", response.content)
        return replace(response, body=json.dumps(content).encode())


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run between two audiences, one of which has nothing to do with it."""

    stage: Stage
    action: str
    audience_id: str
    bystander: Audience

    def run(self, service: Service, patch: pytest.MonkeyPatch) -> str:
        """Run the action; return the message of its error, or "" after a success."""
        call = TreasureData.call

        def answer(td: TreasureData, method: str, path: str, **params: str) -> tuple[int, dict[str, Any]]:
            status, content = call(td, method, path, **params)
            return status, service.answer(f"{method} {path}", content)

        patch.setattr(TreasureData, "call", answer)
        settings = {"retry_count": 2, "history": "crm.runs"}
        try:
            with use_transport(ChangingTransport, service=service):
                self._run(settings)
        except UnexpectedError:
            raise
        except ExportError as error:
            return str(error)
        return ""

    def _run(self, settings: dict[str, Any]) -> None:
        needs_rows = self.action not in (Clear.action.name, Delete.action.name)
        rows = {"query": "SELECT email FROM people", "database": "crm"} if needs_rows else {}
        if self.action == ERASE:
            given = settings | {"ad_account_ids": self.stage.account}
            params = {"session_time": SESSION, "task_name": TASK_NAME, "project_id": 1, **rows}
            task = Task(params=params | {"result_settings": given}, environ=self.stage.services.environ)
            erase_people(task, self.stage.services.time.timing)
            return
        named = {"audience_name": "Fresh"} if self.action == Create.action.name else {"audience_id": self.audience_id}
        self.stage.export({"action": self.action, **named, **settings}, **rows)

    @property
    def outcome(self) -> list[set[str]]:
        """The members of each audience of the account except the bystander, of one record that is nobody none."""
        found = [self.stage.members(audience) for audience in self.stage.audiences() if audience != self.bystander]
        everybody = NEW | STAY | BYSTANDERS
        return [members & everybody if len(members) == 1 else members for members in found]

    @property
    def expected(self) -> list[set[str]]:
        """The outcome after a success."""
        expected: dict[str, list[set[str]]] = {
            Add.action.name: [NEW | STAY],
            Remove.action.name: [STAY],
            Replace.action.name: [NEW],
            Create.action.name: [NEW | STAY, NEW],
            Clear.action.name: [set()],
            Delete.action.name: [],
            ERASE: [STAY],
        }
        return expected[self.action]

    def check_nothing_else_was_written(self) -> None:
        stage = self.stage
        assert stage.members(self.bystander) == BYSTANDERS
        own = rf"/oauth/token|/ad_accounts/{stage.account}/[a-z_]+(/[0-9]+)?"
        assert [call.path for call in stage.pinterest.calls.all() if not re.fullmatch(own, call.path)] == []
        known = r"/v3/(job/issue/presto/crm|job/(status|show|result|kill)/[0-9]+|table/list/crm)"
        assert [each.path for each in stage.services.td.requests if not re.fullmatch(known, each.path)] == []


def build_case(stage: Stage, action: str) -> Case:
    bystander = stage.audience(people(4, first=200), name="Others")
    members = people(3, first=100)
    if action in (Remove.action.name, ERASE, Create.action.name):
        members += people(COUNT)
    audience_id = stage.audience(members, name="Shoppers")
    return Case(
        stage=stage,
        action=action,
        audience_id=audience_id,
        bystander=stage.pinterest.audiences[bystander],
    )


ACTIONS = [*(each.action.name for each in (Add, Remove, Create, Replace, Clear, Delete)), ERASE]
ROWS = [(action, kind) for action in ACTIONS for kind in KINDS]


@pytest.fixture(autouse=True)
def _tables(shared_services: Services) -> None:
    shared_services.td.warehouse.load("crm", "others", "SELECT 1 AS n")
    shared_services.td.create_people("crm", people(COUNT))


def run_case(services: Services, action: str, service: Service, patch: pytest.MonkeyPatch) -> tuple[Case, str]:
    case = build_case(new_stage(services), action)
    error = case.run(service, patch)
    case.check_nothing_else_was_written()
    return case, error


@pytest.mark.parametrize(("action", "kind"), select_rows(ROWS, quick=7))
def test_changed_answers_end_a_run_with_an_error_or_the_right_members(
    shared_services: Services,
    action: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    usual = Service()
    case, error = run_case(shared_services, action, usual, monkeypatch)
    assert (error, case.outcome) == ("", case.expected)
    for name in sorted(set(usual.names)):
        monkeypatch.undo()
        case, error = run_case(shared_services, action, Service(KINDS[kind], name), monkeypatch)
        assert error or case.outcome == case.expected, name
        assert "\n" not in error
        assert error.isprintable()
        assert len(error) < 3000
        guard.check_inert(error, f"the error after {name}")
        assert [line for line in caplog.messages if "a bug in td_pinterest_op" in line] == [], name
