"""`${…}`: JavaScript, evaluated by quickjs, with digdag's results and its scoping.

A result is always text: a string as it is, null and undefined as nothing, everything else as JSON. Each key sees the
parameters and the keys evaluated before it in its own mapping. Source: digdag-core, agent/ConfigEvalEngine.java,
resources digdag.js.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import quickjs

from .ecmascript5 import MISSING, engine, later_syntax
from .errors import TemplateError
from .params import Params

_KEPT_BACK = ("_do", "_else_do")
_OPENING = re.compile(r"\$\{(?![a-z]+:)")  # what looks like ${secret:…} belongs to the operators
_TEXT_OF = "function (v) { return v == null ? '' : typeof v == 'string' ? v : JSON.stringify(v) + '' }"


def evaluate(config: Mapping[str, Any], params: Params) -> Params:
    """Every text in `config` evaluated, at any depth; `_do` and `_else_do` are left for later. Raises TemplateError."""
    built: Params = {}
    for key, value in config.items():
        built[key] = value if key in _KEPT_BACK else _evaluate_value(value, params, built)
    return built


def _evaluate_value(value: Any, params: Params, before: Params) -> Any:
    if isinstance(value, dict):
        return evaluate(value, params)
    if isinstance(value, list):
        return [_evaluate_value(entry, params, before) for entry in value]
    return fill(value, {**params, **before}) if isinstance(value, str) else value


def fill(text: str, params: Params) -> str:
    """`text` with each `${…}` replaced by its value. Raises TemplateError, naming the text and what is wrong."""
    if "$" not in text:
        return text
    parts = list(_split(text))
    for script in (part for part, is_script in parts if is_script):
        _check_syntax(text, script)
    pieces = (f"__text__(({part}))" if is_script else json.dumps(part) for part, is_script in parts)
    source = f"with (this) {{ return [{', '.join(pieces)}].join('') }}"
    try:
        run = engine().eval(
            "(function (source, params) { return new Function('__text__', source).call(JSON.parse(params), "
            + _TEXT_OF
            + ") })"
        )
        return str(run(source, json.dumps(params)))
    except quickjs.JSException as error:
        raise TemplateError(f"Failed to evaluate a variable {text} ({_complaint(error)})") from None


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """The pieces of `text` in order, each with whether it is a script. Braces in a script are counted."""
    position = 0
    while position < len(text):
        opening = _OPENING.search(text, position)
        # Nothing may follow `${` but a character: at the very end it is text.
        if opening is None or opening.end() == len(text):
            yield text[position:].replace("$$", "$"), False
            return
        yield text[position : opening.start()].replace("$$", "$"), False
        end = _closing(text, opening.end())
        if end is None:
            yield text[opening.start() :].replace("$$", "$"), False
            return
        if end > opening.end():
            yield text[opening.end() : end], True
        position = end + 1


def _closing(text: str, start: int) -> int | None:
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth < 0:
            return position
    return None


def _check_syntax(text: str, script: str) -> None:
    later = later_syntax(script)
    if later:
        raise TemplateError(f"Failed to evaluate a variable {text} (SyntaxError: {later} is newer than ECMAScript 5)")


def _complaint(error: quickjs.JSException) -> str:
    first_line = str(error).splitlines()[0]
    missing = re.fullmatch(r"ReferenceError: '(\w+)' is not defined", first_line)
    if missing is None:
        return first_line
    here_not = " (digdag has it, this stand-in has not)" if missing[1] in MISSING else ""
    return f"ReferenceError: {missing[1]} is not defined{here_not}"
