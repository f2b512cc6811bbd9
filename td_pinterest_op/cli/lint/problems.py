"""An export of a workflow, and the problems that a run would report, as findings at the line of what one edits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from td_pinterest_op.audiences.request import TaskRequest
from td_pinterest_op.cli.connection import SECRETS
from td_pinterest_op.cli.lint.dig_file import DigFile, Place, find_operator
from td_pinterest_op.cli.lint.selected_columns import COMMENT_OR_STRING
from td_pinterest_op.errors import Problem, SettingsError
from td_pinterest_op.settings.table import SettingsTable
from td_pinterest_op.settings.types import find_nearest
from td_pinterest_op.stats import LISTS


@dataclass(frozen=True, kw_only=True)
class Export:
    """A task of this operator in a workflow: an export (or an entry of a list), an erasure or a status check."""

    settings: Mapping[str, object]  # as written; None for a value that only a run knows, "" for one to fill in
    places: Mapping[str, Place]  # where each parameter, setting and variable is written; "": the whole task or entry
    unknown: frozenset[str]  # the names of the settings whose values only a run knows
    request: TaskRequest[Any] | None  # what the task asks of the operator, or None if the operator would refuse it
    entry: str = ""  # the name of the entry of the list
    values: Mapping[str, Place] = field(default_factory=dict)  # of a setting, or `control percent` of a mapping

    def find_value(self, name: str, text: str = "") -> Place | None:
        """Return the place of the variable that a setting names, or of the key of its mapping that `text` is about."""
        return self.values.get(f"{name} {self.find_inner_key(name, text)}", self.values.get(name))

    def find_inner_key(self, name: str, text: str) -> str:
        """Return the key of a setting's mapping that a problem's `text` is about, or ""."""
        about = text.partition("; allowed")[0]
        inner = [key.partition(" ")[2] for key in self.values if key.startswith(f"{name} ")]
        return next((key for key in inner if re.search(rf"\b{re.escape(key)}\b", about)), "")

    def find_place(self, *names: str) -> Place:
        """Return the place of the first of these keys that the workflow has, or else of the task or entry."""
        return next((self.places[name] for name in names if name in self.places), self.places[""])


def add_problems(
    dig: DigFile, export: Export, error: SettingsError, table: SettingsTable[Any], params: Mapping[str, Any]
) -> None:
    """Add a finding for each problem of an error, unless the unknown settings may solve it. `params`: of the task."""
    for problem in error.problems:
        # A run, which knows the values of the unknown settings, may not have the problem.
        about = f"{problem.key} {problem.text}"
        is_open = any(key == "action" or re.search(rf"\b{re.escape(key)}\b", about) for key in export.unknown)
        if problem.code in ("unknown", "environment", "value") or problem.key in LISTS or not is_open:
            place = export.find_value(problem.key, problem.text) if problem.code == "value" else None
            if "several statements" in problem.text:
                place = find_second_statement(dig, str(params.get(problem.key)))
            _add_problem(dig, export, problem, table, place=place)


def find_second_statement(dig: DigFile, sql: str) -> Place | None:
    """Return where the second statement begins in the file of a query, or None if the query has no file."""
    statements = COMMENT_OR_STRING.sub(lambda text: re.sub(r"[^\n]", " ", text[0]), sql)
    second = re.search(r";\s*(?=\S)", statements)
    return dig.find_query(sql, at=second.end() if second else -1)


def _add_problem(
    dig: DigFile, export: Export, problem: Problem, table: SettingsTable[Any], *, place: Place | None
) -> None:
    """Add a finding about a problem that a run would report, at `place`, the line of its key, or the task's `_env`."""
    is_named = re.search(rf"\b{re.escape(problem.key)}\b", problem.text)
    text = problem.text if is_named else f"{problem.key}: {problem.text}"
    if problem.code != "environment" and "TD_API_KEY" not in text:
        is_setting = problem.code == "unknown" or problem.key in table.by_name
        at_task = "result_settings" if is_setting else "py>"
        if (inner := export.find_inner_key(problem.key, problem.text)) in table.by_name and "did you mean" not in text:
            text = f"{inner} is a setting of its own: move it out of {problem.key}, to the left"
        # Where its own key is missing, the place is that of another that the text names.
        named = re.findall(r"\b[A-Z_]+_SERVER\b|\b[a-z_]+\b", problem.text.partition("; allowed")[0])
        names = [problem.key, *(name for name in named if name in table.by_name or name.isupper())]
        names = ["engine"] * ("uses the engine" in text) + [name for name in names if name]
        place = place or export.find_place(*names, "" if export.entry else at_task)
        if not any(dig.has_finding(place, code) for code in ("withholds-nobody", "template")):  # about it
            code = "withholds-nobody" if problem.code == "misplaced" else "setting"
            dig.add_finding(place, code, f"entry {export.entry}: {text}" if export.entry else text)
        return
    if "_env" not in export.places:
        # Under `_export`, on a group or at the root: digdag gives it to no task.
        elsewhere = [owner.places[key] for owner, key, _ in dig.walk() if key == "_env" and not find_operator(owner)]
        message = "digdag gives this `_env` to no task: move it to the task that exports"
        if not elsewhere:
            message = "the task has no `_env`, so it gets no secrets: add one, with the lines of config/environment.yml"
        dig.add_finding((elsewhere or [export.find_place("py>")])[0], "env", message)
        return
    variable = re.search("[A-Z][A-Z_]+", text)
    near = find_nearest(variable[0] if variable else "", export.places.keys() - SECRETS.keys(), cutoff=0.85)
    hint = f"; did you mean it by {near}?" if near else ""
    env = export.places["_env"]
    if dig.has_finding(Place(env.path, env.line + 1), "file"):
        return  # its included file does not exist
    place = export.find_place(near or problem.key or "_env", "_env")
    variables = export.find_place(*SECRETS, "_env")
    dig.add_finding(variables if place == env and variables.path != env.path else place, "env", text + hint)
