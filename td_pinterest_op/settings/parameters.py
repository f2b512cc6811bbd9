"""The names of a task's parameters that an export reads besides `result_settings`."""

import re
from collections.abc import Iterable

from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.settings.types import find_nearest
from td_pinterest_op.stats import LISTS, SUPPRESS

JOB_OPTIONS = ("priority", "job_retry", "presto_pool_name", "hive_pool_name", "engine_version", "hive_engine_version")
"""The parameters of a task, or of `td:`, that apply to its jobs, as they do in digdag's td> operator."""
TASK_PARAMETERS = ("query", "database", "engine", "job_id", *LISTS, *JOB_OPTIONS)
"""The parameters that an export reads; digdag passes on every other parameter of the workflow as well."""
OTHER_PARAMETERS = ("later_runs", "audiences", "at_once")
"""The parameters of an activation, and of a list of audiences."""
FOR_THIS_RUN = "settings_for_this_run"
"""The parameter of a run with settings that replace the task's own, such as `dry_run`, without editing a workflow."""
SETTINGS_FOR_THIS_RUN = (
    *("dry_run", "min_records", "max_records", "max_invalid_ratio", "max_leave_ratio", "allow_empty"),
    *("begin", "rebuild", "replace_newer", "even_if_used"),
)
"""The settings that may be given for one run."""

_ENDING = re.compile(r"(?<=s)(?:ions?|ing|ed)$")  # of suppression
_OPT_OUT = re.compile(r"opt_?out")
_COMMON_WORDS = ("constant", "content", "contents")  # near `consent` by chance


def find_refused_parameters(names: Iterable[object], action: ActionSpec | None) -> dict[str, str]:
    """Return each name that seems to be a misspelt parameter, with the parameter that is meant.

    `names`: of a task's parameters and of its workflow's variables, which a run cannot tell apart. So only names that
    resemble `query`, `suppress` or `consent` are returned; and only if the action reads the parameter that is meant,
    and `names` do not contain it. `action`: None if it is unknown.
    """
    given = {name for name in names if isinstance(name, str)}
    refused: dict[str, str] = {}
    for name in sorted(given.difference(TASK_PARAMETERS)):
        meant = _find_meant_parameter(name.lower())
        is_read = action is None or (action.adds_people if meant in LISTS else action.reads_rows)
        if meant and meant not in given and is_read:
            refused[name] = meant
    return refused


def _find_meant_parameter(name: str) -> str:
    """Return the one of `query`, `suppress` and `consent` that `name`, in lower case, seems to mean, or ""."""
    if _OPT_OUT.search(name):
        return SUPPRESS
    for word in name.split("_"):
        stem = _ENDING.sub("", word)
        near = "" if stem in _COMMON_WORDS else find_nearest(stem, LISTS, cutoff=0.8)
        if near:
            return near
    # A name such as `my_query` is a variable.
    return "" if "_" in name else find_nearest(name, ["query"], cutoff=0.8)
