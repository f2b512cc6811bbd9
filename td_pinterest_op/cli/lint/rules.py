"""What a run would say about each task of this operator, at the line where it is written, and what no run can see.

The operator's own functions read the task, with stand-ins for what only a run knows.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from td_pinterest_op import __version__
from td_pinterest_op.activation import add_activation_settings
from td_pinterest_op.audiences.actions import ACTIONS, EXPORT
from td_pinterest_op.audiences.request import TaskRequest, read_task_request
from td_pinterest_op.cli.connection import SECRETS
from td_pinterest_op.cli.lint.selected_columns import TEMPLATE_NAME, find_column_problems
from td_pinterest_op.cli.lint.workflow import TEMPLATE, DigTask, Workflow
from td_pinterest_op.cli.lint.yaml_file import Block, Place
from td_pinterest_op.errors import Problem, SettingsError
from td_pinterest_op.history import read_control_share
from td_pinterest_op.many import build_entry_task, read_at_once, read_entries
from td_pinterest_op.requirements import find_other_version
from td_pinterest_op.settings.parse import parse_raw_settings
from td_pinterest_op.settings.table import (
    CREDENTIALS,
    ERASURE,
    FOR_THIS_RUN,
    RESTRICTING,
    STATUS,
    Setting,
    SettingsTable,
    build_variable_name,
)
from td_pinterest_op.settings.types import WrongValueError, has_lost_digits, is_left_out, suggest_word
from td_pinterest_op.stats import LISTS
from td_pinterest_op.task_runtime.task import Task, parse_api_key
from td_pinterest_op.treasure_data.job import Source

_R = TypeVar("_R")

BUILT_IN_CONNECTOR = "built-in-connector"
"""The code of the finding about a td> task that exports with Treasure Data's own Pinterest connector."""

_ACTIVATION = "td_pinterest_op.activation.PinterestActivation"
_MANY = "td_pinterest_op.many.Many"
_LIFT = "td_pinterest_op.history.Lift"
# The classes of tasks, with the settings that each may have.
_CLASSES: Mapping[str, SettingsTable[Any] | None] = {
    "td_pinterest_op.export.PinterestExport": EXPORT,
    _MANY: EXPORT,
    _ACTIVATION: EXPORT,
    "td_pinterest_op.status.AudienceStatus": STATUS,
    "td_pinterest_op.erase.PinterestErase": ERASURE,
    "td_pinterest_op.history.Failed": None,
    _LIFT: None,
}
# Where each credential may be written, with the line that belongs there.
_CREDENTIALS = {key.name: build_variable_name(key.secret) for key in CREDENTIALS}
_LINES = {name: f"{name}: ${{secret:{secret}}}" for name, secret in SECRETS.items()}
_SECRETS = {**_LINES, **{name: _LINES[variable] for name, variable in _CREDENTIALS.items()}}
_PUBLIC = ("client_id", "PINTEREST_CLIENT_ID")
# In place of a secret; so short that it is not masked in messages.
_PLACEHOLDER = "00"
# In place of what only a run knows: of a parameter, and of a setting the first of these that it allows.
_NAME = "known_to_the_run"
_QUERY = "SELECT * FROM known_to_the_run"
_PARAMETERS = {"query": _QUERY, "engine": "presto", "database": _NAME, "segment": _NAME, "later_runs": "add"}
_WORDS = (_QUERY, _NAME, "1", "US", "pinterest", "customer_list", "replace")
_VALUES = (*_WORDS, {_NAME: "email"}, {"percent": "1", "salt": _NAME})


@dataclass(frozen=True, kw_only=True)
class Export:
    """What a task of a workflow, or an entry of its list, asks of the operator.

    `table`: the settings that it may have. `settings`: by name, None for those in `unknown`, whose values only a run
    knows. `request`: None if a run refuses the task.
    """

    table: SettingsTable[Any]
    settings: Mapping[str, Any]
    unknown: frozenset[str]
    request: TaskRequest[Any] | None


def check_workflow(path: Path) -> tuple[Workflow, list[Export]]:
    """Return the workflow in a file, with its findings sorted by line, and what its tasks ask of the operator."""
    workflow = Workflow(path)
    exports = []
    logging.disable(logging.WARNING)  # what a run would log is a finding, or no matter of the file
    try:
        for task in workflow.tasks:
            if task.class_name in _CLASSES:
                exports += _TaskCheck(workflow, task).run()
            elif task.class_name:
                near = suggest_word(task.class_name, _CLASSES)
                workflow.add_finding(task.place, "class", f"this package has no class {task.class_name}{near}")
            elif task.operator == "td":
                _check_td_task(workflow, task)
    finally:
        logging.disable(logging.NOTSET)
    if any(task.class_name for task in workflow.tasks) and (other := find_other_version(path.parent, __version__)):
        message = (
            f"this is version {other} of the operator, but a task runs an installed one, such as this version "
            f"{__version__}: update the folder with `td-pinterest bundle FOLDER --update`"
        )
        place = Place(path.parent / "td_pinterest_op" / "__init__.py", 1)
        workflow.add_finding(place, "version", message, level="warning")
    workflow.findings.sort()
    return workflow, exports


def _check_td_task(workflow: Workflow, task: DigTask) -> None:
    """Add findings about a td> task that has the lists of an export, or exports with the built-in connector."""
    for name in LISTS:
        if name in task.block:
            message = f"td> does not read {name}, so nobody is withheld: move it into the result_settings of the export"
            workflow.add_finding(task.block.places[name], "misplaced", message)
    params = task.find_params()
    settings = params.get_block("result_settings")
    is_typed = str(settings.get("type")).strip().lower() == "pinterest"
    if is_typed or ("result_connection" in params and settings.keys() >= {"ad_account_id", "audience_type"}):
        _check_secrets(workflow, settings)
        message = (
            "this exports with Treasure Data's built-in Pinterest connector, not with this operator: "
            f"`td-pinterest init FOLDER --from {workflow.path}` makes a folder that does the same with it"
        )
        workflow.add_finding(settings.place, BUILT_IN_CONNECTOR, message)


def _check_secrets(workflow: Workflow, block: Block) -> None:
    """Add a finding about each credential in plain text."""
    for name, line in _SECRETS.items():
        if name not in _PUBLIC and not is_left_out(block.get(name)) and "${" not in str(block[name]):
            message = (
                f"{name} is in plain text here, for everybody who can read the workflow: write "
                f"`{line}` under _env, and get a new one, since whoever has read this one can use it"
            )
            workflow.add_finding(block.find_place(name), "plain-secret", message)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder for a while, as a run works in that of its project, whose files it reads."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class _TaskCheck:
    """What a run would say about one task of this operator."""

    def __init__(self, workflow: Workflow, task: DigTask) -> None:
        self._workflow = workflow
        self._task = task
        self._table = _CLASSES[task.class_name]
        self._params = task.find_params()
        self._settings = self._params.get_block("result_settings")
        self._env: Block = task.fill(task.block.get_block("_env"))

    def run(self) -> list[Export]:
        """Add the findings about the task, and return what it asks of the operator."""
        params = self._params
        _check_secrets(self._workflow, self._env)
        _check_secrets(self._workflow, self._settings)
        if FOR_THIS_RUN in params:
            message = f"{FOR_THIS_RUN} is for one run: pass it with -p, and leave it out of the workflow"
            self._add_finding(params.places[FOR_THIS_RUN], "for-this-run", message)
            del params[FOR_THIS_RUN]
        for name in ("result_settings", "audiences"):
            self._check_values(params.get(name), params.find_place(name))
        exports = self._find_exports()
        for name in sorted(RESTRICTING & self._task.block.keys()):
            if not self._workflow.has_finding(self._task.block.places[name]):
                message = f"a run does not read {name} here, so it restricts nothing: move it into result_settings"
                self._add_finding(self._task.block.places[name], "misplaced", message)
        return exports

    def _add_finding(self, place: Place, code: str, message: str, *, level: str = "error") -> None:
        """Add a finding about the task."""
        self._workflow.add_finding(place, code, message, level=level)

    def _check_values(self, value: Any, place: Place) -> None:
        """Add findings about ids that lose digits, and about templates that name nothing, in a value at any depth."""
        if isinstance(value, Block):
            for key, member in value.items():
                self._check_values(member, value.find_place(key))
        elif isinstance(value, list):
            for item in value:
                self._check_values(item, place)
        elif isinstance(value, int) and has_lost_digits(value):
            message = "a number of more than 15 digits can change when digdag reads it: put the id in quotes"
            self._add_finding(place, "unquoted-id", message)
        elif isinstance(value, str) and self._workflow.knows_all_variables and self._table and self._is_whole():
            for name in self._task.find_undefined(value):
                message = f"nothing in this workflow defines {name}: correct the name, or pass it to the run with -p"
                self._add_finding(place, "undefined", message, level="warning")

    def _is_whole(self) -> bool:
        """Whether all files were read that may define what the task reads."""
        return all(block.is_whole for block in (self._task.exported, self._params, self._settings, self._env))

    def _find_exports(self) -> list[Export]:
        """Return what the task asks of the operator. Adds a finding for each problem that a run would report."""
        params = self._params
        known = _replace_unknown(params, EXPORT, set())
        known["td"] = {**self._find_known_by_callers(), **known.get("td", {})}
        environ = {name: _hide_secret(name, value) for name, value in self._env.items()}
        blocks = [self._settings, params, params.get_block("td"), self._env]
        if self._table is None:
            if self._task.class_name == _LIFT and not _is_unknown(params.get("lift")):
                lift = Task(params=params, environ=environ)
                self._call(read_control_share, lift, blocks=[params.get_block("lift"), *blocks])
            self._call(parse_api_key, environ, blocks=blocks)
            return []
        raw = params.get("result_settings")
        settings = {} if _is_template(raw) else self._call(parse_raw_settings, raw, blocks=blocks)
        unknown: set[str] = set()
        known["result_settings"] = _replace_unknown(settings or {}, self._table, unknown)
        task = Task(params=known, environ=environ)
        if settings is None or _is_template(raw):
            return []
        if self._task.class_name == _MANY:
            return self._read_entries(task, unknown, blocks)
        if self._task.class_name == _ACTIVATION:
            ours = {"segment_name": _NAME, "activation_actions_table": f"{_NAME}.{_NAME}"}
            activation = self._call(add_activation_settings, replace(task, params={**ours, **known}), blocks=blocks)
            if activation is None:
                return []
            task = activation
            unknown |= {"audience_name"}.difference(settings)
            given = {name for name, value in task.params["result_settings"].items() if not is_left_out(value)}
            of_console = self._table.by_name.keys() - given - {"action", *_CREDENTIALS}
            return [self._read_request(task, unknown, blocks, optional=of_console)]
        return [self._read_request(task, unknown, blocks)]

    def _find_known_by_callers(self) -> dict[str, str]:
        """Return stand-ins for what earlier tasks, or a workflow that calls this one, may store under `td`."""
        is_open = not self._workflow.knows_all_variables
        has_job = is_open or any(each.operator.startswith("td") for each in self._workflow.tasks)
        return {**({"database": _NAME} if is_open else {}), **({"last_job_id": "1"} if has_job else {})}

    def _read_entries(self, task: Task, unknown: set[str], blocks: list[Block]) -> list[Export]:
        """Return what the entries of the task's list ask of the operator, and add findings about them."""
        listed = self._params.get("audiences")
        items = listed if isinstance(listed, list) else []
        shown = [{"name": number} if _is_template(item) else item for number, item in enumerate(items)] or listed
        task = replace(task, params={**task.params, "audiences": shown})
        self._call(read_at_once, task, blocks=blocks)
        entries = {} if _is_template(listed) else self._call(read_entries, task, blocks=blocks) or {}
        exports = []
        for number, (name, members) in enumerate(entries.items()):
            entry = items[number] if items else None
            if _is_template(entry):
                continue
            block = entry if isinstance(entry, Block) else Block(self._params.find_place("audiences"))
            own: set[str] = set()
            known = _replace_unknown(members, EXPORT, own)
            given = {*known, *known.get("result_settings", ())}
            around = [block.get_block("result_settings"), block, *blocks]
            built = self._call(build_entry_task, task, known, name, blocks=around)
            if built:
                exports.append(self._read_request(built, own | (unknown - given), around))
        return exports

    def _read_request(
        self, task: Task, unknown: set[str], blocks: list[Block], *, optional: Set[str] = frozenset()
    ) -> Export:
        """Return what a task or an entry asks of the operator, and add findings.

        `unknown`: the names of settings that only a run knows. `optional`: those that the console may give. Added are
        the problems without them, with valid values for them, and with every action if that is unknown.
        """
        assert self._table  # noqa: S101
        settings = task.params["result_settings"]
        request: TaskRequest[Any] | None = None
        found: list[Sequence[Problem]] = []
        for stand_ins in _list_stand_ins(self._table, unknown | optional):
            whole = replace(task, params={**task.params, "result_settings": {**settings, **stand_ins}})
            try:
                with _inside(self._workflow.path.parent):
                    request = read_task_request(whole, table=self._table)
                found.append(request.settings.warnings)
            except SettingsError as error:
                found.append(error.problems)
        self._report([problem for problem in found[0] if all(problem in each for each in found)], blocks)
        if request and unknown.isdisjoint(("columns", "records", "control")) and isinstance(request.source, Source):
            lists = {name: each.query for name, each in request.lists.items()}
            for name, message in find_column_problems(request.settings, query=request.source.query, lists=lists):
                self._report([Problem(key=name, code="columns", text=message)], blocks)
        shown = {str(name): value for name, value in settings.items()} | dict.fromkeys(unknown)
        return Export(table=self._table, settings=shown, unknown=frozenset(unknown), request=request)

    def _call(self, function: Callable[..., _R], *args: Any, blocks: list[Block]) -> _R | None:
        """Return what one of the operator's readers returns. If it refuses the task, add findings and return None."""
        try:
            with _inside(self._workflow.path.parent):
                return function(*args)
        except SettingsError as error:
            self._report(error.problems, blocks)
            return None

    def _report(self, problems: Iterable[Problem], blocks: list[Block]) -> None:
        """Add a finding for each problem, at the place of its key in the first of the `blocks` that has it."""
        for problem in problems:
            names = [problem.key, _CREDENTIALS.get(problem.key), *problem.others]
            is_absent = problem.code in ("missing", "environment")
            if is_absent and not all(block.is_whole for block in (*blocks, self._task.exported)):
                continue  # an included file that cannot be read may have it
            place = self._task.place
            if problem.code == "environment":
                place = self._task.block.places.get("_env", place)
            elif self._table and problem.key in self._table.by_name and "result_settings" in self._params:
                place = blocks[0].place
            for block in blocks:
                if name := next((name for name in names if name in block.places), None):
                    is_about_value = problem.code in ("value", "missing", "digits")
                    place = block.find_place(name) if is_about_value else block.places[name]
                    break
            if problem.code != "digits" or not self._workflow.has_finding(place):
                level = "warning" if problem.code in ("unused", "digits") else "error"
                self._add_finding(place, problem.code, problem.text, level=level)


def _list_stand_ins(table: SettingsTable[Any], unknown: set[str]) -> list[dict[str, object]]:
    """Return what the `unknown` settings may be: left out or valid, and each action if the action is unknown."""
    valid = {name: value for name in unknown if (value := _find_valid(table.by_name[name])) is not None}
    if "action" not in unknown:
        return [{}, valid] if unknown else [{}]
    return [{**each, "action": action.action.name} for action in ACTIONS for each in ({}, valid)]


def _find_valid(setting: Setting) -> object:
    """Return a value that a setting allows, or None if its default is as good."""
    for value in (_PLACEHOLDER,) if setting.is_credential else _VALUES:
        with contextlib.suppress(WrongValueError):
            setting.type.parse(value)
            return value
    return None


def _replace_unknown(values: Mapping[Any, Any], table: SettingsTable[Any], unknown: set[str]) -> dict[Any, Any]:
    """Return parameters or settings with stand-ins for values that only a run knows, and for plain credentials.

    Settings of the `table` whose values only a run knows are left out; their names are added to `unknown`.
    """
    known: dict[Any, Any] = {}
    for name, value in values.items():
        if name in ("td", "result_settings") and isinstance(value, Mapping):
            known[name] = _replace_unknown(value, table, unknown)
        elif name in _CREDENTIALS and not is_left_out(value) and "${" not in str(value):
            known[name] = _PLACEHOLDER
        elif not _is_unknown(value):
            known[name] = value
        elif name in table.by_name:
            unknown.add(name)
        elif name == "query" and len(TEMPLATE.sub("", value).split()) > 1:
            known[name] = TEMPLATE.sub(TEMPLATE_NAME, value)
        else:
            known[name] = _PARAMETERS.get(name, "1")
    return known


def _is_unknown(value: object) -> bool:
    """Whether a value has a template that could not be filled in: only a run knows it."""
    if isinstance(value, Mapping | list):
        return any(map(_is_unknown, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, str) and TEMPLATE.search(value) is not None


def _is_template(value: object) -> bool:
    """Whether a value is a template and nothing else, for which a run may get a mapping or a list."""
    return isinstance(value, str) and TEMPLATE.fullmatch(value.strip()) is not None


def _hide_secret(name: str, value: object) -> str:
    """Return a variable's value, or a placeholder for a secret and for what only a run knows."""
    is_hidden = not is_left_out(value) and (name in SECRETS or "${" in str(value))
    return _PLACEHOLDER if is_hidden else str("" if value is None else value)
