"""One export: settings, audience, rows and plan come first, and only then is anything written to Pinterest."""

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from td_pinterest_op import __version__
from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS
from td_pinterest_op.audiences.actions.audience_action import AudienceAction
from td_pinterest_op.audiences.plan import describe_plan
from td_pinterest_op.audiences.request import ExportRequest, parse_task_request
from td_pinterest_op.errors import NOTHING_SENT, ExportError, JobError, SettingsError, StoppedError, TreasureDataError
from td_pinterest_op.run_history.history_table import build_run_row
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.settings.types import TableName
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.outcome import open_history, publish_outcome_and_raise
from td_pinterest_op.task_runtime.progress import ProgressReporter
from td_pinterest_op.task_runtime.services import OnNewRefreshToken, Services, connect_services
from td_pinterest_op.task_runtime.task import Task
from td_pinterest_op.trino.rejected_rows import write_rejected_rows

log = logging.getLogger(__name__)


def export_task(
    task: Task,
    timing: Timing,
    *,
    reporter: ProgressReporter | None = None,
    on_new_refresh_token: OnNewRefreshToken | None = None,
) -> dict[str, Any]:
    """Check the result of the task's query, show the plan, and send the records. Returns the run's statistics.

    `reporter`: shows the plan and the progress, by default in the log. `on_new_refresh_token`: stores a refresh token
    that Pinterest issues, by default where the old one came from. Raises ExportError.
    """
    log.info("td_pinterest_op %s", __version__)
    request = parse_task_request(task, table=EXPORT_SETTINGS)
    settings = request.settings
    stats = build_initial_stats(settings)
    with connect_services(
        task,
        settings,
        timing=timing,
        counts=stats.requests,
        on_new_refresh_token=on_new_refresh_token,
        needs_scopes=True,
    ) as services:
        run_request(request, services, stats, reporter)
    return stats.to_json()


def build_initial_stats(settings: ExportSettings) -> Stats:
    """Return the statistics of an export that begins."""
    return Stats(
        action=settings.action.name,
        ad_account_id=settings.ad_account_id,
        audience_id=settings.audience_id,
        audience_name=settings.audience_name,
        dry_run=settings.dry_run,
        for_this_run=settings.for_this_run,
    )


def run_request(
    request: ExportRequest, services: Services, stats: Stats, reporter: ProgressReporter | None = None
) -> None:
    """Carry out a task's checked request, fill `stats`, and publish the outcome. Raises ExportError."""
    reporter = reporter or ProgressReporter(timing=services.timing)
    settings = request.settings
    clock = services.timing.monotonic
    error: Exception | None = None
    action: AudienceAction | None = None
    try:
        action_class = next(each for each in ACTIONS if each.action is settings.action)
        action = action_class(request=request, services=services, stats=stats, reporter=reporter)
        action.find_and_check_audience()
        with contextlib.ExitStack() as stack:
            begin = clock()
            try:
                prepared = stack.enter_context(action.prepare_and_check_limits())
            finally:
                stats.reading_seconds = clock() - begin
            steps = action.plan_steps(prepared)
            reporter.show_plan_for_approval(describe_plan(settings, stats, steps))
            if not settings.dry_run:
                begin = clock()
                try:
                    for step in steps:
                        step.run()
                finally:
                    stats.sending_seconds = clock() - begin
            stats.check_sums(complete=not settings.dry_run)
    except Exception as failure:
        error = failure
        # For readers who see only the message and not the log.
        if isinstance(failure, ExportError) and not failure.sent:
            if stats.sent:
                to_send = format_count(stats.to_send_count, "record")
                failure.sent = f"Before that, {stats.sent:,} of {to_send} were sent"
            elif isinstance(failure, (StoppedError, TreasureDataError, JobError)) and not stats.requests.sent:
                failure.sent = NOTHING_SENT
    query = action.people_query if action else None
    publish_export_and_raise(
        services,
        error,
        stats,
        history_table=settings.history,
        report=settings.report,
        write_rejected=partial(write_rejected_rows, settings, request.source, query, stats, services),
    )


def publish_export_and_raise(
    services: Services,
    error: Exception | None,
    stats: Stats,
    *,
    history_table: TableName | None,
    report: str | None = None,
    write_rejected: Callable[[], None] = lambda: None,
) -> None:
    """Log an export's statistics, write its report and history row, and raise its `error`, if any, as an ExportError.

    `report`: the report's path. `write_rejected`: writes the table of rejected rows.
    """
    stats.failed = error is not None
    statistics = stats.to_json()
    history = None
    with contextlib.suppress(SettingsError):  # the database is missing, if that is what the error is about
        history = open_history(services, history_table)
    publish_outcome_and_raise(
        services,
        error,
        history=history,
        rows=[build_run_row(statistics)],
        error_subjects=[("ad account", stats.ad_account_id), ("audience", stats.audience_id or stats.audience_name)],
        statistics=statistics,
        report=report,
        write_rejected=write_rejected,
    )
