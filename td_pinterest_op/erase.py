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

from td_pinterest_op import __version__
from td_pinterest_op.audiences.erasure import Receipt, erase, plan_text, targets_of
from td_pinterest_op.audiences.request import Request, read_erasure_request
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.identifiers.types import LISTED
from td_pinterest_op.pinterest.oauth import SCOPES
from td_pinterest_op.records.columns import Column, identifier_columns
from td_pinterest_op.records.plan import check_values
from td_pinterest_op.records.read import AllIdentifiers, Prepared
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.parse import ErasureSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.process import task_process
from td_pinterest_op.workflow.progress import LogWatcher, Watcher
from td_pinterest_op.workflow.services import Services, connect

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
    request, watcher = read_erasure_request(task), LogWatcher(clock=timing.monotonic)
    settings = request.settings
    stats = Stats(action="erase", ad_account_id=settings.ad_account_id, dry_run=settings.dry_run)
    connected = connect(task, settings, timing=timing, count=stats.requests, scopes=SCOPES)
    with connected as services, Spool() as spool:
        # A token that Pinterest refuses is no matter of one ad account.
        services.tokens.token()
        apis = {account: services.pinterest_for(account) for account in settings.ad_account_ids}
        targets = targets_of(apis)
        prepared = _read(request, services, stats, spool=spool, watcher=watcher)
        watcher.plan(plan_text(targets, records=stats.unique, settings=settings))
        removing = partial(watcher.progress, phase="removing", unit="records", pace=settings.records_per_second)
        sender = partial(Sender, client=services.client, settings=settings, progress=removing)
        if stats.unique and not settings.dry_run:
            targets = list(erase(targets, prepared, apis=apis, sender=sender))
    receipt = Receipt(targets=targets, records=stats.unique, dry_run=settings.dry_run)
    stored = _stored(receipt, settings, stats, timing)
    log.info("receipt: %s", json.dumps(stored))
    receipt.raise_for_failed()
    return stored


def _read(
    request: Request[ErasureSettings],
    services: Services,
    stats: Stats,
    *,
    spool: Spool,
    watcher: Watcher,
) -> Prepared:
    """The unique identifiers of the rows, in the spool. Raises InvalidRowsError for rows that must not be used."""
    rows, settings = request.open_rows(services, stats), request.settings
    columns = identifier_columns(rows.job, settings.columns)
    _warn_of_other_identifiers(columns)
    preparation = AllIdentifiers(spool, columns=columns, stats=stats)
    with watcher.progress(phase="reading", unit="rows", total=rows.job.records) as progress:
        preparation.read(rows.blocks, progress=progress)
    check_values(stats, skip_invalid=settings.ignore_invalid_records, first_invalid=preparation.first_invalid)
    return preparation.prepared


def _warn_of_other_identifiers(columns: Sequence[Column]) -> None:
    given = {column.type.name for column in columns}
    if others := [name for name in LISTED if name not in given]:
        log.warning(
            "the query gives no %s: lists that hold these people by such identifiers keep them. Select those columns "
            "as well, if the warehouse has them",
            " and no ".join(others),
        )


def _stored(receipt: Receipt, settings: ErasureSettings, stats: Stats, timing: Timing) -> dict[str, Any]:
    """What later tasks find under `pinterest_erasure`."""
    statistics = stats.to_json()
    return {
        "erased_at": datetime.fromtimestamp(timing.wall(), timezone.utc).isoformat(timespec="seconds"),
        "job_id": stats.job_id,
        "dry_run": settings.dry_run,
        "version": __version__,
        "rows": statistics["rows"],
        "records": stats.unique,
        "accounts": len(settings.ad_account_ids),
        "requests": statistics["requests"],
        **receipt.to_json(),
    }
