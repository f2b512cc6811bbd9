"""digdag's templates in text from elsewhere."""

from collections.abc import Mapping
from typing import Any


def defuse_templates(value: Any) -> Any:
    """Return JSON data with `${` changed to `$ {` in all texts, so that digdag does not evaluate them as templates.

    Source: digdag-core, agent/ConfigEvalEngine.java: digdag evaluates all parameters of a task, even values that other
    tasks stored, and `error.message`. digdag-plugin-utils, UserSecretTemplate.java: `http>` then fills in secrets.
    """
    if isinstance(value, str):
        return value.replace("${", "$ {")
    if isinstance(value, Mapping):
        return {defuse_templates(key): defuse_templates(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [defuse_templates(entry) for entry in value]
    return value
