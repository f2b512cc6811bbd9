"""The list form of an export: `at_once` entries run at a time, in threads that share tokens, rate limit, connections.

One that fails does not stop the others.
"""

import collections
import contextlib
import logging
from collections.abc import Mapping
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Any

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS
from td_pinterest_op.audiences.request import (
    get_raw_settings,
    naming_subjects,
    parse_task_request,
    reject_misplaced_lists,
)
from td_pinterest_op.errors import EntriesError, ExportError, StoppedError
from td_pinterest_op.exporting.entries import (
    build_entry_report_path,
    build_entry_task,
    parse_at_once,
    parse_entries,
    reject_settings_of_task,
)
from td_pinterest_op.exporting.export_run import build_outcome, run_request
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.parse import find_target_audience_id, parse_known_setting, parse_settings
from td_pinterest_op.settings.table import SETTINGS_FOR_ALL_ENTRIES
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.outcome import publishing
from td_pinterest_op.task_runtime.process import log_label, may_rerun_for_renewed_token
from td_pinterest_op.task_runtime.services import Services, connect_services
from td_pinterest_op.task_runtime.task import Task

log = logging.getLogger(__name__)

_MOST_DESCRIBED_FAILURES = 20
_RUN_AGAIN = "Run this task again: it repeats all of them, and does nothing twice"
_STOP_GRACE_SECONDS = 3.0  # for the entries to end after a signal


def export_audiences(task: Task, timing: Timing) -> dict[str, Any]:
    """Run the export of each entry of `audiences`. Returns {entry's name: {ok, error, statistics}}.

    Raises SettingsError for a wrong list, before anything is contacted, AccountError for a refused token, EntriesError
    with the exports that failed, and StoppedError with the progress of each.
    """
    runs: list[_EntryRun] = []
    threads: list[Future[None]] = []
    try:
        raw = get_raw_settings(task)
        with naming_subjects(raw, table=EXPORT_SETTINGS):
            entries = parse_entries(task)
            at_once = parse_at_once(task)
            reject_misplaced_lists(task)
            shared = {name: value for name, value in raw.items() if name in SETTINGS_FOR_ALL_ENTRIES.by_name}
            settings = parse_settings(shared, table=SETTINGS_FOR_ALL_ENTRIES, environ=task.environ)
        with connect_services(task, settings, timing=timing, needs_scopes=True, concurrent_runs=at_once) as services:
            # Before the entries begin: a refused token concerns all of them.
            services.tokens.get_token()
            runs += [_EntryRun(name=name, entry=entry, services=services) for name, entry in entries.items()]
            waiting = collections.deque(runs)

            def run_waiting() -> None:
                with contextlib.suppress(IndexError):
                    while not shutdown.is_requested():
                        run = waiting.popleft()
                        run.run()
                        if run.is_token_refused:
                            waiting.clear()

            try:
                threads += [shutdown.start_thread(run_waiting) for _ in range(min(at_once, len(runs)))]
                for thread in threads:
                    shutdown.wait_for(thread)
                shutdown.raise_if_requested()
            finally:
                # A signal ends the threads too, a moment later: the message says how far each of them was then.
                futures.wait(threads, _STOP_GRACE_SECONDS)
    except StoppedError as error:
        error.sent = "; ".join(f"{run.name}: {run.progress}" for run in runs) or "No entry was started"
        error.advice = _RUN_AGAIN
        raise
    refused = next((run.error for run in runs if run.is_token_refused), None)
    if refused:
        raise refused
    failed = [run for run in runs if run.error]
    if failed:
        named = [f"{run.name}: {run.error}" for run in failed[:_MOST_DESCRIBED_FAILURES]]
        others = ", ".join(run.name for run in failed[_MOST_DESCRIBED_FAILURES:])
        more = f"; and {others}" if others else ""
        raise EntriesError(
            f"{len(failed)} of {format_count(len(runs), 'audience')} failed. {'; '.join(named)}{more}",
            advice=_RUN_AGAIN,
        )
    return {run.name: {"ok": True, "error": "", "statistics": run.stats.to_json()} for run in runs if run.stats}


@dataclass(kw_only=True)
class _EntryRun:
    """The export of one entry."""

    name: str
    entry: Mapping[object, Any]
    services: Services  # the task's
    stats: Stats | None = None
    error: ExportError | None = None
    is_over: bool = False  # with or without an error
    # Whether the task's refresh token was refused, and the whole task may start again with a newer one.
    is_token_refused: bool = False

    @property
    def progress(self) -> str:
        """How far the export is, such as "10 of 20 records sent"."""
        stats = self.stats
        if stats is None:
            return "not begun"
        if self.is_over and not isinstance(self.error, StoppedError):
            return "failed" if self.error else "done"
        if not stats.to_send_count:
            return "nothing sent"
        return f"{stats.sent:,} of {format_count(stats.to_send_count, 'record')} sent"

    def run(self) -> None:
        """Run the export. A failure is logged, and kept in `error`, but not raised."""
        log_label.set(f"{self.name}: ")  # in the context of this thread alone
        try:
            self._export()
        except Exception as error:
            self.error = ExportError.from_exception(error)
            self.is_token_refused = may_rerun_for_renewed_token(self.services.task, self.error)
        self.is_over = True
        if self.error and not self.is_token_refused and not isinstance(self.error, StoppedError):
            kind = type(self.error)
            log.error("%s (%s). Who must act: %s. %s", self.error, kind.__name__, kind.who, kind.general_advice)

    def _export(self) -> None:
        task = build_entry_task(self.services.task, self.entry, self.name)
        parse = partial(parse_known_setting, settings=task.params["result_settings"], table=EXPORT_SETTINGS)
        # What the settings say if they are right is known even if others are wrong.
        action = parse("action")
        self.stats = stats = Stats(
            action=action.name if action else "",
            ad_account_id=parse("ad_account_id") or "",
            audience_id=find_target_audience_id(task.params["result_settings"], action, table=EXPORT_SETTINGS),
            audience_name=parse("audience_name"),
        )
        services = self.services.for_another_run(task, stats)
        outcome = build_outcome(services, stats, history=parse("history"))
        with publishing(services, outcome):
            reject_settings_of_task(self.entry, self.name)
            request = parse_task_request(task, table=EXPORT_SETTINGS)
            if report := request.settings.report:
                report = str(build_entry_report_path(PurePath(report), self.name))
                request = replace(request, settings=replace(request.settings, report=report))
            run_request(request, services, stats, outcome)
