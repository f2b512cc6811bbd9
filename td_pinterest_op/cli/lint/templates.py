"""The rules about templates: what `${…}` in a workflow, or in the query of a td> task, reads."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from td_pinterest_op.cli.lint.dig_file import TEMPLATE, Block, DigFile, DigTask, Place, merge_blocks
from td_pinterest_op.cli.lint.exports import OPERATORS
from td_pinterest_op.run_history.history_table import flatten
from td_pinterest_op.run_history.lift import COUNTS, compare_arms
from td_pinterest_op.settings.types import find_nearest, suggest_word
from td_pinterest_op.stats import Stats
from td_pinterest_op.status import AudienceState

# A variable in a template, and the keys after it: `pinterest.records.sent`, `target['audience_id']`.
_VARIABLE = re.compile(r"""(?<![\w.\"'])([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\[\s*(?:'[^']*'|"[^"]*")\s*\])+)""")
_KEY = re.compile(r"""\.(\w+)|\[\s*(?:'([^']*)'|"([^"]*)")""")
# What a check of status stores.
STATUS_FIGURES = ("audiences", "usable", "waiting", "unusable", "problems", "checked_at", "ad_account_id")
# What an erasure stores, apart from figures that it has in common with an export.
_ERASURE_FIGURES = ("erased_at", "records", "accounts", "lists", "summary", "receipt", "failed")
_OUTPUTS = {each.output for each in OPERATORS.values() if each.output}
_OPEN_TEMPLATE = "a template `${` is not closed: add the `}`"


def check_templates(dig: DigFile, tasks: Sequence[DigTask], operators: Mapping[str, str]) -> None:
    """Add findings about templates that give nothing: one that is not closed, or names what is missing or comes later.

    `operators`: the operators of this package by the task's name.
    """
    outputs = {name: OPERATORS[operator].output for name, operator in operators.items() if operator}
    stored = _OUTPUTS if dig.is_called_by_others else _OUTPUTS.intersection(outputs.values())
    # The user's own programs may store variables with similar names.
    has_programs = any(
        task.operator in ("py", "rb", "sh", "call", "require", "emr") and not operators[task.name] for task in tasks
    )
    cutoff = 1.0 if has_programs else 0.8
    exported = Block(dig.root.place)
    for task in tasks:
        exported = merge_blocks(exported, task.exported)
    td_keys = ["last_job_id", "last_results", "last_job", "each", *exported.get_block("td")]
    exported.pop("td", None)
    texts = [(block.places[key], value) for block, key, value in dig.walk() if isinstance(value, str)]
    for path, sql in dig.queries.items():
        texts += [(Place(path, number), line) for number, line in enumerate(sql.splitlines(), start=1)]
    for place, text in texts:
        if _has_open_template(text):
            dig.add_finding(place, "template", _OPEN_TEMPLATE)
        for template in TEMPLATE.findall(text):
            for key in re.findall(r"(?<![\w.])td\.(\w+)", template):
                if key not in td_keys and (near := suggest_word(key, td_keys)):
                    dig.add_finding(place, "template", f"td has no key {key}{near}")
            for variable, path in _VARIABLE.findall(template):
                if not dig.has_finding(place) and (
                    missing := _find_missing_key(template, variable, path, exported, stored, cutoff)
                ):
                    dig.add_finding(place, "template", f"{variable}{path}: {missing}")
    if not dig.is_called_by_others:
        _check_early_figures(dig, tasks, outputs)


def _check_early_figures(dig: DigFile, tasks: Sequence[DigTask], outputs: Mapping[str, str]) -> None:
    """Add a finding where a task reads a variable that only later tasks store. `outputs`: variables by task's name."""
    later = set(outputs.values())
    for task in tasks:
        later.discard(outputs.get(task.name, ""))
        for key, value in task.block.items() if "_error" not in task.name else ():
            for template in TEMPLATE.findall(value if isinstance(value, str) else ""):
                early = later.intersection(variable for variable, _ in _VARIABLE.findall(template))
                if not early.issubset(task.exported) and not _is_guarded(template):
                    message = f"{' and '.join(early)} is stored by a later task: put this task after it"
                    dig.add_finding(task.block.places[key], "order", message)


def _is_guarded(template: str) -> bool:
    """Whether an expression says what to do without a value."""
    return "||" in template or "?" in template or "typeof" in template


def _describe_output(variable: str, name: str) -> dict[str, Any]:
    """Return an example of what a task stores as `variable`, or {}. `name`: of an entry, in the figures of a list."""
    figures = Stats(action="", ad_account_id="", dry_run=False, keys=0).to_json()
    if variable == "pinterest_erasure":
        shared = {each: figures[each] for each in ("job_id", "dry_run", "version", "rows", "requests")}
        return shared | dict.fromkeys(_ERASURE_FIGURES)
    if variable == "pinterest_lift":
        return compare_arms(dict.fromkeys(COUNTS, 0), share=0.5)
    if variable == "pinterest_many":
        return {name: {"ok": True, "error": "", "statistics": figures}}
    if variable == "pinterest_status":
        return dict.fromkeys(STATUS_FIGURES)
    return figures if variable == "pinterest" else {}


def _find_missing_key(
    template: str, variable: str, path: str, exported: Block, stored: Collection[str], cutoff: float
) -> str:
    """Return what is missing where a template reads `path` of a variable, or "".

    `exported`: what the workflow exports. `stored`: the variables that the tasks of this package store. `cutoff`: how
    similar, from 0 to 1, the name of such a variable must be to be meant.
    """
    is_guarded = _is_guarded(template)
    is_ours = (variable not in exported or variable in stored) and (
        variable == "pinterest" or find_nearest(variable, _OUTPUTS - {"pinterest"}, cutoff=cutoff)
    )
    if is_ours and variable not in stored:
        others = " and ".join(f"`{each}`" for each in sorted(stored))
        return "" if is_guarded else f"no task stores `{variable}`{others and f'; the tasks store {others}'}"
    names = ["".join(parts) for parts in _KEY.findall(path)]
    if variable not in exported and names[0] in exported and exported.places[names[0]].path.suffix != ".dig":
        return f"there is no variable {variable}: write ${{{names[0]}}}, or include the file under `{variable}:`"
    if is_ours and variable == "pinterest_status" and names[0] in (each.name for each in fields(AudienceState)):
        return f"it is a list of states: write {variable}.audiences[0].{names[0]}"
    shape = _describe_output(variable, names[0]) if is_ours else {}
    own = exported.get(variable)
    shape |= own if shape and isinstance(own, dict) else {}  # digdag merges what a task stores into it
    known: Any = shape or own
    if isinstance(known, list) and not re.search(rf"{re.escape(names[0])}\s*\(|length", template):
        near = suggest_word(variable, [each for each in exported if isinstance(exported[each], dict)])
        return f"{variable} is a list, and has no key {names[0]}{near}"
    for name in names:
        if not isinstance(known, dict) or not known:
            break  # a method of a text or of a number
        if name not in known:
            longer = [each for each in known if name in each]
            near = f"; did you mean {longer[0]}?" if longer else suggest_word(name, known)
            if shape:
                every = flatten(shape, separator=".")
                last = {each.rpartition(".")[2]: each for each in reversed(every)}
                alike = [each for each in (*longer[:1], names[-1]) if each in last]
                alike = alike or [each for each in [find_nearest(names[-1], last, cutoff=0.75)] if each]
                meant = " or ".join(f"{variable}.{last[each]}" for each in alike)
                near = f"; did you mean {meant}?" if meant else ""
                return f"there is no figure {name}{near or '; there are ' + ', '.join(known)}"
            if not is_guarded:
                return f"there is no key {name}{near or '; there are ' + ', '.join(known)}"
        known = known.get(name)
    return ""


def _has_open_template(text: str) -> bool:
    """Whether the last `${` in a text is never closed by a `}`."""
    _, opening, rest = text.replace("$$", "").rpartition("${")
    return bool(opening) and "}" not in rest
