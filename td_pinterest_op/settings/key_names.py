"""Keys of `result_settings` and parameters of a task that the operator does not know."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from td_pinterest_op.settings.parsed_settings import ParsedSettings
from td_pinterest_op.settings.setting import SettingsTable
from td_pinterest_op.settings.types import Show, describe_type, find_nearest, show_value, suggest_word
from td_pinterest_op.stats import LISTS

log = logging.getLogger(__name__)

TASK_PARAMETERS = ("query", "database", "engine", "job_id", *LISTS)
"""The parameters that an export reads; digdag passes on every other parameter of the workflow as well."""

_MAXIMUM_UNKNOWN_KEYS = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Keys that Audience Studio's console adds to the settings that it passes on: td_…, _…, type and …Type.
_ADDED_BY_CONSOLE = re.compile(r"(?:td)?_.*|.*type", re.IGNORECASE)


def check_names(parsed: ParsedSettings, settings: Mapping[object, object], show: Show) -> None:
    """Add a problem to `parsed` for each unknown key of `settings`. `show`: formats a value for a message."""
    unknown = [name for name in settings if name not in parsed.table.by_name]
    for name in unknown[:_MAXIMUM_UNKNOWN_KEYS]:
        if not isinstance(name, str):
            parsed.add_problem("a key", f"{describe_type(name)} is not the name of a key; allowed: a string")
        elif name in TASK_PARAMETERS:
            text = "is not a key of result_settings; it belongs on the task, next to result_settings"
            parsed.add_problem(name, text)
        else:
            label = name if _may_be_shown(name, show) else f"a key ({show(name)})"
            suggestion = suggest_word(name, [*parsed.table.by_name, *TASK_PARAMETERS])
            parsed.add_problem(label, f"is unknown{suggestion}", code="unknown")
    if len(unknown) > _MAXIMUM_UNKNOWN_KEYS:
        parsed.add_problem("more keys", f"{len(unknown) - _MAXIMUM_UNKNOWN_KEYS} more are unknown")


def drop_console_keys(settings: Mapping[object, object], table: SettingsTable[Any]) -> dict[object, object]:
    """Return the settings without unknown keys that Audience Studio's console adds. Logs a warning with their names."""
    unknown = [name for name in settings if name not in table.by_name and _may_be_shown(name, show_value)]
    added = list(filter(_ADDED_BY_CONSOLE.fullmatch, unknown))
    if added:
        log.warning(
            "the settings from the console have keys that this operator does not know, which are ignored: %s",
            ", ".join(added),
        )
    return {name: value for name, value in settings.items() if name not in added}


def find_misspelt_parameters(names: Iterable[object]) -> Mapping[str, str]:
    """Return the names that look like misspelt task parameters, with the parameter that each resembles.

    A variable of the workflow that contains a parameter's name (`td_database`) is not a misspelling, nor is a name like
    a parameter that is given as well.
    """
    keys = {name for name in names if isinstance(name, str)}
    left = [name for name in TASK_PARAMETERS if name not in keys]
    near = {name: find_nearest(name.lower(), left, cutoff=0.8) for name in keys.difference(TASK_PARAMETERS)}
    return {name: meant for name, meant in sorted(near.items()) if meant and meant not in name.split("_")}


def _may_be_shown(name: object, show: Show) -> TypeGuard[str]:
    """Whether a message may contain the key `name` unchanged. `show`: formats a value for a message."""
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None and show(name) == repr(name)
