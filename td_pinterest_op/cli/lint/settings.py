"""`result_settings` and `_env` of a task in a .dig file, with what the operator's parser says at their lines."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from td_pinterest_op.audiences.actions import EXPORT
from td_pinterest_op.cli.connection import SECRETS
from td_pinterest_op.cli.lint.dig_file import DigFile, Task, UnknownError, Value, tasks
from td_pinterest_op.errors import Problem, SettingsError
from td_pinterest_op.settings.parse import parse_all
from td_pinterest_op.settings.setting import Table
from td_pinterest_op.settings.table import CONNECTION, CREDENTIALS, ERASURE, STATUS

# What a workflow names after `py>:`, and the settings that it takes.
TABLES: Mapping[str, Table] = {
    "td_pinterest_op.export.PinterestExport": EXPORT,
    "td_pinterest_op.status.AudienceStatus": STATUS,
    "td_pinterest_op.status.AudienceStatus.look": STATUS,
    "td_pinterest_op.erase.PinterestErase": ERASURE,
    "td_pinterest_op.many.Many.renew": CONNECTION,
}
# What completes its settings when it runs: from a list, or from what Audience Studio hands over.
COMPLETED = frozenset(
    {
        "td_pinterest_op.many.Many.export",
        "td_pinterest_op.many.Many.gate",
        "td_pinterest_op.activation.PinterestActivation",
    }
)
# What has no settings.
PLAIN = frozenset({"td_pinterest_op.history.Failed", "td_pinterest_op.history.Lift"})
DOORS = frozenset({*TABLES, *COMPLETED, *PLAIN})
# For the value of a secret; no message holds it.
STAND_IN = "0-stand-in-0"
_SECRET = re.compile(r"\$\{secret:\s*([^{}\s]+)\s*\}")
_CODES = {"environment": "env", "unknown": "unknown-setting"}


def check_settings(dig: DigFile, task: Task, environ: Mapping[str, str], *, table: Table = EXPORT) -> Mapping[str, Any]:
    """Note what is wrong with the settings of a task; returns those of an export as far as they are known."""
    given = task.value.get("result_settings")
    if given is None:
        dig.find(task.value, "setting", "the task has no result_settings: README shows the least to write")
        return {}
    if isinstance(given.value, str) and "${" in given.value:
        return {}  # settings as one text may come from an activation, when the workflow runs
    for key in CREDENTIALS:
        _check_plain(dig, given.get(key.name), key.name, key.variable)
    known, unknown = _known(task, given)
    try:
        reading = parse_all(known if given.mapping else given.plain(), table=table, environ=environ)
    except SettingsError as error:  # no mapping
        for problem in error.problems:
            _note(dig, given, problem)
        return {}
    problems = reading.problems
    for problem in problems:
        if problem.key not in unknown and not (problem.code == "missing" and "action" in unknown):
            _note(dig, given, problem)
    if table is not EXPORT or "action" in unknown:
        return {}
    # A key that is misspelt may be the action. Digits that are lost have a rule of their own.
    notices = reading.notices() if reading.values["action"].is_given or not problems else ()
    for name in [name for notice in notices if notice.code == "unused" for name in notice.keys]:
        message = f"the action does not use {name}: take the line out"
        dig.find(given.get(name) or given, "unused-setting", message, error=False)
    return {name: value.value for name, value in reading.values.items() if name not in unknown}


def settings_of_export(dig: DigFile) -> Mapping[str, object]:
    """What is known, before a run, of the settings of the first export; nothing if there is none."""
    for task in tasks(dig.root) if dig.root else ():
        given = task.value.get("result_settings")
        if given and task.command and TABLES.get(str(task.command.value)) is EXPORT:
            return _known(task, given)[0]
    return {}


def history_of(dig: DigFile) -> tuple[str | None, object]:
    """Return the database and the table, as known before a run, of the first history that a task names; else None."""
    for task in tasks(dig.root) if dig.root else ():
        given = task.value.get("result_settings")
        named = _known(task, given)[0].get("history") if given and task.operator == "py" else None
        if named:
            own = task.value.get("database")
            exported = task.exported.get("td")
            database = task.text(own) if own else exported.get("database") if isinstance(exported, dict) else None
            return database or None, named
    return None, None


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
    # A credential in plain text may be any word: the parser would mask it in every message.
    known |= dict.fromkeys(known.keys() & {key.name for key in CREDENTIALS}, STAND_IN)
    for prefix in ("audience_id", "ad_account_id"):  # one of several names will do
        if any(name.startswith(prefix) for name in unknown):
            unknown |= {f"{prefix}s", *(setting.name for setting in EXPORT.settings if setting.name.startswith(prefix))}
    return known, unknown


def _note(dig: DigFile, given: Value, problem: Problem) -> None:
    code = _CODES.get(problem.code, "setting")
    dig.find(given.get(problem.key) or given, code, f"{problem.key}: {problem.text}")


def environ_of(dig: DigFile, task: Task) -> Mapping[str, str]:
    """The environment of the task: each variable of its `_env`, secrets with a stand-in for a value."""
    for parent in task.parents:
        if misplaced := parent.get("_export", "_env"):
            message = "digdag reads _env from the task itself: move it there, next to py>"
            dig.find(misplaced, "env", message)
    given = task.value.get("_env")
    environ = {}
    for name, value in given.mapping.items() if given else ():
        if name in SECRETS:
            _check_plain(dig, value, name, name)
        check_secret_names(dig, value, variable=name)
        environ[name] = "" if value.value is None else _SECRET.sub(STAND_IN, str(value.value))
    return environ


def _check_plain(dig: DigFile, value: Value | None, name: str, variable: str) -> None:
    if value and value.value not in (None, "") and "${" not in str(value.value):
        secret = SECRETS[variable]
        message = (
            f"{name}: it is here in plain text, for everybody who can read the workflow: take it out, set the "
            f"secret {secret}, and write `{variable}: ${{secret:{secret}}}` under _env. Whoever has read it can use "
            "it: get a new one"
        )
        dig.find(value, "plain-secret", message)


def check_secret_names(dig: DigFile, value: Value, *, variable: str = "") -> None:
    """Note a secret whose name is nearly that of another file, or the usual one of the `variable` of an `_env`."""
    for name in _SECRET.findall(str(value.value)):
        usual = {SECRETS[variable]} if variable in SECRETS else set()
        if near := _meant(name, {*usual, *_others(dig, value.path)}):
            message = f"no other workflow of the folder has a secret {name}: did you mean {near}?"
            dig.find(value, "secret-name", message, error=False)


def _others(dig: DigFile, here: Path) -> Iterator[str]:
    """The names of secrets in the other files of the project."""
    for pattern in ("*.dig", "*/*.yml", "*/*.dig"):
        for path in dig.folder.glob(pattern):
            if path != here and path.is_file() and path.stat().st_size < 1_000_000:
                yield from _SECRET.findall(path.read_text(encoding="utf-8", errors="replace"))


def _meant(name: str, known: set[str]) -> str | None:
    """The known name that `name` is a misspelling of: not one of another style, nor of a second account."""
    words = {re.sub(r"[._-]", "", word).lower(): word for word in known}
    plain = re.sub(r"[._-]", "", name).lower()
    if name in known or plain in words:
        return None
    near = difflib.get_close_matches(plain, words, n=1, cutoff=0.88)
    if not near or plain.startswith(near[0]) or re.sub(r"\D", "", plain) != re.sub(r"\D", "", near[0]):
        return None
    return words[near[0]]
