"""An activation of Audience Studio: `py>: td_pinterest_op.activation.PinterestActivation` in a .dig file.

The console hands its settings over as JSON. They are laid over the task's own, and an audience that neither names is
named after the segment.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from td_pinterest_op.audiences.actions import ACTIONS, Add, Create, Replace
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.export import export
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.text import load
from td_pinterest_op.stats import LISTS
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.process import task_process

log = logging.getLogger(__name__)

_IDS = ("audience_id", *(each.action.audience_id for each in ACTIONS if each.action.audience_id))
# What a later run does, and the action for an audience that the settings name by its id.
_LATER = {"add": Add.action.name, "replace": Replace.action.name, "mirror": Add.action.name}
_NOBODY = "SELECT CAST(NULL AS varchar) AS email WHERE 1 = 0"


class PinterestActivation:
    """Exports what an activation found, as the console's settings and the task's own say."""

    def run(self) -> None:
        """Stores the statistics under `pinterest`. Raises ExportError, whose message says who must do what."""
        with task_process():
            workflow.store(pinterest=export(activated(workflow.current_task()), SYSTEM))

    def prepare(self) -> None:
        """Create the audience of a mirror, without people, if there is none.

        Stores its id and name under `pinterest_activation`, for pinterest_mirror.dig.
        """
        with task_process():
            stored = prepare(workflow.current_task(), SYSTEM)
            audience = {name: stored[name] for name in ("audience_id", "audience_name")}
            workflow.store(pinterest_activation=audience)


def prepare(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """Find the audience, or create it without people; returns the statistics of that."""
    whole = activated(task)
    settings = {**whole.params["result_settings"], "allow_empty": True}
    nobody = whole.asking(_NOBODY, result_settings=settings)
    params = {name: value for name, value in nobody.params.items() if name not in LISTS}
    return export(dataclasses.replace(nobody, params=params), timing)


def activated(task: workflow.Task) -> workflow.Task:
    """The task with the settings of the console and of the workflow. Raises SettingsError.

    The task's parameter `later_runs` (add, replace or mirror) says what is done with an audience that exists.
    """
    later = str(task.params.get("later_runs") or "add").strip().lower()
    if later not in _LATER:
        raise SettingsError(f"later_runs must be one of {', '.join(_LATER)}")
    settings = {**_mapping(task.params.get("result_settings"), "result_settings"), **_console(task)}
    if any(settings.get(name) for name in _IDS):
        settings.setdefault("action", _LATER[later])
    else:
        settings.setdefault("action", Create.action.name)
        settings["audience_name"] = settings.get("audience_name") or _segment(task)
        settings.setdefault("if_exists", "replace" if later == "replace" else "add")
    return dataclasses.replace(task, params={**task.params, "result_settings": settings})


def _console(task: workflow.Task) -> Mapping[str, Any]:
    """What the console says; a field that its form left blank says nothing."""
    given = _mapping(task.params.get("result_connection_settings") or {}, "result_connection_settings")
    return {name: value for name, value in given.items() if value not in (None, "")}


def _mapping(given: object, name: str) -> Mapping[str, Any]:
    try:
        value = load(given) if isinstance(given, str) else given
    except ValueError as error:
        raise SettingsError(f"{name} cannot be read: {error}") from None
    if not isinstance(value, Mapping):
        raise SettingsError(f"{name} must be a mapping, or JSON of one")
    return value


def _segment(task: workflow.Task) -> str:
    name = str(task.params.get("segment_name") or "").strip()
    if not name:
        raise SettingsError(
            "the audience has no name: the activation has handed over no segment_name, and its settings have neither "
            "audience_name nor audience_id"
        )
    return name
