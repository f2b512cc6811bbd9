"""What a task asks for, checked whole before anything is contacted: its settings, its rows, where the services are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, cast

from td_pinterest_op.audiences.actions import action_of, parse
from td_pinterest_op.errors import SettingsErrors
from td_pinterest_op.settings.parse import ErasureSettings, SendingSettings, Settings, parse_erasure
from td_pinterest_op.stats import LISTS, Stats
from td_pinterest_op.treasure_data.job import Source
from td_pinterest_op.treasure_data.result import Rows, job_rows
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.services import Services, endpoints

log = logging.getLogger(__name__)

_S = TypeVar("_S", bound=SendingSettings)

# Opens the rows once the services are there; notes in the statistics which job they are from.
OpenRows = Callable[[Services, Stats], Rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Generic[_S]):
    """A task without a problem. `lists`: the queries of the people to compare with, by name."""

    task: workflow.Task
    settings: _S
    open_rows: OpenRows
    lists: Mapping[str, Source]


def export_of(task: workflow.Task, *, rows: Rows | None = None) -> Assignment[Settings]:
    """What an export is asked for; `rows` stand in place of the task's job. Raises SettingsError with every problem."""
    raw = task.params.get("result_settings")
    read_settings = partial(parse, raw, environ=task.environ, from_console=task.is_activation)
    action = action_of(raw)
    # Nobody opens the rows of an action that reads none.
    is_given = rows or (action and not action.reads_rows)
    open_rows: OpenRows | None = (lambda _services, _stats: cast("Rows", rows)) if is_given else None
    lists = () if action and not action.adds_people else LISTS
    if action and not lists and (unused := [name for name in LISTS if name in task.params]):
        log.warning("%s adds nobody, and does not use %s of the task", action.name, " and ".join(unused))
    return _assignment(task, read_settings, open_rows=open_rows, lists=lists)


def erasure_of(task: workflow.Task) -> Assignment[ErasureSettings]:
    """What an erasure is asked for. Raises SettingsError with every problem."""
    read_settings = partial(parse_erasure, task.params.get("result_settings"), environ=task.environ)
    return _assignment(task, read_settings, open_rows=None)


def _assignment(
    task: workflow.Task, read_settings: Callable[[], _S], *, open_rows: OpenRows | None, lists: Sequence[str] = ()
) -> Assignment[_S]:
    """Without `open_rows` the rows are those of the task's job. `lists`: the parameters that may name people."""
    errors = SettingsErrors()
    with errors:
        settings = read_settings()
    with errors:
        # For their problems alone: whoever connects reads them.
        endpoints(task.environ)
    open_rows = open_rows or _rows_of_job(task, errors)
    sources = {}
    for name in lists:
        with errors:
            if source := workflow.list_source(task, name):
                sources[name] = source
    errors.raise_any()
    for warning in settings.warnings:
        log.warning("%s", warning)
    return Assignment(task=task, settings=settings, open_rows=open_rows, lists=sources)


def _rows_of_job(task: workflow.Task, errors: SettingsErrors) -> OpenRows:
    with errors:
        source = workflow.source(task)
    with errors:
        _ = task.td_api_key
    return lambda services, stats: job_rows(services.treasure_data, source, note=partial(setattr, stats, "job_id"))
