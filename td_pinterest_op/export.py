"""The operator: `py>: td_pinterest_op.export.PinterestExport` in a .dig file.

Settings, audience, rows and plan come first; only then is anything written to Pinterest.
"""

import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from td_pinterest_op import __version__
from td_pinterest_op.audiences.actions import EXPORT, REPORT_TEXTS, build_action
from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step
from td_pinterest_op.audiences.request import ExportRequest, read_export_request
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import AudienceError, ExportError, StoppedError
from td_pinterest_op.records.plan import check_rows, describe_plan
from td_pinterest_op.records.read import PreparedRecords
from td_pinterest_op.redaction.format import format_count
from td_pinterest_op.report.after_run import write_report
from td_pinterest_op.run_history.columns import Row, build_run_row
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import Stats
from td_pinterest_op.treasure_data.result import Rows
from td_pinterest_op.withholding.lists import open_lists
from td_pinterest_op.withholding.preparation import open_reader
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.history import error_text, open_history, record_run
from td_pinterest_op.workflow.process import task_process
from td_pinterest_op.workflow.progress import LogReporter, Phase, ProgressReporter
from td_pinterest_op.workflow.services import OnNewRefreshToken, Services

log = logging.getLogger(__name__)

# Messages that state how many records were sent.
_TELLS_SENT = re.compile(r"Partly sent|All \d+ records")


class PinterestExport:
    """Exports a query's result to a Pinterest audience, by the task's `result_settings`."""

    def run(self) -> None:
        """Store the statistics under `pinterest`. Raises ExportError, whose message says what to do."""
        with task_process():
            workflow.store(pinterest=export(workflow.current_task(), SYSTEM))


def export(
    task: workflow.Task,
    timing: Timing,
    *,
    rows: Rows | None = None,
    reporter: ProgressReporter | None = None,
    on_new_refresh_token: OnNewRefreshToken | None = None,
) -> dict[str, Any]:
    """Run one export: check, read the rows, show the plan, run the steps. Returns the statistics.

    Args:
        rows: what is exported in place of the task's job.
        reporter: shows the plan and the progress; the log by default.
        on_new_refresh_token: see `workflow.services.connect`.

    Raises ExportError, and OSError when the spool cannot be written.
    """
    log.info("td_pinterest_op %s", __version__)
    request = read_export_request(task, table=EXPORT, rows=rows)
    reporter = reporter or LogReporter(timing=timing)
    with _open_run(request, reporter, timing, on_new_refresh_token) as run, contextlib.ExitStack() as stack:
        action = run.build_action()
        action.check()
        with run.measure("reading_seconds"):
            prepared = stack.enter_context(action.prepare(run.read_records))
        steps = action.steps(prepared)
        run.show_plan(steps, prepared)
        run.run_steps(steps)
    return run.stats.to_json()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ExportRun:
    """One export, with its services connected."""

    request: ExportRequest
    services: Services
    stats: Stats
    reporter: ProgressReporter
    timing: Timing

    @property
    def settings(self) -> Settings:
        return self.request.settings

    def build_action(self) -> AudienceAction:
        settings = self.settings
        sender = Sender(client=self.services.client, settings=settings, stats=self.stats, progress=self._show_sending)
        return build_action(request=self.request, services=self.services, stats=self.stats, sender=sender)

    def _show_sending(self, **phase: Any) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """Show the progress of sending during the block."""
        pace = self.settings.records_per_second
        return self.reporter.progress(Phase(name="sending", unit="records", pace=pace, **phase))

    @contextlib.contextmanager
    def read_records(self) -> Iterator[PreparedRecords]:
        """Read the rows into a spool of unique records, and check the limits."""
        with contextlib.ExitStack() as stack:
            lists = None
            if sources := self.request.lists:
                opened = open_lists(self.services.treasure_data, sources, self.settings, self.stats)
                lists = stack.enter_context(opened)
            rows = self.request.open_rows(self.services, self.stats, lists=lists)
            reader = stack.enter_context(open_reader(rows.job, self.settings, self.stats, lists=lists))
            with self.reporter.progress(Phase(name="reading", unit="rows", total=rows.job.records)) as progress:
                reader.read(rows.blocks, progress=progress)
            first = reader.first_invalid
            check_rows(self.settings, self.stats, first_invalid=first, origin=rows.job.origin)
            yield reader.prepared

    def show_plan(self, steps: Sequence[Step], prepared: PreparedRecords) -> None:
        """Show the plan. Raises StoppedError if the user declines it."""
        plan = describe_plan(
            self.settings,
            self.stats,
            batches=prepared.count_batches(self.settings.limit_records_per_request),
            changes=[step.description for step in steps],
            request_count=sum(step.request_count for step in steps),
        )
        self.reporter.plan(plan)

    def run_steps(self, steps: Sequence[Step]) -> None:
        """Run the steps, except in a dry run, and check that the statistics add up."""
        if not self.settings.dry_run:
            with self.measure("sending_seconds"):
                for step in steps:
                    step.run()
        self.stats.check(complete=not self.settings.dry_run)

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Put the duration of the block, in seconds, into the statistics."""
        begin = self.timing.monotonic()
        try:
            yield
        finally:
            setattr(self.stats, name, self.timing.monotonic() - begin)


@contextlib.contextmanager
def _open_run(
    request: ExportRequest,
    reporter: ProgressReporter,
    timing: Timing,
    on_new_refresh_token: OnNewRefreshToken | None,
) -> Iterator[_ExportRun]:
    """Connect the services and yield the run. In any case, log and record its statistics, and write the report."""
    settings = request.settings
    stats = Stats(action=settings.action.name, ad_account_id=settings.ad_account_id, dry_run=settings.dry_run)
    connected = request.connect(stats, timing, on_new_refresh_token=on_new_refresh_token)
    history = open_history(request.task, settings.history, timing)
    recorded = record_run(history, lambda _: [_build_history_row(stats, settings)])
    with recorded, _publish_statistics(stats, settings, timing), connected as services:
        yield _ExportRun(request=request, services=services, stats=stats, reporter=reporter, timing=timing)


@contextlib.contextmanager
def _publish_statistics(stats: Stats, settings: Settings, timing: Timing) -> Iterator[None]:
    """Log the statistics and write the report, also for a failed task, whose stored values are lost."""
    error: BaseException | None = None
    try:
        yield
    except BaseException as failure:
        stats.failed, error = True, failure
        if isinstance(error, ExportError):
            error.extend(_extra_advice(error, stats, settings))
        log.error("statistics of the failed run: %s", json.dumps(stats.to_json()))  # noqa: TRY400
        raise
    else:
        log.info("statistics: %s", json.dumps(stats.to_json()))
    finally:
        if settings.report:
            text, now = error_text(error), timing.utc()
            write_report(Path(settings.report), stats.to_json(), report_texts=REPORT_TEXTS, error=text, now=now)


def _build_history_row(stats: Stats, settings: Settings) -> Row:
    """Return the history's row of a run. If the run failed early, its audience is that of the settings."""
    statistics = stats.to_json()
    for name in ("audience_id", "audience_name"):
        statistics[name] = statistics[name] or getattr(settings, name)
    return build_run_row(statistics)


def _extra_advice(error: ExportError, stats: Stats, settings: Settings) -> str:
    """Return advice to append to an error, for readers who see only the error and not the log."""
    if stats.sent and not _TELLS_SENT.search(str(error)):
        return f". Before that, {stats.sent:,} of {format_count(stats.to_send_count, 'record')} were sent"
    if isinstance(error, StoppedError) and not stats.requests.sent:
        return ". Nothing was sent"
    if settings.lost_digits_warning and (isinstance(error, AudienceError) or error.status in (403, 404)):
        return f". Beware: {settings.lost_digits_warning}"
    return ""
