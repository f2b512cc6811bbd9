"""`result_settings` of a task in a .dig file: what the operator's parser says, put at the lines of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from td_pinterest_op.audiences.actions import EXPORT
from td_pinterest_op.cli.lint.dig_file import DigFile, Value
from td_pinterest_op.cli.lint.environment import STAND_IN, plain_secret
from td_pinterest_op.cli.lint.tasks import Task, UnknownError, tasks
from td_pinterest_op.errors import Problem, SettingsError
from td_pinterest_op.settings.action import Action
from td_pinterest_op.settings.given import Notice, read
from td_pinterest_op.settings.table import CONNECTION, CREDENTIALS, ERASURE, STATUS, IfExists, Table

# What a workflow names after `py>:`, and the settings that it takes.
TABLES: Mapping[str, Table] = {
    "td_pinterest_op.export.PinterestExport": EXPORT,
    "td_pinterest_op.status.AudienceStatus": STATUS,
    "td_pinterest_op.status.AudienceStatus.look": STATUS,
    "td_pinterest_op.erase.PinterestErase": ERASURE,
    "td_pinterest_op.mirror.Mirror.look": STATUS,
    "td_pinterest_op.mirror.Mirror.send": EXPORT,
    "td_pinterest_op.many.Many.renew": CONNECTION,
}
# What completes its settings when it runs: from a list, or from what Audience Studio hands over.
COMPLETED = frozenset(
    {
        "td_pinterest_op.many.Many.export",
        "td_pinterest_op.many.Many.gate",
        "td_pinterest_op.activation.PinterestActivation",
        "td_pinterest_op.activation.PinterestActivation.prepare",
    }
)
DOORS = frozenset({*TABLES, *COMPLETED})
_CODES = {"environment": "env", "unknown": "unknown-setting"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is known of the settings: None where it is wrong, or known only when the workflow runs."""

    action: Action | None = None
    if_exists: IfExists | None = None


def stand_ins() -> dict[str, str]:
    """An environment with every credential."""
    return {key.variable: STAND_IN for key in CREDENTIALS}


def check_settings(dig: DigFile, task: Task, environ: Mapping[str, str], *, table: Table = EXPORT) -> Checked:
    """Note what is wrong with the settings of a task."""
    given = task.value.get("result_settings")
    if given is None:
        dig.find(task.value, "setting", "the task has no result_settings: README shows the least to write")
        return Checked()
    if isinstance(given.value, str) and "${" in given.value:
        return Checked()  # settings as one text may come from an activation, when the workflow runs
    _check_secrets(dig, given)
    known, unknown = _known(task, given)
    try:
        reading = read(known if given.mapping else given.plain(), table=table, environ=environ)
    except SettingsError as error:  # no mapping
        for problem in error.problems:
            _note(dig, given, problem)
        return Checked()
    problems = reading.problems.in_order()
    for problem in problems:
        if problem.key not in unknown and not (problem.code == "missing" and "action" in unknown):
            _note(dig, given, problem)
    if table is not EXPORT or "action" in unknown:
        return Checked()
    # A key that is misspelt may be the action.
    for notice in reading.notices() if reading.values["action"].given or not problems else ():
        _note_unused(dig, given, notice)
    if_exists = None if "if_exists" in unknown else reading.values["if_exists"].value
    return Checked(action=reading.action, if_exists=if_exists)


def settings_of_export(dig: DigFile) -> Mapping[str, object]:
    """What is known, before a run, of the settings of the first export; nothing if there is none."""
    for task in tasks(dig.root) if dig.root else ():
        given = task.value.get("result_settings")
        if given and task.command and TABLES.get(str(task.command.value)) is EXPORT:
            return _known(task, given)[0]
    return {}


def _known(task: Task, given: Value) -> tuple[dict[str, object], set[str]]:
    """The settings that are known before a run, and the names of the others."""
    known: dict[str, object] = {}
    unknown = set()
    for name, value in given.mapping.items():
        try:
            filled = task.filled(value)
        except UnknownError:
            filled = ""
        # A template that is blank yet waits for its value in a file of settings: the run itself insists on it.
        if filled == "" and value.value != "":
            unknown.add(name)
        else:
            known[name] = filled
    # What stands there in plain text may be any word: the parser would mask it in every message.
    known |= dict.fromkeys(known.keys() & {key.name for key in CREDENTIALS}, STAND_IN)
    for prefix in ("audience_id", "ad_account_id"):  # one of several names will do
        if any(name.startswith(prefix) for name in unknown):
            unknown |= {f"{prefix}s", *(setting.name for setting in EXPORT.settings if setting.name.startswith(prefix))}
    return known, unknown


def _note(dig: DigFile, given: Value, problem: Problem) -> None:
    code = _CODES.get(problem.code, "setting")
    dig.find(given.get(problem.key) or given, code, f"{problem.key}: {problem.text}")


def _note_unused(dig: DigFile, given: Value, notice: Notice) -> None:
    for name in notice.keys if notice.code == "unused" else ():  # digits that are lost have a rule of their own
        message = f"the action does not use {name}: take the line out"
        dig.find(given.get(name) or given, "unused-setting", message, error=False)


def _check_secrets(dig: DigFile, given: Value) -> None:
    for key in CREDENTIALS:
        value = given.get(key.name)
        if value is not None and value.value not in (None, "") and "${" not in str(value.value):
            dig.find(value, "plain-secret", f"{key.name}: {plain_secret(key.variable, key.secret)}")
