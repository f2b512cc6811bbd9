"""The operators that print, fail, or make more tasks. Sources: digdag-standards, operator/*OperatorFactory.java."""

from __future__ import annotations

import copy
import json
from itertools import product
from typing import Any
from urllib.parse import quote

from .errors import DigError, TaskFailedError
from .operator import Call, Outcome
from .params import Params, as_bool, as_int, as_text, nested, optional_text, parsed, parsed_list, required
from .workflow import MOST_TASKS, read


def echo(call: Call) -> Outcome:
    """`echo>`: print a line."""
    call.machine.log(as_text(call.params, "_command") + "\n")
    return Outcome()


def fail(call: Call) -> Outcome:
    """`fail>`: fail with a message."""
    raise TaskFailedError(optional_text(call.params, "_command") or "")


def if_(call: Call) -> Outcome:
    """`if>`: `_do` when true, `_else_do` when false."""
    branches = {True: nested(call.params, "_do"), False: nested(call.params, "_else_do")}
    condition = as_bool(call.params, "_command")
    if not any(branches.values()):
        raise DigError("Both _do and _else_do are not specified.")
    return Outcome(subtask=branches[condition])


def for_each(call: Call) -> Outcome:
    """`for_each>`: `_do` for every combination of the lists."""
    lists = parsed(call.params, "_command")
    if not isinstance(lists, dict):
        raise DigError("Parameter '_command' must be an object")
    axes = [[(name, index, value) for index, value in enumerate(parsed_list(lists, name))] for name in lists]
    combinations = product(*(axis for axis in axes)) if axes else iter(())
    return _repeat(
        call,
        {
            "+for-"
            + "&".join(f"{axis}={_tag(name)}={index}={_tag(value)}" for axis, (name, index, value) in enumerate(row)): {
                name: value for name, _, value in row
            }
            for row in combinations
        },
    )


def _tag(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return quote(text[:8], safe="*-._").replace("~", "%7E")


def loop(call: Call) -> Outcome:
    """`loop>`: `_do` that many times, with `i`."""
    count = as_int(call.params, "count", as_int(call.params, "_command"))
    return _repeat(call, {f"+loop-{index}": {"i": index} for index in range(count)})


def for_range(call: Call) -> Outcome:
    """`for_range>`: `_do` for each slice of a range, with `range: {from, to, index}`."""
    wanted = parsed(call.params, "_command")
    if not isinstance(wanted, dict):
        raise DigError("Parameter '_command' must be an object")
    start, end = as_int(wanted, "from"), as_int(wanted, "to")
    given = [key for key in ("step", "slices") if wanted.get(key) is not None]
    if len(given) == 2:
        raise DigError("Setting both step and slices options to for_range is invalid")
    if not given:
        raise DigError("step or slices option is required for for_range")
    size = as_int(wanted, given[0])
    if size <= 0:
        raise DigError(f"{given[0]} option must be same or greater than 1 but got {size}")
    step = size if given[0] == "step" else max((end - start + size - 1) // size, 1)
    slices = [(low, min(low + step, end)) for low in range(start, end, step)]
    return _repeat(
        call,
        {
            f"+range-from={low}&to={high}": {"range": {"from": low, "to": high, "index": index}}
            for index, (low, high) in enumerate(slices)
        },
    )


def _repeat(call: Call, exports: dict[str, Params]) -> Outcome:
    if len(exports) > MOST_TASKS:
        raise DigError(f"Too many {call.params['_type']} subtasks. Limit: {MOST_TASKS}")
    required(call.params, "_do")
    generated: Params = {}
    for name, export in exports.items():
        task = copy.deepcopy(nested(call.params, "_do"))
        task["_export"] = {**nested(task, "_export"), **export}
        generated[name] = task
    if isinstance(call.params.get("_parallel"), dict) or as_bool(call.params, "_parallel", False):
        generated["_parallel"] = call.params["_parallel"]
    return Outcome(subtask=generated)


def call_(call: Call) -> Outcome:
    """`call>`: run another workflow of the project below this task."""
    name = as_text(call.params, "_command")
    path = call.file(name if name.endswith(".dig") else f"{name}.dig")
    if not path.is_file():
        raise DigError(f"File not found: {path}")
    config = copy.deepcopy(read(path).config)
    folder = path.parent.relative_to(call.machine.project).as_posix()
    if folder != ".":
        export = config.setdefault("_export", {})
        export["_workdir"] = f"{folder}/{export['_workdir']}" if "_workdir" in export else folder
    return Outcome(subtask=config)
