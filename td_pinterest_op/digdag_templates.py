"""digdag's templates in text from elsewhere."""

from collections.abc import Mapping
from typing import TypeVar, cast

_T = TypeVar("_T")


def defuse_templates(value: _T) -> _T:
    """Return JSON data with `${` changed to `$ {` in all texts, so that digdag fills in no template.

    Source: digdag-core, agent/ConfigEvalEngine.java: each task evaluates all its parameters, also what others stored
    and `error.message`; digdag-plugin-utils, UserSecretTemplate.java: `http>` then looks for secrets in the outcome.
    """
    if isinstance(value, str):
        return cast(_T, value.replace("${", "$ {"))
    if isinstance(value, Mapping):
        return cast(_T, {defuse_templates(key): defuse_templates(entry) for key, entry in value.items()})
    if isinstance(value, (list, tuple)):
        return cast(_T, [defuse_templates(entry) for entry in value])
    return value
