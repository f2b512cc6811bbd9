"""What a run's own readers say about a task of this operator, as far as the task's own block says it.

A value with `${…}` is unknown until the run, and so is a parameter that the block does not have: digdag may add it from
an `_export`. What depends on them is not judged.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from td_pinterest_op.activation import build_activation_export_task
from td_pinterest_op.audiences.actions import EXPORT_SETTINGS
from td_pinterest_op.audiences.request import parse_task_request
from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.cli.lint.findings import FileLine, Findings
from td_pinterest_op.cli.lint.yaml_file import YamlBlock
from td_pinterest_op.errors import SettingProblem, SettingsError
from td_pinterest_op.exporting.entries import build_entry_task, parse_at_once, parse_entries, reject_settings_of_task
from td_pinterest_op.redaction.secret import replace_in_texts
from td_pinterest_op.settings.parse import parse_raw_settings
from td_pinterest_op.settings.table import (
    CONSOLE_SETTING_NAMES,
    CREDENTIAL_SETTINGS,
    ERASURE_SETTINGS,
    FOR_THIS_RUN_PARAMETER,
    STATUS_SETTINGS,
    SettingsTable,
    build_variable_name,
)
from td_pinterest_op.settings.types import has_secret_reference, is_left_out
from td_pinterest_op.task_runtime.task import Task

_R = TypeVar("_R")

PACKAGE_PREFIX = "td_pinterest_op."
EXPORT_CLASS = "td_pinterest_op.export.PinterestExport"
ACTIVATION_CLASS = "td_pinterest_op.activation.PinterestActivation"
SETTINGS_TABLE_BY_CLASS: Mapping[str, SettingsTable[Any] | None] = {
    EXPORT_CLASS: EXPORT_SETTINGS,
    ACTIVATION_CLASS: EXPORT_SETTINGS,
    "td_pinterest_op.erasure.PinterestErasure": ERASURE_SETTINGS,
    "td_pinterest_op.status.PinterestStatus": STATUS_SETTINGS,
    "td_pinterest_op.lift.PinterestLift": None,
}
"""The classes that a workflow may name, each with the settings of its tasks, or None for one without."""

VARIABLE_BY_CREDENTIAL = {key.name: build_variable_name(key.secret_name) for key in CREDENTIAL_SETTINGS}
TEMPLATE_PATTERN = re.compile(r"\$\{(?!\s*secret:)")
"""The beginning of what digdag fills in when a task runs, but not of a secret."""
# In place of a secret; too short to be masked in messages.
_CREDENTIAL_PLACEHOLDER = "00"
# Parameters that the block does not have, or whose value is unknown.
_PARAMETER_PLACEHOLDERS = {"query": "SELECT email FROM people", "database": "known_to_the_run"}
_ENGINES = ("presto", "hive")


class _Unknown:
    """A value that only a run knows. No type of setting accepts it, and the problems about it are left out."""


_UNKNOWN = _Unknown()


def is_unknown(value: object) -> bool:
    """Whether a value has a template, which only a run fills in."""
    if isinstance(value, Mapping):
        return any(map(is_unknown, value.values()))
    if isinstance(value, list):
        return any(map(is_unknown, value))
    return isinstance(value, str) and TEMPLATE_PATTERN.search(value) is not None


def count_unknown_values(value: object) -> int:
    """Return how many texts in a value have a template, without those in subtasks and directives but `_env`."""
    if isinstance(value, Mapping):
        names = [name for name in value if name == "_env" or not str(name).startswith(("_", "+"))]
        return sum(count_unknown_values(value[name]) for name in names)
    if isinstance(value, list):
        return sum(map(count_unknown_values, value))
    return int(is_unknown(value))


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Parameters or settings for a run's reader. `unknown`: the names of those whose values only a run knows."""

    values: dict[Any, Any]
    unknown: set[str] = field(default_factory=set)


def _separate_known(members: Mapping[Any, Any]) -> _Known:
    """Return members with `_UNKNOWN` for what only a run knows, and a placeholder for a plain credential."""
    known = _Known(values={})
    for name, value in members.items():
        if is_unknown(value):
            known.unknown.add(str(name))
            known.values[name] = _UNKNOWN
        elif name in VARIABLE_BY_CREDENTIAL and not is_left_out(value) and not has_secret_reference(value):
            known.values[name] = _CREDENTIAL_PLACEHOLDER
        else:
            known.values[name] = replace_in_texts(value, "$$", "$")
    return known


def _leave_unknown_out_of_entry(entry: object) -> object:
    """Return an entry of a list, or one with no more than its name if only a run knows what else it is."""
    if not is_unknown(entry):
        return entry
    name = entry.get("name") if isinstance(entry, Mapping) else ""
    return {"name": "" if is_unknown(name) else name, "action": "known to the run"}


def check_task(block: YamlBlock, class_name: str, findings: Findings, *, exports_settings: bool) -> None:
    """Add findings about a task's block.

    `exports_settings`: whether an `_export` of the file has `result_settings` or `audiences`.
    """
    table = SETTINGS_TABLE_BY_CLASS[class_name]
    if table:
        _TaskChecker(block, class_name, table, findings, exports_settings=exports_settings).check()


class _TaskChecker:
    """Hands a task to the readers of its class."""

    def __init__(
        self,
        block: YamlBlock,
        class_name: str,
        table: SettingsTable[Any],
        findings: Findings,
        *,
        exports_settings: bool,
    ) -> None:
        self._block = block
        self._class_name = class_name
        self._table = table
        self._findings = findings
        self._settings_block = block.get_block("result_settings")
        self._settings_may_be_elsewhere = exports_settings
        self._unknown: set[str] = set()
        self._environ = _build_environ(block.get_block("_env"))

    def check(self) -> None:
        task = self._build_task()
        if self._class_name == EXPORT_CLASS and "audiences" in self._block:
            self._check_entries(task)
        elif self._class_name == ACTIVATION_CLASS:
            self._check_activation(task)
        else:
            self._check_request(task, self._unknown)

    def _build_task(self) -> Task:
        """Return the task of the block, with placeholders for the parameters that it does not have."""
        members = {
            name: value
            for name, value in self._block.items()
            if not name.startswith(("_", "+")) and not name.endswith(">")
            if name not in ("result_settings", FOR_THIS_RUN_PARAMETER)
        }
        params = _separate_known(members)
        td = _separate_known(self._block.get_block("td"))
        params.values["td"] = {name: value for name, value in td.values.items() if name not in td.unknown}
        if params.values.get("job_id") is _UNKNOWN:
            params.values["job_id"] = "1"
        for name, placeholder in _PARAMETER_PLACEHOLDERS.items():
            given = params.values.get(name, params.values["td"].get(name) if name == "database" else None)
            is_missing = name not in params.values and (name == "database" or "job_id" not in params.values)
            if given is _UNKNOWN or (given is None and is_missing):
                params.values[name] = placeholder
        if params.values.get("engine") is _UNKNOWN:
            del params.values["engine"]
            # Whether this is a query depends on the engine.
            if "query" in params.values:
                params.values["query"] = _PARAMETER_PLACEHOLDERS["query"]
        self._unknown |= params.unknown
        params.values["result_settings"] = self._separate_known_settings()
        return Task(params=params.values, environ=self._environ)

    def _separate_known_settings(self) -> dict[Any, Any]:
        given = self._block.get("result_settings")
        if "result_settings" not in self._block or (is_unknown(given) and not isinstance(given, Mapping)):
            self._settings_may_be_elsewhere = True
            return {}
        try:
            settings = _separate_known(parse_raw_settings(given))
        except SettingsError as error:
            self._add_findings(error.problems, self._blocks)
            self._settings_may_be_elsewhere = True
            return {}
        self._unknown |= settings.unknown
        return settings.values

    @property
    def _blocks(self) -> list[YamlBlock]:
        """Where a key may be; the first place takes precedence."""
        return [self._settings_block, self._block, self._block.get_block("_env")]

    def _check_activation(self, task: Task) -> None:
        settings = dict(task.params["result_settings"])
        chosen = [name for name in CONSOLE_SETTING_NAMES if name not in settings]
        params = dict(task.params)
        if params.get("later_runs", _UNKNOWN) is _UNKNOWN:
            params.pop("later_runs", None)
            settings.setdefault("action", _UNKNOWN)  # which the console may choose
        for name in ("result_connection_settings", "segment_name", "activation_actions_table", "activation_actions_db"):
            params.pop(name, None)
        params["segment_name"] = "known to the run"
        params["activation_actions_table"] = "known.to_the_run"
        params["result_settings"] = settings
        unknown = {*self._unknown, *chosen}
        activation = self._call_and_report(build_activation_export_task, replace(task, params=params), unknown=unknown)
        if activation:
            self._check_request(activation, unknown)

    def _check_entries(self, task: Task) -> None:
        self._call_and_report(parse_at_once, task)
        listed = self._block["audiences"]
        if is_unknown(listed) and not isinstance(listed, list):
            return
        if isinstance(listed, list):
            listed = list(map(_leave_unknown_out_of_entry, listed))
        task_of_list = replace(task, params={**task.params, "audiences": listed})
        entries = self._call_and_report(parse_entries, task_of_list, unknown=self._unknown - {"audiences"}) or {}
        for position, (name, members) in enumerate(entries.items()):
            given = self._block["audiences"][position] if isinstance(listed, list) else None
            if isinstance(given, YamlBlock):
                self._check_entry(task, name, given, given)
            elif not is_unknown(given):
                self._check_entry(task, name, members, YamlBlock(self._block.find_place("audiences")))

    def _check_entry(self, task: Task, name: str, members: Mapping[Any, Any], block: YamlBlock) -> None:
        known = _separate_known(members)
        for parameter, placeholder in {**_PARAMETER_PLACEHOLDERS, "job_id": "1"}.items():
            if known.values.get(parameter) is _UNKNOWN:
                known.values[parameter] = placeholder
        if known.values.get("engine") is _UNKNOWN:
            del known.values["engine"]
            known.values["query"] = _PARAMETER_PLACEHOLDERS["query"]
        blocks = [block, *self._blocks]
        unknown = {*known.unknown, *(self._unknown - known.values.keys())}

        def check_and_build_task() -> Task:
            reject_settings_of_task(known.values, name)
            return build_entry_task(task, known.values, name)

        if entry_task := self._call_and_report(check_and_build_task, blocks=blocks, unknown=unknown):
            self._check_request(entry_task, unknown, blocks)

    def _check_request(self, task: Task, unknown: set[str], blocks: Sequence[YamlBlock] = ()) -> None:
        """Hand a task to the run's reader, and add findings: where no engine is named, what all engines refuse."""
        settings = dict(task.params["result_settings"])
        if self._settings_may_be_elsewhere:
            settings.setdefault("action", _UNKNOWN)
            unknown = {*unknown, "action"} if settings["action"] is _UNKNOWN else unknown
        task = replace(task, params={**task.params, "result_settings": settings})
        is_named = not is_left_out(task.params.get("engine") or task.td.get("engine"))
        found: list[Sequence[SettingProblem]] = []
        for engine in [None] if is_named else _ENGINES:
            if found and not found[0]:
                return
            params = {**task.params, **({"engine": engine} if engine else {})}
            try:
                found.append(parse_task_request(replace(task, params=params), table=self._table).settings.warnings)
            except SettingsError as error:
                found.append(error.problems)
        kinds = [{(each.key, each.code) for each in problems} for problems in found]
        problems = [each for each in found[0] if all((each.key, each.code) in kind for kind in kinds)]
        self._add_findings(problems, blocks or self._blocks, unknown)

    def _call_and_report(
        self,
        function: Callable[..., _R],
        *args: Any,
        blocks: Sequence[YamlBlock] = (),
        unknown: Iterable[str] | None = None,
    ) -> _R | None:
        try:
            return function(*args)
        except SettingsError as error:
            self._add_findings(error.problems, blocks or self._blocks, self._unknown if unknown is None else unknown)
            return None

    def _add_findings(
        self, problems: Iterable[SettingProblem], blocks: Sequence[YamlBlock], unknown: Iterable[str] = ()
    ) -> None:
        """Add a finding for each problem, at its key in the first of the `blocks` that has it."""
        for problem in problems:
            if not {problem.key, *problem.others}.isdisjoint(unknown):
                continue
            is_missing = problem.code in ("missing", "environment") and problem.key in self._table.by_name
            if is_missing and self._settings_may_be_elsewhere:
                continue
            if problem.code == "environment" and isinstance(self._block.get("_env"), str):
                continue
            level = "warning" if problem.code in ("unused", "digits") else "error"
            self._findings.add(self._find_place(problem, blocks), problem.code, problem.text, level=level)

    def _find_place(self, problem: SettingProblem, blocks: Sequence[YamlBlock]) -> FileLine:
        names = [problem.key, VARIABLE_BY_CREDENTIAL.get(problem.key), *problem.others]
        # A misplaced key is next to the settings, which may have the key as well.
        for block in blocks if problem.code != "misplaced" else [self._block]:
            if name := next((name for name in names if name in block.places), None):
                return block.places[name]
        if problem.code == "environment":
            return self._block.find_place("_env") if "_env" in self._block else find_operator_place(self._block)
        if "result_settings" in self._block and (problem.code == "unknown" or problem.key in self._table.by_name):
            return blocks[0].place
        return find_operator_place(self._block)


def find_operator_place(block: YamlBlock) -> FileLine:
    """Return the place of a task's operator."""
    return block.find_place(next((name for name in block if name.endswith(">")), ""))


def _build_environ(env: YamlBlock) -> dict[str, str]:
    """Return the variables of a task's `_env`, with placeholders for secrets. Other unknown ones are left out."""
    environ = {}
    for name, value in env.items():
        if not is_left_out(value) and (name in SECRETS_BY_VARIABLE or has_secret_reference(value)):
            environ[name] = _CREDENTIAL_PLACEHOLDER
        elif not is_unknown(value):
            environ[name] = str(value or "")
    return environ
