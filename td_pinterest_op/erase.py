"""Erasure: `py>: td_pinterest_op.erase.PinterestErase` in a .dig file.

It removes the people of a query from every customer list of the ad accounts, orphaned lists included.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from td_pinterest_op import __version__
from td_pinterest_op.audiences.erasure import Receipt, Target, describe_plan, erase, find_targets
from td_pinterest_op.audiences.request import Request, read_request
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import ExportError
from td_pinterest_op.identifiers.types import LISTED
from td_pinterest_op.records.columns import Column, find_identifier_columns
from td_pinterest_op.records.plan import check_values
from td_pinterest_op.records.read import AllIdentifiersReader, Prepared, ReaderSettings
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.run_history.columns import Row, build_run_row
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.table import ERASURE, ErasureSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.history import open_history, record_run
from td_pinterest_op.workflow.process import TaskProcess
from td_pinterest_op.workflow.progress import LogReporter, Phase
from td_pinterest_op.workflow.services import Services

log = logging.getLogger(__name__)


class PinterestErase:
    """Removes a query's people from every customer list, by the task's `result_settings`."""

    def run(self) -> None:
        """Store the receipt under `pinterest_erasure`. Raises ExportError, which names each list that failed."""
        with TaskProcess():
            workflow.store_values(pinterest_erasure=erasure(workflow.get_current_task(), SYSTEM))


def erasure(task: workflow.Task, timing: Timing) -> dict[str, Any]:
    """Remove a query's people from every customer list, and return the receipt, which is logged as well.

    Raises ExportError, and OSError when the spool cannot be written.
    """
    log.info("td_pinterest_op %s", __version__)
    request = read_request(task, table=ERASURE)
    settings = request.settings
    stats = Stats(action="erase", ad_account_id=settings.ad_account_id, dry_run=settings.dry_run)
    run = _Erasure(request=request, timing=timing, stats=stats, reporter=LogReporter(timing=timing))
    with record_run(open_history(task, settings.history, timing), run.history_rows):
        run.erase()
        stored = run.to_json()
        log.info("receipt: %s", json.dumps(stored))
        run.receipt.raise_for_failed()
    return stored


@dataclass(slots=True, kw_only=True)
class _Erasure:
    """One erasure. `targets`: the customer lists, after they are read. `finished`: those processed so far."""

    request: Request[ErasureSettings]
    timing: Timing
    stats: Stats
    reporter: LogReporter
    targets: list[Target] = field(default_factory=list)
    finished: list[Target] = field(default_factory=list)
    is_over: bool = False

    @property
    def settings(self) -> ErasureSettings:
        return self.request.settings

    @property
    def receipt(self) -> Receipt:
        return Receipt(targets=self.targets, records=self.stats.unique, dry_run=self.settings.dry_run)

    @property
    def progress_text(self) -> str:
        """How many lists were processed so far, as text."""
        return f"{len(self.finished)} of {len(self.targets)} customer lists were processed"

    def erase(self) -> None:
        """Find the lists, read the people, and remove them from one list after the other."""
        settings, stats = self.settings, self.stats
        with self.request.connect(stats, self.timing) as services, Spool() as spool:
            # Before the accounts, whose errors end no run: a refused token concerns all of them.
            services.tokens.get_token()
            apis = {account: services.build_pinterest_api(account) for account in settings.ad_account_ids}
            self.targets = find_targets(apis)
            prepared = self._read_people(services, spool)
            self.reporter.show_plan(describe_plan(self.targets, records=stats.unique, settings=settings))
            sender = partial(Sender, client=services.client, settings=settings, progress=self._show_removing)
            if stats.unique and not settings.dry_run:
                self._collect_results(erase(self.targets, prepared, apis=apis, sender=sender))
        self.is_over = True

    def _read_people(self, services: Services, spool: Spool) -> Prepared:
        """Read the unique identifiers into the spool. Raises InvalidRowsError if invalid ones are not ignored."""
        rows, stats = self.request.open_rows(services, self.stats), self.stats
        columns = find_identifier_columns(rows.job, self.settings.columns)
        _warn_of_missing_types(columns)
        reader = AllIdentifiersReader(spool, ReaderSettings(columns=columns), stats)
        with self.reporter.show_progress(Phase(name="reading", unit="rows", total=rows.job.records)) as progress:
            reader.read(rows.blocks, progress=progress)
        check_values(stats, skip_invalid=self.settings.ignore_invalid_records, first_invalid=reader.first_invalid)
        return reader.prepared

    def _show_removing(self, **phase: Any) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """Show the progress of the removal from a list during the block."""
        pace = self.settings.records_per_second
        return self.reporter.show_progress(Phase(name="removing", unit="records", pace=pace, **phase))

    def _collect_results(self, results: Iterator[Target]) -> None:
        """Collect the outcome for each list. An error states how many lists were processed before it."""
        try:
            for result in results:
                self.finished.append(result)
        except ExportError as error:
            raise error.extend(f". Before that: {self.progress_text}") from None
        self.targets = self.finished

    def to_json(self) -> dict[str, Any]:
        """Return the erasure as plain JSON types, for the workflow store."""
        statistics = self.stats.to_json()
        return {
            "erased_at": self.timing.utc().isoformat(timespec="seconds"),
            "job_id": self.stats.job_id,
            "dry_run": self.settings.dry_run,
            "version": __version__,
            "rows": statistics["rows"],
            "records": self.stats.unique,
            "accounts": len(self.settings.ad_account_ids),
            "requests": statistics["requests"],
            **self.receipt.to_json(),
        }

    def history_rows(self, _error: str) -> list[Row]:
        """Return the run's only row for the history."""
        statistics, receipt = self.stats.to_json(), self.receipt
        # The records sent are counted list by list, in the receipt.
        for name in ("sent", "refused"):
            del statistics["records"][name]
        summary = receipt.summary if self.is_over else f"Failed: {self.progress_text}."
        counts = {"accounts": len(self.settings.ad_account_ids), "lists": receipt.to_json()["lists"]}
        return [build_run_row(statistics | {"summary": summary, "erasure": counts})]


def _warn_of_missing_types(columns: Sequence[Column]) -> None:
    """Log a warning that lists keep these people by identifiers that the query does not select."""
    types = {column.type.name for column in columns}
    if others := [name for name in LISTED if name not in types]:
        log.warning(
            "the query selects no %s, so people are not removed from customer lists of that type. Select those "
            "columns too, if the warehouse has them",
            " and no ".join(others),
        )
