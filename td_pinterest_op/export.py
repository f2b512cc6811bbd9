"""The operator: `py>: td_pinterest_op.export.PinterestExport` in a .dig file.

Settings, audience, rows and plan come first; only then is anything written to Pinterest.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

from td_pinterest_op import __version__, connect
from td_pinterest_op.audiences.actions import Actions
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import SettingsErrors, StoppedError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.plan import Plan, check_rows
from td_pinterest_op.records.read import Prepared, preparation_of, spool_for
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.report.after_run import reported_to
from td_pinterest_op.settings.parse import Settings, action_of, parse
from td_pinterest_op.settings.table import READS_ROWS
from td_pinterest_op.stats import Stats
from td_pinterest_op.timing import SYSTEM, Timing
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Source, job_of
from td_pinterest_op.treasure_data.result import JobResult, Rows
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.run import task_process
from td_pinterest_op.workflow.watcher import LogWatcher, Watcher

log = logging.getLogger(__name__)


class PinterestExport:
    """Exports a query's result to a Pinterest audience, as the task's `result_settings` say."""

    def run(self) -> None:
        """Stores the statistics under `pinterest`. Raises ExportError, whose message says who must do what."""
        with task_process():
            workflow.store(pinterest=export(workflow.current_task(), SYSTEM))


def export(
    task: workflow.Task,
    timing: Timing,
    *,
    rows: Rows | None = None,
    watcher: Watcher | None = None,
    on_new_refresh_token: connect.OnNewRefreshToken | None = None,
) -> dict[str, Any]:
    """Check, read, plan, then do the steps; returns the statistics.

    Args:
        rows: what is exported in place of the task's job.
        watcher: who gets the plan and the progress; the log if nobody else does.
        on_new_refresh_token: see `connect.services`.

    Raises ExportError, and OSError when the spool cannot be written.
    """
    log.info("td_pinterest_op %s", __version__)
    settings, source, endpoints = _checked(task, rows)
    watcher = watcher or LogWatcher(clock=timing.monotonic)
    for warning in settings.warnings:
        log.warning("%s", warning)
    stats = Stats(action=settings.action.value, ad_account_id=settings.ad_account_id, dry_run=settings.dry_run)
    connected = connect.services(
        task,
        settings,
        endpoints=endpoints,
        timing=timing,
        count=stats.requests,
        on_new_refresh_token=on_new_refresh_token,
        scopes=connect.TO_WRITE,
    )
    page = reported_to(settings.report, stats.to_json, wall_clock=timing.wall)
    with page, _reported(stats), connected as services:
        _run(services, task, settings, source or rows, stats=stats, watcher=watcher, timing=timing)
    return stats.to_json()


def _run(
    services: connect.Services,
    task: workflow.Task,
    settings: Settings,
    source: Source | Rows | None,
    *,
    stats: Stats,
    watcher: Watcher,
    timing: Timing,
) -> None:
    """Check, read, plan, and do the steps. `source` is None for actions that read no rows."""
    actions = Actions(
        settings=settings,
        api=services.pinterest,
        stats=stats,
        session_key=task.session_key,
        sender=_sender(services.pinterest.client, settings, stats, watcher),
    )
    actions.check()
    with contextlib.ExitStack() as stack:
        prepared = None
        if source:
            # No spool for actions without rows: they need no temporary folder.
            spool = spool_for(settings)
            stack.callback(spool.close)
            with _measured(stats, "reading_seconds", timing):
                rows = source if isinstance(source, Rows) else _rows_of(services.treasure_data, source, stats)
                prepared = _read(rows, settings, stats, spool, watcher)
        steps = actions.steps(prepared)
        changes, writes = [step.says for step in steps], sum(step.writes for step in steps)
        watcher.plan(Plan.of(settings, stats, changes=changes, writes=writes).text(stats))
        if not settings.dry_run:
            with _measured(stats, "sending_seconds", timing):
                for step in steps:
                    step.do()
        stats.check(complete=not settings.dry_run)


def _checked(task: workflow.Task, rows: Rows | None) -> tuple[Settings, Source | None, connect.Endpoints]:
    """The settings, the source of the rows if any are read, the endpoints. Raises SettingsError with every problem."""
    errors = SettingsErrors()
    settings = source = endpoints = None
    raw = task.params.get("result_settings")
    with errors:
        settings = parse(raw, environ=task.environ, from_console=task.is_activation)
    with errors:
        endpoints = connect.endpoints(task.environ)
    if rows is None and ((action := action_of(raw)) is None or action in READS_ROWS):
        with errors:
            source = workflow.source(task)
        with errors:
            _ = task.td_api_key
    errors.raise_any()
    assert settings is not None  # noqa: S101 - what is None has raised
    assert endpoints is not None  # noqa: S101
    return settings, source, endpoints


def _rows_of(td: TreasureData, source: Source, stats: Stats) -> Rows:
    job = job_of(td, source, note=partial(setattr, stats, "job_id"))
    return Rows(job=job, blocks=JobResult(td, job))


def _read(rows: Rows, settings: Settings, stats: Stats, spool: Spool | RowSpool, watcher: Watcher) -> Prepared:
    """The unique records of the rows, in the spool, once the limits allow them to be sent."""
    preparation = preparation_of(rows.job, settings=settings, spool=spool, stats=stats)
    with watcher.progress(phase="reading", unit="rows", total=rows.job.records) as progress:
        preparation.read(rows.blocks, progress=progress)
    check_rows(settings, stats, first_invalid=preparation.first_invalid)
    return preparation.prepared


def _sender(client: Client, settings: Settings, stats: Stats, watcher: Watcher) -> Sender:
    return Sender(
        client=client,
        stats=stats,
        batch_size=settings.limit_records_per_request,
        skip_refused=settings.ignore_invalid_records,
        max_in_flight=settings.max_in_flight,
        progress=partial(watcher.progress, phase="sending", unit="records"),
    )


@contextlib.contextmanager
def _measured(stats: Stats, name: str, timing: Timing) -> Iterator[None]:
    begin = timing.monotonic()
    try:
        yield
    finally:
        setattr(stats, name, timing.monotonic() - begin)


@contextlib.contextmanager
def _reported(stats: Stats) -> Iterator[None]:
    """Log the statistics in any case: what a failed task stores is lost."""
    try:
        yield
    except BaseException as error:
        stats.failed = True
        if isinstance(error, StoppedError) and not stats.requests.sent:
            error.extended(". Nothing was sent")
        log.error("statistics of the failed run: %s", json.dumps(stats.to_json()))  # noqa: TRY400
        raise
    log.info("statistics: %s", json.dumps(stats.to_json()))
