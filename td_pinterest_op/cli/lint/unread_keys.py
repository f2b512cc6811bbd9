"""The rules about keys that nothing reads, above all those that look as if they withheld people."""

import re
from collections.abc import Mapping, Sequence

from td_pinterest_op.audiences.actions import EXPORT
from td_pinterest_op.audiences.request import ROWS, find_refused_parameters
from td_pinterest_op.cli.lint.dig_file import Block, DigFile, DigTask, Place, find_list, walk
from td_pinterest_op.cli.lint.exports import MANY, OPERATORS, Operator
from td_pinterest_op.settings.table import FOR_THIS_RUN
from td_pinterest_op.settings.types import is_left_out, suggest_word
from td_pinterest_op.stats import LISTS, SUPPRESS

PROGRAMS = ("py", "rb", "sh", "call", "require", "emr")
# Those that get a task's own keys as variables.
_SCRIPTS = ("rb", "sh", "emr")
# Keys of digdag that any py> task may have.
_OF_TASKS = ("docker", "python", "py", "td", "result_settings")
_OPT_OUTS = re.compile(r"sup+res|consent|opt_?out", re.IGNORECASE)
# A name for a query; any other key of an export with SQL may be there to withhold people.
_QUERY_NAME = re.compile("sql|query|statement|source|data", re.IGNORECASE)
_IS_QUERY = re.compile(r"\.sql\s*$|\bselect\b", re.IGNORECASE)


def check_keys(dig: DigFile, task: DigTask, operator: str, templates: str) -> None:
    """Add a finding for each key of a task that neither its operator nor a template of the workflow reads.

    `operator`: "" if it is not of this package. Of such a task's keys, and of those in any task's mappings, only those
    that may withhold people are judged. `templates`: the text of all templates.
    """
    table, parameters = OPERATORS.get(operator, Operator(None, ()))[:2]
    for block in ((), ("_env",), ("td",)):
        for name, place in task.block.get_block(*block).places.items():
            withholds = name in LISTS or bool(_OPT_OUTS.search(name) and not isinstance(task.block.get(name), bool))
            setting = table.by_name.get(name.lower()) if table else None
            if block:
                is_judged = withholds or (setting is not None and setting.restricts)
            elif operator:
                is_directive = name.endswith(">") or (name[0] in "+_" and not withholds)
                is_judged = not is_directive and name not in (*parameters, *_OF_TASKS, FOR_THIS_RUN)
            else:
                is_judged = withholds and not name.startswith("+") and task.operator not in _SCRIPTS
            # A variable, not a key of one such as `pinterest.lists.suppress`.
            is_variable = re.search(rf"(?<![\w.'\"]){re.escape(name)}\b", templates)
            # Keys that belong into empty settings beside them are one mistake.
            is_moved = setting and is_left_out(task.block.get("result_settings", "none"))
            if not is_judged or is_variable or is_moved or dig.has_finding(place):
                continue
            message = f"nothing reads {name} here"
            # Never a list of people in place of a key that is about something else.
            others = [each for each in parameters if withholds or each not in LISTS]
            near = suggest_word(name, {*others, "_env", "result_settings"} - task.block.keys())
            if operator == MANY and name == "limit":  # of 0.4
                near = "; did you mean at_once?"
            is_query = not block and _IS_QUERY.search(str(task.block[name]))
            withholds = withholds or bool(is_query and not near and not _QUERY_NAME.search(name))
            if setting:
                message += f": write {name.lower()} under result_settings"
            elif withholds and "query" in parameters and SUPPRESS not in parameters:  # an erasure
                has_rows = not task.params.keys().isdisjoint(ROWS)
                message += ": an erasure removes the people whom its query selects. Leave out of it whoever must stay"
                message += "" if has_rows else ", or write `query` if these are the people to erase"
            elif operator and not block and name[0] != "+" and (meant := find_refused_parameters([name], None)):
                message += f", so nobody is withheld; did you mean {meant[name]}?"
            elif withholds:
                right = name if name in LISTS else "suppress or consent"
                message += f", so nobody is withheld; write {right} on the task that exports, next to result_settings"
            else:
                message += near or ("; did you mean query?" if is_query else ": remove the line")
            restricts = withholds or (setting and setting.restricts)
            dig.add_finding(place, "withholds-nobody" if restricts else "unknown-key", message)


def check_exported_keys(
    dig: DigFile, tasks: Sequence[DigTask], operators: Mapping[str, str], templates: str, *, adds_people: bool
) -> None:
    """Add a finding for each key under an `_export` that looks as if it withheld people, and that nothing reads.

    `operators`: the operators of this package by the task's name. `templates`: the text of all templates.
    `adds_people`: whether a task may add people.
    """
    read: set[Place] = set()
    for task in tasks:
        for variable, value in task.block.get_block("_export").items():
            # A template that reads the whole mapping, such as `${settings}`, reads each of its keys.
            whole = rf"(?<![\w.'\"]){re.escape(variable)}\b(?!\s*[.\[])"
            if isinstance(value, Block) and re.search(whole, templates):
                read |= {owner.places[name] for owner, name, _ in walk(value)}
        if not operators[task.name]:
            continue
        parameters = OPERATORS[operators[task.name]].parameters
        read |= {place for name, place in task.params.places.items() if name in parameters}
        listed = find_list(task.params.get("audiences"), task.exported) or []
        entries = [each for each in listed if isinstance(each, Block)]
        for block in (*entries, *(each.get_block("result_settings") for each in (task.params, *entries))):
            read.update(block.places.values())
    # Programs of the user get every parameter. Where a list is read, a key with such a name may be a note.
    is_open = not adds_people or any(
        not task.params.keys().isdisjoint(LISTS) if operators[task.name] else task.operator in PROGRAMS
        for task in tasks
    )
    for owner, name, _ in (each for task in tasks for each in walk(task.block.get_block("_export"))):
        setting = EXPORT.by_name.get(name.lower())
        place = owner.places[name]
        if name.lower() in LISTS or (_OPT_OUTS.search(name) and not is_open):
            right = name.lower() if name.lower() in LISTS else "suppress or consent"
            message = f"so nobody is withheld; write {right} on the task that exports, next to result_settings"
        elif setting and setting.restricts:
            message = f"so it has no effect; write {name.lower()} under result_settings of the task that exports"
        else:
            continue
        is_variable = re.search(rf"\b{re.escape(name)}\b", templates)
        if place not in read and not is_variable and not dig.has_finding(place):
            dig.add_finding(place, "withholds-nobody", f"no task reads {name} here, {message}")
