"""digdag fills in `${…}` wherever it reads a text, secrets included: no text that leaves the operator holds one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


def without_templates(value: _T) -> _T:
    """`value` (plain JSON types) with `$ {` for `${`, in every text and key.

    Source: digdag-core, agent/ConfigEvalEngine.java: each task evaluates all its parameters, also what others stored
    and `error.message`; digdag-plugin-utils, UserSecretTemplate.java: `http>` then looks for secrets in the outcome.
    """
    return cast(_T, _without(value))


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("${", "$ {")
    if isinstance(value, Mapping):
        return {_without(key): _without(entry) for key, entry in value.items()}
    return [_without(entry) for entry in value] if isinstance(value, (list, tuple)) else value
