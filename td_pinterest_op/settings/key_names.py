"""Keys of `result_settings` that the operator does not know."""

import logging
import re
from collections.abc import Mapping
from typing import TypeGuard

from td_pinterest_op.settings.parsed_settings import ParsedSettings
from td_pinterest_op.settings.setting import Table
from td_pinterest_op.settings.task_parameters import TASK_PARAMETERS
from td_pinterest_op.settings.types import Show, describe, show_value, suggest

log = logging.getLogger(__name__)

_MAXIMUM_UNKNOWN_KEYS = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Keys that Audience Studio's console adds to the settings that it passes on: td_…, _…, type and …Type.
_ADDED_BY_CONSOLE = re.compile(r"(?:td)?_.*|.*type", re.IGNORECASE)


def check_names(parsed: ParsedSettings, settings: Mapping[object, object], show: Show) -> None:
    """Add a problem for each key that the table does not have."""
    table = parsed.table
    unknown = [name for name in settings if name not in table.by_name]
    for name in unknown[:_MAXIMUM_UNKNOWN_KEYS]:
        if not isinstance(name, str):
            parsed.add_problem("a key", f"{describe(name)} is not the name of a key; allowed: a string")
        elif name in TASK_PARAMETERS:
            text = "is not a key of result_settings; it belongs on the task, next to result_settings"
            parsed.add_problem(name, text)
        else:
            label = name if _may_be_shown(name, show) else f"a key ({show(name)})"
            retired = table.retired.get(name)
            advice = f"; {retired}" if retired else suggest(name, [*table.by_name, *TASK_PARAMETERS])
            parsed.add_problem(label, f"is unknown{advice}", code="unknown")
    if len(unknown) > _MAXIMUM_UNKNOWN_KEYS:
        parsed.add_problem("more keys", f"{len(unknown) - _MAXIMUM_UNKNOWN_KEYS} more are unknown")


def drop_console_keys(settings: Mapping[object, object], table: Table) -> dict[object, object]:
    """Return the settings without unknown keys that Audience Studio's console adds. A warning names them."""
    added = [
        name
        for name in settings
        if name not in table.by_name and _may_be_shown(name, show_value) and _ADDED_BY_CONSOLE.fullmatch(name)
    ]
    if added:
        log.warning(
            "the settings from the console have keys that this operator does not know, which are ignored: %s",
            ", ".join(added),
        )
    return {name: value for name, value in settings.items() if name not in added}


def _may_be_shown(name: object, show: Show) -> TypeGuard[str]:
    """Whether a message may show a key unchanged."""
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None and show(name) == repr(name)
