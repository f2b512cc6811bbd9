"""The tasks of a .dig file, with the parameters that their `_export` blocks give them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.cli.lint.dig_file import Value

# Blocks that hold tasks, besides the names that begin with +.
_BLOCKS = ("_do", "_else_do", "_error", "_check")
_TEMPLATE = re.compile(r"\$\{(?!secret:)\s*([^{}]*?)\s*\}")
_DOTTED = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*")


class UnknownError(Exception):
    """A template's value is known only when the workflow runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as written. `operator` is None for a group. `exported` are the parameters that it inherits."""

    name: str
    value: Value
    operator: str | None
    exported: Mapping[str, Any]
    parents: tuple[Value, ...]

    @property
    def command(self) -> Value | None:
        """What stands behind the operator."""
        return self.value.get(f"{self.operator}>") if self.operator else None

    def filled(self, value: Value) -> object:
        """A value with its templates filled in. Raises UnknownError where that needs a run."""
        return _filled(value.plain(), self.exported)

    def text(self, value: Value) -> str | None:
        """A value with its templates filled in; None for what is no text, or known only when the workflow runs."""
        try:
            filled = self.filled(value)
        except UnknownError:
            return None
        return filled if isinstance(filled, str) else None


def tasks(root: Value) -> Iterator[Task]:
    """Every task and group, from the outside in."""
    yield from _tasks("", root, {}, ())


def _tasks(name: str, value: Value, exported: Mapping[str, Any], parents: tuple[Value, ...]) -> Iterator[Task]:
    given = value.get("_export")
    exported = _merged(exported, given.plain()) if given else exported
    operator = next((key[:-1] for key in value.mapping if key.endswith(">")), None)
    yield Task(name=name, value=value, operator=operator, exported=exported, parents=parents)
    for key, member in value.mapping.items():
        if key.startswith("+") or key in _BLOCKS:
            yield from _tasks(name + key, member, exported, (*parents, value))


def _merged(base: Mapping[str, Any], over: object) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items() if isinstance(over, dict) else ():
        held = merged.get(key)
        merged[key] = _merged(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return merged


def _filled(value: object, params: Mapping[str, Any]) -> object:
    if isinstance(value, dict):
        return {key: _filled(member, params) for key, member in value.items()}
    if isinstance(value, list):
        return [_filled(item, params) for item in value]
    return _TEMPLATE.sub(lambda match: _looked_up(match[1], params), value) if isinstance(value, str) else value


def _looked_up(name: str, params: Mapping[str, Any]) -> str:
    value: object = params
    for part in name.split(".") if _DOTTED.fullmatch(name) else [""]:
        if not isinstance(value, dict) or part not in value:
            raise UnknownError
        value = value[part]
    value = _filled(value, params)
    if isinstance(value, dict | list):
        raise UnknownError
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
