"""The parameters of a task next to `result_settings`, and names that are nearly one of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from td_pinterest_op.stats import LISTS

TASK_PARAMETERS = ("query", "database", "engine", "job_id", *LISTS)
"""What an export takes from its task; digdag passes on every other parameter of the workflow as well."""
_CUTOFF = 0.8
_LONGEST = 64


def misspelt_parameters(names: Iterable[object]) -> Mapping[str, str]:
    """Return the names that are nearly a parameter, each with that parameter.

    A variable of the workflow that is made of such a word (`td_database`) is no misspelling, and neither is anything
    like a parameter that is given as well.
    """
    given = {name for name in names if isinstance(name, str) and len(name) <= _LONGEST}
    left = [name for name in TASK_PARAMETERS if name not in given]
    near = {
        name: difflib.get_close_matches(name.lower(), left, n=1, cutoff=_CUTOFF)
        for name in given.difference(TASK_PARAMETERS)
    }
    return {name: meant[0] for name, meant in sorted(near.items()) if meant and meant[0] not in name.split("_")}
