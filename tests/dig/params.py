"""Parameters: plain JSON values in nested mappings, merged and read with digdag's rules."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import DigError

Params = dict[str, Any]

_BOOLEANS = {"true": True, "True": True, "false": False, "False": False, "": False}
_KINDS: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
}


def merge(into: Params, other: Mapping[str, Any]) -> Params:
    """Deep-merge `other` into `into` (returned): mappings by key, anything else is replaced; keys keep their place."""
    for key, value in other.items():
        held = into.get(key)
        if isinstance(held, dict) and isinstance(value, dict):
            merge(held, value)
        else:
            into[key] = copy.deepcopy(value)
    return into


def with_defaults(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> Params:
    """A copy of `params` with the keys of `defaults` that it lacks, at every depth."""
    return merge(copy.deepcopy(dict(defaults)), params)


def remove(params: Params, path: str) -> None:
    """Remove the value at a dotted path, if it is there."""
    *nests, last = path.split(".")
    for nest in nests:
        inner = params.get(nest)
        if not isinstance(inner, dict):
            return
        params = inner
    params.pop(last, None)


def set_dotted(params: Params, key: str, value: str) -> None:
    """Set `a.b.c` as nested mappings, as `-p a.b.c=value` does. Raises DigError when `a` or `a.b` is no mapping."""
    *nests, last = key.split(".")
    for position, nest in enumerate(nests):
        inner = params.setdefault(nest, {})
        if not isinstance(inner, dict):
            outer = ".".join(nests[: position + 1])
            raise DigError(f"Parameter '{key}' is set but '{outer}' is not a object ({json.dumps(inner)})")
        params = inner
    params[last] = value


def _unsuitable(key: str, wanted: str, value: object) -> DigError:
    shown = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return DigError(f"Expected {wanted} for key '{key}' but got {shown} ({_KINDS[type(value)]})")


def required(params: Mapping[str, Any], key: str) -> Any:
    """The value of `key`. Raises DigError when it is absent or null."""
    if key not in params:
        raise DigError(f"Parameter '{key}' is required but not set")
    if params[key] is None:
        raise DigError(f"Parameter '{key}' is required but null")
    return params[key]


def as_text(params: Mapping[str, Any], key: str) -> str:
    """A required scalar as text. Raises DigError for a mapping or a list."""
    value = required(params, key)
    if isinstance(value, (dict, list)):
        raise _unsuitable(key, "string type", value)
    return value if isinstance(value, str) else json.dumps(value)


def optional_text(params: Mapping[str, Any], key: str) -> str | None:
    """A scalar as text, None when it is absent or null. Raises DigError for a mapping or a list."""
    return None if params.get(key) is None else as_text(params, key)


def as_int(params: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """An integer, also out of text; `default` for an absent or null one. Raises DigError for anything else."""
    if default is not None and params.get(key) is None:
        return default
    value = required(params, key)
    try:
        return int(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else int("")
    except (ValueError, OverflowError):
        raise _unsuitable(key, "integer (int) type", value) from None


def as_bool(params: Mapping[str, Any], key: str, default: bool | None = None) -> bool:
    """A boolean, also out of the texts true and false and of integers; `default` for an absent or null one."""
    if default is not None and params.get(key) is None:
        return default
    value = required(params, key)
    if isinstance(value, (bool, int)):
        return bool(value)
    if isinstance(value, str) and value.strip() in _BOOLEANS:
        return _BOOLEANS[value.strip()]
    raise _unsuitable(key, "'true' or 'false'", value)


def nested(params: Mapping[str, Any], key: str) -> Params:
    """The mapping under `key`, empty when absent or null. Raises DigError for anything else."""
    value = params.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DigError(f"Parameter '{key}' must be an object")
    return value


def parsed(params: Mapping[str, Any], key: str) -> Any:
    """The value of `key`; one that is text is read as JSON, as `${…}` leaves mappings and lists. None when absent."""
    value = params.get(key)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise DigError(f"Parameter '{key}' is text but not JSON: {error}") from None


def parsed_list(params: Mapping[str, Any], key: str) -> list[Any]:
    """The list under `key` (or its JSON text), empty when absent. Raises DigError for anything else."""
    value = parsed(params, key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unsuitable(key, "array type", value)
    return value


def tables(params: Mapping[str, Any], key: str, database: str) -> Iterator[tuple[str, str]]:
    """The `table` or `database.table` names listed under `key`, as (database, table)."""
    for entry in parsed_list(params, key):
        yield table(str(entry), database)


def table(name: str, database: str) -> tuple[str, str]:
    """`name` or `database.name` as (database, table)."""
    head, dot, tail = name.partition(".")
    return (head, tail) if dot else (database, name)
