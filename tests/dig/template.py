"""`${…}`: JavaScript, evaluated by quickjs, with digdag's results and its scoping.

A result is always text: a string unchanged, null and undefined as nothing, everything else as JSON. Each key sees the
parameters and the keys evaluated before it in its own mapping. digdag's engine is of ECMAScript 5: later syntax is
refused, later methods are not. `moment` and `Date` are not here. Source: digdag-core, agent/ConfigEvalEngine.java.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import quickjs

from .config import DigError, Params

_EVALUATED_LATER = ("_do", "_else_do")
_OPENING = re.compile(r"\$\{(?![a-z]+:)")  # a text like ${secret:…} belongs to the operators
_BRACE = re.compile(r"[{}]")
_LATER_SYNTAX = re.compile(r"`|=>|\*\*|\?\?|\?\.(?!\d)|\.\.\.|\b(?:let|const|class|async|await)\b")
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_NAME = re.compile(r"[\w$]+")
# These words let a script use a parameter that it does not name.
_ALL = {"this", "eval"}
_RUN = """delete globalThis.Date; delete globalThis.globalThis;
(function (source, params) {
  return new Function('text', source).call(JSON.parse(params), function (value) {
    return value == null ? '' : typeof value == 'string' ? value : JSON.stringify(value) + '';
  });
})"""


def evaluate(config: Mapping[str, Any], params: Params) -> Params:
    """Evaluate every text in `config`, at any depth, but those of `_do` and `_else_do`. Raises DigError."""
    built: Params = {}
    for key, value in config.items():
        built[key] = value if key in _EVALUATED_LATER else _evaluate_value(value, params, built)
    return built


def _evaluate_value(value: Any, params: Params, before: Params) -> Any:
    if isinstance(value, dict):
        return evaluate(value, params)
    if isinstance(value, list):
        return [_evaluate_value(entry, params, before) for entry in value]
    return fill(value, {**params, **before}) if isinstance(value, str) and "$" in value else value


def fill(text: str, params: Params) -> str:
    """Replace each `${…}` in `text` by its value. Raises DigError, which names the text and what is wrong."""
    if "$" not in text:
        return text
    # Cached, as a workflow evaluates its exports for each task, mostly with the same values.
    names = set(_NAME.findall(text))
    values = params if names & _ALL else {name: params[name] for name in sorted(names & params.keys())}
    return _fill(text, json.dumps(values))


@functools.lru_cache(maxsize=10_000)
def _fill(text: str, params: str) -> str:
    pieces = []
    for piece, is_script in _split(text):
        later = _LATER_SYNTAX.search(_QUOTED.sub("''", piece)) if is_script else None
        if later:
            raise DigError(f"Failed to evaluate a variable {text} ({later[0]} is newer than ECMAScript 5)")
        pieces.append(f"text(({piece}))" if is_script else json.dumps(piece.replace("$$", "$")))
    try:
        run = quickjs.Context().eval(_RUN)
        return str(run(f"with (this) {{ return [{', '.join(pieces)}].join('') }}", params))
    except quickjs.JSException as error:
        raise DigError(f"Failed to evaluate a variable {text} ({str(error).splitlines()[0]})") from None


def _split(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of `text`, each with whether it is a script. Braces in a script are counted."""
    position = 0
    while (opening := _OPENING.search(text, position)) and (end := _closing_brace(text, opening.end())):
        yield text[position : opening.start()], False
        yield text[opening.end() : end], True
        position = end + 1
    yield text[position:], False


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return None
