"""Erasure: `py>: td_pinterest_op.erase.PinterestErase` in a .dig file.

It takes the people of a query out of every customer list of the ad accounts named, those left behind included.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Any

from td_pinterest_op import __version__
from td_pinterest_op.audiences.erasure import Receipt, Target, erase, find_targets, plan_text
from td_pinterest_op.audiences.request import Request, read_erasure_request
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import ExportError
from td_pinterest_op.identifiers.types import LISTED
from td_pinterest_op.pinterest.oauth import SCOPES
from td_pinterest_op.records.columns import Column, identifier_columns
from td_pinterest_op.records.plan import check_values
from td_pinterest_op.records.read import AllIdentifiersReader, Prepared, ReaderSettings
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.run_history.columns import Row, run_row
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.table import ErasureSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.history import open_history, record_run
from td_pinterest_op.workflow.process import task_process
from td_pinterest_op.workflow.progress import LogReporter, ProgressReporter
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
    request = read_erasure_request(task)
    settings = request.settings
    run = _Erasure(
        request=request,
        stats=Stats(action="erase", ad_account_id=settings.ad_account_id, dry_run=settings.dry_run),
        reporter=LogReporter(timing=timing),
    )
    with record_run(open_history(task, settings.history, timing), run.rows):
        run.do(timing)
        stored = run.stored(timing)
        log.info("receipt: %s", json.dumps(stored))
        run.receipt.raise_for_failed()
    return stored


@dataclass(slots=True, kw_only=True)
class _Erasure:
    """One erasure. `targets`: the customer lists, once they are known; `finished`: those that it went over."""

    request: Request[ErasureSettings]
    stats: Stats
    reporter: ProgressReporter
    targets: list[Target] = field(default_factory=list)
    finished: list[Target] = field(default_factory=list)
    is_over: bool = False

    @property
    def settings(self) -> ErasureSettings:
        return self.request.settings

    @property
    def receipt(self) -> Receipt:
        return Receipt(targets=self.targets, records=self.stats.unique, dry_run=self.settings.dry_run)

    def do(self, timing: Timing) -> None:
        """Find the lists, read the people, then remove them list by list."""
        settings, stats = self.settings, self.stats
        connected = connect(
            self.request.task,
            settings,
            timing=timing,
            endpoints=self.request.endpoints,
            count=stats.requests,
            scopes=SCOPES,
        )
        with connected as services, Spool() as spool:
            # A token that Pinterest refuses is no matter of one ad account.
            services.tokens.token()
            apis = {account: services.pinterest_for(account) for account in settings.ad_account_ids}
            self.targets = find_targets(apis)
            prepared = _read(self.request, services, stats, spool=spool, reporter=self.reporter)
            self.reporter.plan(plan_text(self.targets, records=stats.unique, settings=settings))
            pace = settings.records_per_second
            removing = partial(self.reporter.progress, phase="removing", unit="records", pace=pace)
            sender = partial(Sender, client=services.client, settings=settings, progress=removing)
            if stats.unique and not settings.dry_run:
                self._go_over(erase(self.targets, prepared, apis=apis, sender=sender))
        self.is_over = True

    def _go_over(self, results: Iterator[Target]) -> None:
        try:
            for result in results:
                self.finished.append(result)
        except ExportError as error:
            raise error.extend(f". Before that: {self.progress}") from None
        self.targets = self.finished

    @property
    def progress(self) -> str:
        """How far an erasure came that did not reach its end."""
        return f"{len(self.finished)} of {len(self.targets)} customer lists were gone over"

    def stored(self, timing: Timing) -> dict[str, Any]:
        """Return what later tasks find under `pinterest_erasure`."""
        statistics = self.stats.to_json()
        return {
            "erased_at": datetime.fromtimestamp(timing.wall(), timezone.utc).isoformat(timespec="seconds"),
            "job_id": self.stats.job_id,
            "dry_run": self.settings.dry_run,
            "version": __version__,
            "rows": statistics["rows"],
            "records": self.stats.unique,
            "accounts": len(self.settings.ad_account_ids),
            "requests": statistics["requests"],
            **self.receipt.to_json(),
        }

    def rows(self, _error: str) -> list[Row]:
        """Return the row of the run."""
        statistics, receipt = self.stats.to_json(), self.receipt
        # What was sent is counted list by list: see the receipt.
        for name in ("sent", "refused"):
            del statistics["records"][name]
        summary = receipt.summary if self.is_over else f"Failed: {self.progress}."
        counts = {"accounts": len(self.settings.ad_account_ids), "lists": receipt.to_json()["lists"]}
        return [run_row(statistics | {"summary": summary, "erasure": counts})]


def _read(
    request: Request[ErasureSettings],
    services: Services,
    stats: Stats,
    *,
    spool: Spool,
    reporter: ProgressReporter,
) -> Prepared:
    """The unique identifiers of the rows, in the spool. Raises InvalidRowsError for rows that must not be used."""
    rows, settings = request.open_rows(services, stats), request.settings
    columns = identifier_columns(rows.job, settings.columns)
    _warn_of_other_identifiers(columns)
    reader = AllIdentifiersReader(spool, ReaderSettings(columns=columns), stats)
    with reporter.progress(phase="reading", unit="rows", total=rows.job.records) as progress:
        reader.read(rows.blocks, progress=progress)
    check_values(stats, skip_invalid=settings.ignore_invalid_records, first_invalid=reader.first_invalid)
    return reader.prepared


def _warn_of_other_identifiers(columns: Sequence[Column]) -> None:
    given = {column.type.name for column in columns}
    if others := [name for name in LISTED if name not in given]:
        log.warning(
            "the query gives no %s: lists that hold these people by such identifiers keep them. Select those columns "
            "as well, if the warehouse has them",
            " and no ".join(others),
        )
