"""Erasure: `py>: td_pinterest_op.erase.PinterestErase` in a .dig file.

It takes the people of a query out of every customer list of the ad accounts named, those left behind included.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any

from td_pinterest_op import __version__, connect
from td_pinterest_op.audiences.erasure import Result, Target, erase, plan_text, targets_of
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import PinterestError, SettingsErrors, UnexpectedError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.printable import counted
from td_pinterest_op.records.columns import identifier_columns, list_type
from td_pinterest_op.records.plan import check_values
from td_pinterest_op.records.read import IdentifierPreparation, Prepared
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.settings.parse import ErasureSettings, parse_erasure
from td_pinterest_op.stats import Stats
from td_pinterest_op.timing import SYSTEM, Timing
from td_pinterest_op.treasure_data.job import Source, job_of
from td_pinterest_op.treasure_data.result import JobResult
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.progress import Progress
from td_pinterest_op.workflow.run import task_process

log = logging.getLogger(__name__)


class PinterestErase:
    """Removes a query's people from every customer list, as the task's `result_settings` say."""

    def run(self) -> None:
        """Stores the receipt under `pinterest_erasure`. Raises ExportError, which names every list that failed."""
        with task_process():
            workflow.store(pinterest_erasure=erasure(workflow.current_task(), SYSTEM))


def erasure(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """Find the lists, read the people, then remove them list by list; returns the receipt, which the log has as well.

    Raises ExportError, and OSError when the spool cannot be written.
    """
    log.info("td_pinterest_op %s", __version__)
    settings, source, endpoints = _checked(task)
    for warning in settings.warnings:
        log.warning("%s", warning)
    stats = Stats(action="erase", ad_account_id=settings.ad_account_id, dry_run=settings.dry_run)
    connected = connect.services(task, settings, endpoints=endpoints, timing=timing, count=stats.requests)
    with connected as services, Spool() as spool:
        apis = {account: services.pinterest_for(account) for account in settings.ad_account_ids}
        targets = targets_of(apis)
        job = job_of(services.treasure_data, source, note=partial(setattr, stats, "job_id"))
        columns = identifier_columns(job, settings.columns)
        preparation = IdentifierPreparation(columns=columns, spool=spool, stats=stats)
        with Progress(phase="reading", unit="rows", total=job.records, clock=timing.monotonic) as progress:
            preparation.read(JobResult(services.treasure_data, job), progress=progress)
        check_values(stats, skip_invalid=settings.ignore_invalid_records, first_invalid=preparation.first_invalid)
        prepared = Prepared(unique=stats.unique, list_type=list_type(columns), spool=spool)
        _log_plan(targets, settings, stats)
        results: list[Result] = []
        if stats.unique and not settings.dry_run:
            make = partial(_sender, services.client, settings, timing)
            results += erase(targets, prepared, apis=apis, sender=make)
    return _receipt(targets, results, settings, stats, timing)


def _checked(task: workflow.Task) -> tuple[ErasureSettings, Source, connect.Endpoints]:
    """The settings, the source of the rows, the endpoints. Raises SettingsError with every problem."""
    errors = SettingsErrors()
    found: list[Any] = []
    for check in (
        lambda: parse_erasure(task.params.get("result_settings"), environ=task.environ),
        lambda: workflow.source(task),
        lambda: connect.endpoints(task.environ),
        lambda: task.td_api_key,
    ):
        with errors:
            found.append(check())
    errors.raise_any()
    settings, source, endpoints, _ = found
    return settings, source, endpoints


def _log_plan(targets: Sequence[Target], settings: ErasureSettings, stats: Stats) -> None:
    text = plan_text(
        targets,
        records=stats.unique,
        batch_size=settings.limit_records_per_request,
        requests_per_minute=settings.requests_per_minute,
    )
    log.info("%s%s", text, " (dry run: nothing is written)" if settings.dry_run else "")


def _sender(client: Client, settings: ErasureSettings, timing: Timing, stats: Stats) -> Sender:
    return Sender(
        client=client,
        stats=stats,
        batch_size=settings.limit_records_per_request,
        skip_refused=settings.ignore_invalid_records,
        max_in_flight=settings.max_in_flight,
        progress=partial(Progress, phase="removing", unit="records", clock=timing.monotonic),
    )


def _receipt(
    targets: Sequence[Target], results: Sequence[Result], settings: ErasureSettings, stats: Stats, timing: Timing
) -> dict[str, Any]:
    """The receipt. Raises PinterestError, which names every list that did not take all records, if there is one."""
    done = [result for result in results if not result.reason]
    failed = [result for result in results if result.reason]
    lists = sum(target.customer_list is not None for target in targets)
    if any(result.records != stats.unique for result in done):
        raise UnexpectedError("the receipt does not add up: a list without an error did not take every record")
    statistics = stats.to_json()
    receipt = {
        "erased_at": datetime.fromtimestamp(timing.wall(), timezone.utc).isoformat(timespec="seconds"),
        "job_id": stats.job_id,
        "dry_run": settings.dry_run,
        "version": __version__,
        "rows": statistics["rows"],
        "records": stats.unique,
        "accounts": len(settings.ad_account_ids),
        "lists": lists,
        "requests": statistics["requests"],
        "summary": _summary(stats.unique, done=len(done), lists=lists, dry_run=settings.dry_run),
        "receipt": [result.to_json() for result in done],
        "failed": [result.to_json() for result in failed],
    }
    log.info("receipt: %s", json.dumps(receipt))
    if failed:
        named = "; ".join(f"{result.target.label}: {result.reason}" for result in failed)
        raise PinterestError(
            f"{len(failed)} of {len(targets)} lists may still hold people who opted out: {named}. The other "
            f"{len(done)} are done. Run this task again: repeating the whole erasure does no harm"
        )
    return receipt


def _summary(people: int, *, done: int, lists: int, dry_run: bool) -> str:
    whom = counted(people, "person", "people")
    if dry_run:
        return f"Dry run: {whom} would be removed from {counted(lists, 'customer list')}; nothing was written."
    return f"{whom} {'was' if people == 1 else 'were'} removed from {done:,} of {counted(lists, 'customer list')}."
