"""A request: the settings, rows and lists of a task, with every problem reported before anything is contacted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from td_pinterest_op.errors import SettingsErrors
from td_pinterest_op.records.columns import identifier_columns
from td_pinterest_op.records.hashed_rows import check_source, hashed_rows
from td_pinterest_op.settings.parse import (
    ErasureSettings,
    SendingSettings,
    Settings,
    action_of,
    parse,
    parse_erasure,
)
from td_pinterest_op.settings.table import HashIn, Table
from td_pinterest_op.stats import LISTS, Stats
from td_pinterest_op.treasure_data.job import Source
from td_pinterest_op.treasure_data.result import Rows, job_rows
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.services import Services, endpoints

log = logging.getLogger(__name__)

_S = TypeVar("_S", bound=SendingSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[_S]):
    """A task's request, checked. `source` is None for an action without rows. `lists`: `suppress` and `consent`."""

    task: workflow.Task
    settings: _S
    source: Source | Rows | None
    lists: Mapping[str, Source]

    def open_rows(self, services: Services, stats: Stats) -> Rows:
        """Return the rows, once their job is finished; the job's id goes into `stats`. Raises as `job_rows` does."""
        if isinstance(self.source, Rows):
            return self.source
        assert self.source is not None, "an action without rows opens none"  # noqa: S101
        note = partial(setattr, stats, "job_id")
        settings = self.settings
        if isinstance(settings, Settings) and settings.hash_in is HashIn.WAREHOUSE:
            by = settings.control.by if settings.control else None
            choose = partial(identifier_columns, columns=settings.columns, by=by)
            return hashed_rows(services.treasure_data, self.source, choose=choose, control=settings.control, note=note)
        return job_rows(services.treasure_data, self.source, note=note)


ExportRequest = Request[Settings]


def read_export_request(task: workflow.Task, *, table: Table, rows: Rows | None = None) -> ExportRequest:
    """Return the request of an export. Raises SettingsError with every problem.

    Args:
        table: the settings and actions.
        rows: what is exported instead of the task's job.
    """
    raw = task.params.get("result_settings")
    action = action_of(raw, table=table)
    if action and not action.adds_people and (unused := [name for name in LISTS if name in task.params]):
        log.warning("%s adds nobody, and does not use %s of the task", action.name, " and ".join(unused))
    return _read(
        task,
        partial(parse, raw, table=table, environ=task.environ, from_console=task.is_activation),
        rows=rows,
        reads_rows=action is None or action.reads_rows,
        lists=() if action and not action.adds_people else LISTS,
    )


def read_erasure_request(task: workflow.Task) -> Request[ErasureSettings]:
    """Return the request of an erasure. Raises SettingsError with every problem."""
    return _read(task, partial(parse_erasure, task.params.get("result_settings"), environ=task.environ))


def _read(
    task: workflow.Task,
    read_settings: Callable[[], _S],
    *,
    rows: Rows | None = None,
    reads_rows: bool = True,
    lists: Sequence[str] = (),
) -> Request[_S]:
    """Without `rows`, the source is the task's job. `lists`: the parameters that may name people."""
    errors = SettingsErrors()
    settings: _S | None = None
    with errors:
        settings = read_settings()
    with errors:
        # Only for its problems: whoever connects reads the endpoints.
        endpoints(task.environ)
    source: Source | Rows | None = rows
    if source is None and reads_rows:
        with errors:
            source = workflow.source(task)
        with errors:
            _ = task.td_api_key
    sources = {}
    for name in lists:
        with errors:
            if listed := workflow.list_source(task, name):
                sources[name] = listed
    if isinstance(settings, Settings) and settings.hash_in is HashIn.WAREHOUSE:
        for name, each in {**({"query": source} if source else {}), **sources}.items():
            with errors:
                check_source(each, name=name)
    errors.raise_any()
    assert settings is not None, "its problem was raised"  # noqa: S101
    for warning in settings.warnings:
        log.warning("%s", warning)
    return Request(task=task, settings=settings, source=source, lists=sources)
