"""One export: settings, audience, rows and plan come first, and only then is anything written to Pinterest."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from td_pinterest_op import __version__
from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS
from td_pinterest_op.audiences.plan import describe_plan
from td_pinterest_op.audiences.request import ExportRequest, parse_task_request
from td_pinterest_op.errors import NOTHING_CHANGED, NOTHING_SENT, ExportError
from td_pinterest_op.run_history.history_table import build_run_row
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.settings.types import TableName
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.outcome import Outcome, open_history, publishing
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
    stats = Stats()
    with connect_services(
        task,
        request.settings,
        timing=timing,
        counts=stats.requests,
        on_new_refresh_token=on_new_refresh_token,
        needs_scopes=True,
    ) as services:
        outcome = build_outcome(services, stats, history=request.settings.history)
        with publishing(services, outcome):
            run_request(request, services, stats, outcome, reporter)
    return stats.to_json()


def build_outcome(services: Services, stats: Stats, *, history: TableName | None) -> Outcome:
    """Return what the end of an export publishes: `stats`, as they are then."""
    return Outcome(
        get_subjects=lambda: [
            ("ad account", stats.ad_account_id),
            ("audience", stats.audience_id or stats.audience_name),
        ],
        build_rows=lambda: [build_run_row(stats.to_json())],
        history=open_history(services, history),
        stats=stats,
    )


def run_request(
    request: ExportRequest,
    services: Services,
    stats: Stats,
    outcome: Outcome,
    reporter: ProgressReporter | None = None,
) -> None:
    """Carry out a task's checked request, and fill in `stats` and `outcome`. Raises ExportError."""
    reporter = reporter or ProgressReporter(timing=services.timing)
    settings = request.settings
    clock = services.timing.monotonic
    stats.action = settings.action.name
    stats.ad_account_id = settings.ad_account_id
    stats.audience_id = settings.audience_id
    stats.audience_name = settings.audience_name
    stats.dry_run = settings.dry_run
    stats.for_this_run = settings.for_this_run
    outcome.report = settings.report
    action_class = next(each for each in ACTIONS if each.action is settings.action)
    action = action_class(request=request, services=services, stats=stats, reporter=reporter)
    outcome.write_rejected = lambda: write_rejected_rows(settings, request.source, action.people_query, stats, services)
    with _telling_what_was_sent(stats, settings.action):
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


@contextlib.contextmanager
def _telling_what_was_sent(stats: Stats, action: ActionSpec) -> Iterator[None]:
    """Within the `with` block, let an error say what was sent: some readers see only the message, and not the log."""
    try:
        yield
    except ExportError as error:
        if not error.sent:
            if stats.sent:
                to_send = format_count(stats.to_send_count, "record")
                error.sent = f"Before that, {stats.sent:,} of {to_send} were sent"
            elif not stats.requests.sent:
                error.sent = NOTHING_SENT if action.reads_rows else NOTHING_CHANGED
        raise
