"""digdag's templates in text from elsewhere."""

from collections.abc import Mapping
from typing import Any


def defuse_templates(value: Any) -> Any:
    """Return JSON data with `${` changed to `$ {` in all texts, so that digdag fills in no template.

    Source: digdag-core, agent/ConfigEvalEngine.java: each task evaluates all its parameters, also what others stored
    and `error.message`; digdag-plugin-utils, UserSecretTemplate.java: `http>` then looks for secrets in the outcome.
    """
    if isinstance(value, str):
        return value.replace("${", "$ {")
    if isinstance(value, Mapping):
        return {defuse_templates(key): defuse_templates(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [defuse_templates(entry) for entry in value]
    return value
