"""The parameters of a task next to `result_settings`, and misspellings of their names."""

from collections.abc import Iterable, Mapping

from td_pinterest_op.settings.types import find_nearest
from td_pinterest_op.stats import LISTS

TASK_PARAMETERS = ("query", "database", "engine", "job_id", *LISTS)
"""The parameters that an export reads; digdag passes on every other parameter of the workflow as well."""


def find_misspelt_parameters(names: Iterable[object]) -> Mapping[str, str]:
    """Return the names that look like misspelt parameters, each with the right parameter.

    A variable of the workflow that contains a parameter's name (`td_database`) is not a misspelling, nor is a name like
    a parameter that is given as well.
    """
    keys = {name for name in names if isinstance(name, str)}
    left = [name for name in TASK_PARAMETERS if name not in keys]
    near = {name: find_nearest(name.lower(), left, cutoff=0.8) for name in keys.difference(TASK_PARAMETERS)}
    return {name: meant for name, meant in sorted(near.items()) if meant and meant not in name.split("_")}
