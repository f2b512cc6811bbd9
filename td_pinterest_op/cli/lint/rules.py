"""What a run would say about each task of this operator, at the line of its cause, and what no run can see.

The operator's own functions read the task, with placeholders for what only a run knows.
"""

# To add a finding:
# 1. Test it (tests/unit/cli/lint/test_rules.py).
# 2. What a run refuses or warns of: add it to the reader that a run calls. `ProblemCode` in errors.py has the codes,
#    `_add_findings` below says which are warnings. What no run can see is a rule below.
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from td_pinterest_op import __version__
from td_pinterest_op.activation import build_activation_export_task
from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS
from td_pinterest_op.audiences.request import TaskRequest, parse_task_request
from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.cli.lint.selected_columns import TEMPLATE_PLACEHOLDER, find_column_problems
from td_pinterest_op.cli.lint.workflow import TEMPLATE_PATTERN, DigTask, Workflow, parse_task_settings
from td_pinterest_op.cli.lint.yaml_file import FileLine, YamlBlock
from td_pinterest_op.errors import SettingProblem, SettingsError
from td_pinterest_op.many import build_entry_task, parse_at_once, parse_entries
from td_pinterest_op.requirements import find_differing_copy_version
from td_pinterest_op.settings.table import (
    CONSOLE_SETTING_NAMES,
    CREDENTIAL_SETTINGS,
    ERASURE_SETTINGS,
    FOR_THIS_RUN_PARAMETER,
    RESTRICTING_SETTING_NAMES,
    STATUS_SETTINGS,
    WITHHOLDING_LIST_NAMES,
    Setting,
    SettingsTable,
    build_variable_name,
)
from td_pinterest_op.settings.types import WrongValueError, is_left_out, may_have_lost_digits
from td_pinterest_op.task_runtime.task import Task, parse_api_key

_R = TypeVar("_R")

BUILT_IN_CONNECTOR_CODE = "built-in-connector"
"""The code of the finding about a td> task with Treasure Data's own Pinterest connector."""

_ACTIVATION_CLASS = "td_pinterest_op.activation.PinterestActivation"
_MANY_CLASS = "td_pinterest_op.many.Many"
_HISTORY_CLASSES = ("td_pinterest_op.history.Failed", "td_pinterest_op.history.Lift")
# The settings that a task may have, by its class.
_SETTINGS_TABLE_BY_CLASS: Mapping[str, SettingsTable[Any]] = {
    "td_pinterest_op.export.PinterestExport": EXPORT_SETTINGS,
    _MANY_CLASS: EXPORT_SETTINGS,
    _ACTIVATION_CLASS: EXPORT_SETTINGS,
    "td_pinterest_op.status.AudienceStatus": STATUS_SETTINGS,
    "td_pinterest_op.erase.PinterestErase": ERASURE_SETTINGS,
}
_VARIABLE_BY_CREDENTIAL = {key.name: build_variable_name(key.secret_name) for key in CREDENTIAL_SETTINGS}
_SECRET_KEYS = sorted({*SECRETS_BY_VARIABLE, *_VARIABLE_BY_CREDENTIAL} - {"client_id", "PINTEREST_CLIENT_ID"})
# In place of a secret; too short to be masked in messages.
_CREDENTIAL_PLACEHOLDER = "00"
# In place of what only a run knows. A setting gets the first of these that it allows.
_NAME_PLACEHOLDER = "known_to_the_run"
_UNKNOWN_QUERY_PLACEHOLDER = "SELECT * FROM known_to_the_run"
_PARAMETER_PLACEHOLDERS = {"query": _UNKNOWN_QUERY_PLACEHOLDER, "engine": "presto", "database": _NAME_PLACEHOLDER}
_TEXT_PLACEHOLDERS = (_UNKNOWN_QUERY_PLACEHOLDER, _NAME_PLACEHOLDER, "1", "US", "pinterest", "customer_list", "replace")
_SETTING_PLACEHOLDERS = (*_TEXT_PLACEHOLDERS, {_NAME_PLACEHOLDER: "email"}, {"percent": "1", "salt": _NAME_PLACEHOLDER})


@dataclass(frozen=True, kw_only=True)
class CheckedExport:
    """What a task, or an entry of its list, asks of the operator.

    `table`: the settings that it may have. `settings`: by name, None for those in `unresolved_names`, whose values
    only a run knows. `request`: None if a run refuses the task.
    """

    table: SettingsTable[Any]
    settings: Mapping[str, Any]
    unresolved_names: frozenset[str]
    request: TaskRequest[Any] | None


def check_workflow(path: Path) -> tuple[Workflow, list[CheckedExport]]:
    """Return a file's workflow, with sorted findings, and what its tasks ask of the operator."""
    workflow = Workflow(path)
    exports = []
    logging.disable(logging.WARNING)  # what a run would log is a finding, or no matter of the file
    try:
        # What cannot be read may have anything, and digdag refuses the whole folder for it.
        for task in () if workflow.findings else workflow.tasks:
            name = task.package_class_name
            with work_inside(path.parent):
                if name in _SETTINGS_TABLE_BY_CLASS:
                    exports += _TaskChecker(workflow, task).check_task()
                elif name in _HISTORY_CLASSES:
                    _TaskChecker(workflow, task).check_api_key_for_history()
                elif name:
                    message = f"there is no class {name}; an export is td_pinterest_op.export.PinterestExport"
                    workflow.add_finding(task.place, "class", message)
                elif task.operator == "td":
                    _check_td_task(workflow, task)
    finally:
        logging.disable(logging.NOTSET)
    if any(task.package_class_name for task in workflow.tasks) and (
        other := find_differing_copy_version(path.parent, __version__)
    ):
        message = (
            f"this is version {other} of the operator, but a task runs an installed one, such as this version "
            f"{__version__}: update the folder with `td-pinterest bundle FOLDER --update`"
        )
        place = FileLine(path.parent / "td_pinterest_op" / "__init__.py", 1)
        workflow.add_finding(place, "version", message, level="warning")
    workflow.findings.sort()
    return workflow, exports


def _check_td_task(workflow: Workflow, task: DigTask) -> None:
    for name in WITHHOLDING_LIST_NAMES:
        if name in task.block:
            message = f"td> does not read {name}, so nobody is withheld: move it into the result_settings of the export"
            workflow.add_finding(task.block.places[name], "misplaced", message)
    settings = task.find_builtin_connector_settings()
    if settings is not None:
        _check_plain_secrets(workflow, settings)
        message = (
            "this exports with Treasure Data's built-in Pinterest connector, not with this operator: "
            f"`td-pinterest init FOLDER --from {workflow.path}` makes a folder that does the same with it"
        )
        workflow.add_finding(settings.place, BUILT_IN_CONNECTOR_CODE, message)


def _check_plain_secrets(workflow: Workflow, block: YamlBlock) -> None:
    for name in _SECRET_KEYS:
        if not is_left_out(block.get(name)) and "${" not in str(block[name]):
            message = (
                f"{name} is in plain text here, for everybody who can read the workflow: make it a secret, as in "
                "config/environment.yml, and get a new one, since whoever has read this one can use it"
            )
            workflow.add_finding(block.find_value_place(name), "plain-secret", message)


@contextlib.contextmanager
def work_inside(folder: Path) -> Iterator[None]:
    """Within the block, work in a folder, as a run does in its project's."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class _TaskChecker:
    """Adds the findings about one task of this operator."""

    def __init__(self, workflow: Workflow, task: DigTask) -> None:
        self._workflow = workflow
        self._task = task
        self._table = _SETTINGS_TABLE_BY_CLASS.get(task.package_class_name, EXPORT_SETTINGS)
        self._params = task.get_filled_params()
        self._settings = self._params.get_block("result_settings")
        env: YamlBlock = task.fill_templates(task.block.get_block("_env"))
        self._environ = {
            name: _CREDENTIAL_PLACEHOLDER
            if not is_left_out(value) and (name in SECRETS_BY_VARIABLE or "${" in str(value))
            else str(value or "")
            for name, value in env.items()
        }
        # Where a key may be written, the place that counts first.
        self._blocks = [self._settings, self._params, self._params.get_block("td"), env]
        _check_plain_secrets(workflow, env)

    def check_api_key_for_history(self) -> None:
        if not is_left_out(self._params.get("history") or self._params.get_block("settings").get("history")):
            self._call_and_report(parse_api_key, self._environ)

    def check_task(self) -> list[CheckedExport]:
        params = self._params
        if FOR_THIS_RUN_PARAMETER in params:
            message = f"{FOR_THIS_RUN_PARAMETER} is for one run: pass it with -p, and leave it out of the workflow"
            self._workflow.add_finding(params.places[FOR_THIS_RUN_PARAMETER], "for-this-run", message)
            del params[FOR_THIS_RUN_PARAMETER]
        settings = None
        if not _is_template_text(params.get("result_settings")):
            settings = self._call_and_report(parse_task_settings, params)
            self._settings.update(settings or {})
        _check_plain_secrets(self._workflow, self._settings)
        self._check_ids_and_templates(self._settings, self._settings.place)
        self._check_ids_and_templates(params.get("audiences"), params.find_value_place("audiences"))
        exported = self._task.exported.get_block("result_settings")
        for name in sorted(RESTRICTING_SETTING_NAMES & exported.keys()):
            # digdag lets the task's value replace it, so that no run sees it.
            if is_left_out(exported[name]) and not is_left_out(self._settings.get(name)):
                message = f"{name} is blank here: give it a value, or leave the line out"
                self._workflow.add_finding(exported.places[name], "value", message)
        exports = [] if settings is None else self._check_exports_of_task()
        for name in sorted(RESTRICTING_SETTING_NAMES & self._task.block.keys()):
            place = self._task.block.places[name]
            if not self._workflow.has_finding(place):
                message = f"a run does not read {name} here: move it into result_settings, or leave it out"
                self._workflow.add_finding(place, "misplaced", message)
        return exports

    def _check_ids_and_templates(self, value: Any, place: FileLine) -> None:
        if isinstance(value, YamlBlock):
            for key, member in value.items():
                self._check_ids_and_templates(member, value.find_value_place(key))
        elif isinstance(value, list):
            for item in value:
                self._check_ids_and_templates(item, place)
        elif isinstance(value, int) and may_have_lost_digits(value):
            message = "a number of more than 15 digits can change when digdag reads it: put the id in quotes"
            self._workflow.add_finding(place, "unquoted-id", message)
        # Audience Studio passes on parameters of its own.
        elif (
            isinstance(value, str)
            and self._workflow.knows_all_variables
            and self._task.package_class_name != _ACTIVATION_CLASS
        ):
            # A template may name a key that is beside it.
            for name in set(self._task.list_undefined_names(value)).difference(["name", *self._table.by_name]):
                message = f"nothing in this workflow defines {name}: correct the name, or pass it to the run with -p"
                self._workflow.add_finding(place, "undefined", message, level="warning")

    def _check_exports_of_task(self) -> list[CheckedExport]:
        params = _fill_or_omit_unknown_values(self._params, self._table, set())
        unresolved: set[str] = set()
        params["result_settings"] = _fill_or_omit_unknown_values(self._settings, self._table, unresolved)
        # An earlier task, or a workflow that calls this one, may have run a job, or name the database.
        stored = {}
        if not self._workflow.knows_all_variables:
            stored = {"database": _NAME_PLACEHOLDER, "last_job_id": "1"}
        elif any(each.operator.startswith("td") for each in self._workflow.tasks):
            stored = {"last_job_id": "1"}
        params["td"] = stored | _fill_or_omit_unknown_values(self._params.get_block("td"), self._table, set())
        task = Task(params=params, environ=self._environ)
        if self._task.package_class_name == _MANY_CLASS:
            return self._check_entries(task, unresolved)
        if self._task.package_class_name != _ACTIVATION_CLASS:
            return [self._check_request(task, unresolved, self._blocks)]
        if _is_template_text(self._params.get("later_runs")):
            del params["later_runs"]
            unresolved.add("action")
        params.setdefault("segment_name", _NAME_PLACEHOLDER)
        params.setdefault("activation_actions_table", f"{_NAME_PLACEHOLDER}.{_NAME_PLACEHOLDER}")
        activation = self._call_and_report(build_activation_export_task, task)
        if activation is None:
            return []
        given = {name for name, value in self._settings.items() if not is_left_out(value)}
        unresolved |= set(CONSOLE_SETTING_NAMES) - given - {"action"}
        return [self._check_request(activation, unresolved, self._blocks)]

    def _check_entries(self, task: Task, unresolved: set[str]) -> list[CheckedExport]:
        self._call_and_report(parse_at_once, task)
        listed = self._params.get("audiences")
        if _is_template_text(listed):
            return []
        if isinstance(listed, list):
            listed = [{"name": number} if _is_template_text(item) else item for number, item in enumerate(listed)]
        exports = []
        entries = self._call_and_report(parse_entries, replace(task, params={**task.params, "audiences": listed})) or {}
        for name, members in entries.items():
            if isinstance(listed, list) and not isinstance(members, YamlBlock):
                continue  # only a run knows it
            block = members if isinstance(members, YamlBlock) else YamlBlock(self._params.find_value_place("audiences"))
            blocks = [block, *self._blocks]
            own: set[str] = set()
            known = _fill_or_omit_unknown_values(members, self._table, own)
            own |= unresolved.difference(known)
            if built := self._call_and_report(build_entry_task, task, known, name, blocks=blocks):
                exports.append(self._check_request(built, own, blocks))
        return exports

    def _check_request(self, task: Task, unresolved: set[str], blocks: list[YamlBlock]) -> CheckedExport:
        """Return what a task or an entry asks of the operator, and add findings.

        These are the problems that it has both without the settings in `unresolved` and with valid values for them, and
        with every action if that is unknown.
        """
        settings = task.params["result_settings"]
        request: TaskRequest[Any] | None = None
        found: list[Sequence[SettingProblem]] = []
        for placeholders in _list_placeholder_settings(self._table, unresolved):
            whole = replace(task, params={**task.params, "result_settings": {**settings, **placeholders}})
            try:
                request = parse_task_request(whole, table=self._table)
                found.append(request.settings.warnings)
            except SettingsError as error:
                found.append(error.problems)
        self._add_findings([problem for problem in found[0] if all(problem in each for each in found)], blocks)
        if request and request.source and unresolved.isdisjoint(("columns", "records", "control")):
            lists = {name: each.query for name, each in request.lists.items()}
            problems = find_column_problems(request.settings, query=request.source.query, lists=lists)
            self._add_findings(problems, blocks)
        shown = {str(name): value for name, value in settings.items()} | dict.fromkeys(unresolved)
        return CheckedExport(table=self._table, settings=shown, unresolved_names=frozenset(unresolved), request=request)

    def _call_and_report(
        self, function: Callable[..., _R], *args: Any, blocks: list[YamlBlock] | None = None
    ) -> _R | None:
        try:
            return function(*args)
        except SettingsError as error:
            self._add_findings(error.problems, blocks or self._blocks)
            return None

    def _add_findings(self, problems: Iterable[SettingProblem], blocks: list[YamlBlock]) -> None:
        """Add a finding for each problem, at its key in the first of the `blocks` that has it."""
        for problem in problems:
            place = self._task.place
            if problem.code == "environment":
                place = self._task.block.places.get("_env", place)
            elif "result_settings" in self._params and (
                problem.code == "unknown" or problem.key in self._table.by_name
            ):
                place = blocks[0].place
            names = [problem.key, _VARIABLE_BY_CREDENTIAL.get(problem.key), *problem.others]
            for block in blocks if problem.code != "misplaced" else [self._params]:
                if name := next((name for name in names if name in block.places), None):
                    is_about_value = problem.code in ("value", "missing", "digits")
                    place = block.find_value_place(name) if is_about_value else block.places[name]
                    break
            level = "warning" if problem.code in ("unused", "digits") else "error"
            self._workflow.add_finding(place, problem.code, problem.text, level=level)


def _list_placeholder_settings(table: SettingsTable[Any], unresolved: set[str]) -> list[dict[str, object]]:
    """Return what the settings in `unresolved` may be: left out or valid, and each action if that is unknown."""
    valid = {name: value for name in unresolved if (value := _choose_placeholder(table.by_name[name])) is not None}
    if "action" not in unresolved:
        return [{}, valid] if unresolved else [{}]
    return [{**each, "action": action.action.name} for action in ACTIONS for each in ({}, valid)]


def _choose_placeholder(setting: Setting) -> object:
    """Return a value that a setting allows, or None if its default is as good."""
    for value in (_CREDENTIAL_PLACEHOLDER,) if setting.is_credential else _SETTING_PLACEHOLDERS:
        with contextlib.suppress(WrongValueError):
            setting.type.parse(value)
            return value
    return None


def _fill_or_omit_unknown_values(
    values: Mapping[Any, Any], table: SettingsTable[Any], unknown: set[str]
) -> dict[Any, Any]:
    """Return parameters or settings with placeholders for plain credentials and for what only a run knows.

    Settings of the `table` that only a run knows are left out; their names are added to `unknown`.
    """
    known: dict[Any, Any] = {}
    for name, value in values.items():
        if name == "result_settings" and isinstance(value, Mapping):
            known[name] = _fill_or_omit_unknown_values(value, table, unknown)
        elif name in _VARIABLE_BY_CREDENTIAL and not is_left_out(value) and "${" not in str(value):
            known[name] = _CREDENTIAL_PLACEHOLDER
        elif not _has_template(value):
            known[name] = value
        elif name in ("query", *WITHHOLDING_LIST_NAMES) and len(TEMPLATE_PATTERN.sub("", str(value)).split()) > 1:
            known[name] = TEMPLATE_PATTERN.sub(TEMPLATE_PLACEHOLDER, str(value))
        elif name in table.by_name:
            unknown.add(name)
        else:
            known[name] = _PARAMETER_PLACEHOLDERS.get(name, "1")
    return known


def _has_template(value: object) -> bool:
    return TEMPLATE_PATTERN.search(str(value)) is not None


def _is_template_text(value: object) -> bool:
    """Whether a value is text with a template, which a run may make a mapping or a list."""
    return isinstance(value, str) and _has_template(value)
