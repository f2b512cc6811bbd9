"""The operator: `py>: td_pinterest_op.export.PinterestExport` in a .dig file.

All is prepared first – settings, audience, rows, plan – and only then is anything written to Pinterest.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence

from td_pinterest_op import connections, workflow
from td_pinterest_op.actions import READS_ROWS, Actions, Records
from td_pinterest_op.job import Column, Query, finished_job, identifier_columns, issued_job, list_type
from td_pinterest_op.job_result import JobResult
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.plan import Plan, check_rows
from td_pinterest_op.prepare import Preparation
from td_pinterest_op.progress import Progress
from td_pinterest_op.sender import Sender
from td_pinterest_op.settings import Settings, parse
from td_pinterest_op.spool import Spool
from td_pinterest_op.stats import Stats
from td_pinterest_op.treasure_data import TreasureData

log = logging.getLogger(__name__)


class PinterestExport:
    """Exports a query's result to a Pinterest audience, as the task's `result_settings` say."""

    def run(self) -> None:
        """Stores the statistics under `pinterest`. Raises ExportError, whose message says who must do what."""
        with workflow.running():
            task = workflow.current_task()
            settings = parse(task.params.get("result_settings"), environ=task.environ)
            for warning in settings.warnings:
                log.warning("%s", warning)
            stats = Stats(action=settings.action.value, ad_account_id=settings.ad_account_id, dry_run=settings.dry_run)
            with _reported(stats):
                export(task, settings, stats)
            workflow.store(pinterest=stats.to_json())


def export(task: workflow.Task, settings: Settings, stats: Stats) -> None:
    """Look, read, plan, perform. Raises ExportError, and OSError when the spool cannot be written."""
    source = workflow.source(task.params) if settings.action in READS_ROWS else None
    td = connections.treasure_data(task, settings) if source else None
    with connections.pinterest(task, settings, stats) as api, Spool() as spool:
        actions = Actions(settings=settings, api=api, stats=stats, session_key=task.session_key, sleep=time.sleep)
        target = actions.look()
        columns = read(td, task, source, settings, stats, spool) if td and source else ()
        records = Records(unique=stats.unique, list_type=list_type(columns), send=_send(settings, stats, spool, api))
        plan = Plan.of(settings, stats, changes=target.changes, writes=target.writes)
        log.info("%s", plan.text(stats))
        if not settings.dry_run:
            begin = time.monotonic()
            try:
                actions.perform(target, records)
            finally:
                stats.sending_seconds = time.monotonic() - begin
        stats.check(columns=len(columns), complete=not settings.dry_run)


def read(
    td: TreasureData,
    task: workflow.Task,
    source: workflow.Source,
    settings: Settings,
    stats: Stats,
    spool: Spool,
) -> Sequence[Column]:
    """The first phase: the rows' unique digests into the spool, and the brakes. Returns the identifier columns."""
    begin = time.monotonic()
    try:
        stats.job_id = source.job_id
        job = finished_job(td, source.job_id) if source.job_id else issued_job(td, _query(task, source))
        stats.job_id = job.id
        columns = identifier_columns(job, settings.columns)
        preparation = Preparation(columns=columns, spool=spool, stats=stats)
        with Progress(phase="reading", unit="rows", total=job.records, clock=time.monotonic) as progress:
            preparation.read(JobResult(td, job), progress=progress)
        check_rows(settings, stats, first_invalid=preparation.first_invalid)
    finally:
        stats.reading_seconds = time.monotonic() - begin
    return columns


def _query(task: workflow.Task, source: workflow.Source) -> Query:
    return Query(
        sql=source.query,
        database=source.database,
        engine=source.engine,
        domain_key=task.domain_key(source.query),
    )


def _send(settings: Settings, stats: Stats, spool: Spool, api: Api) -> Callable[[str, str], None]:
    def send(list_id: str, operation: str) -> None:
        with Progress(phase="sending", unit="records", total=stats.unique, clock=time.monotonic) as progress:
            sender = Sender(
                api=api,
                stats=stats,
                skip_refused=settings.ignore_invalid_records,
                most_in_flight=settings.max_in_flight,
                progress=progress,
            )
            batches = spool.batches(settings.limit_records_per_request)
            sender.send(batches, list_id=list_id, operation=operation)

    return send


@contextlib.contextmanager
def _reported(stats: Stats) -> Iterator[None]:
    """Log the statistics whatever happens: what a failed task has stored is lost."""
    try:
        yield
    except BaseException:
        log.error("statistics of the failed run: %s", json.dumps(stats.to_json()))  # noqa: TRY400
        raise
    log.info("statistics: %s", json.dumps(stats.to_json()))
