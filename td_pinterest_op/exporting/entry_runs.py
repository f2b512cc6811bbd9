"""The list form of an export: `at_once` entries run at a time, in threads that share tokens, rate limit, connections.

One that fails does not stop the others.
"""

import collections
import contextlib
import logging
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS
from td_pinterest_op.audiences.request import (
    get_raw_settings,
    naming_subjects_of,
    parse_task_request,
    reject_misplaced_lists,
)
from td_pinterest_op.errors import EntriesError, ExportError, SettingsError, StoppedError
from td_pinterest_op.exporting.entries import build_entry_report_path, build_entry_task, parse_at_once, parse_entries
from td_pinterest_op.exporting.export_run import build_initial_stats, publish_export_and_raise, run_request
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.parse import parse_raw_settings, parse_settings, parse_values
from td_pinterest_op.settings.table import SETTINGS_FOR_ALL_ENTRIES
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.process import log_label, may_rerun_for_renewed_token
from td_pinterest_op.task_runtime.services import Services, connect_services
from td_pinterest_op.task_runtime.task import Task

log = logging.getLogger(__name__)

_MOST_DESCRIBED_FAILURES = 20
_STOP_GRACE_SECONDS = 3.0  # for the entries to end after a signal


def export_audiences(task: Task, timing: Timing) -> dict[str, Any]:
    """Run the export of each entry of `audiences`. Returns {entry's name: {ok, error, statistics}}.

    Raises SettingsError for a wrong list, before anything is contacted, AccountError for a refused token, EntriesError
    with the exports that failed, and StoppedError with the progress of each.
    """
    with naming_subjects_of(lambda: parse_values(get_raw_settings(task), table=EXPORT_SETTINGS, environ=task.environ)):
        runs = [_EntryRun(name=name, entry=entry) for name, entry in parse_entries(task).items()]
        at_once = parse_at_once(task)
        reject_misplaced_lists(task)
        raw = get_raw_settings(task)
        shared = {name: value for name, value in raw.items() if name in SETTINGS_FOR_ALL_ENTRIES.by_name}
        settings = parse_settings(shared, table=SETTINGS_FOR_ALL_ENTRIES, environ=task.environ)
    waiting = collections.deque(runs)
    threads = []
    with connect_services(task, settings, timing=timing, needs_scopes=True, concurrent_runs=at_once) as services:
        # Before the entries begin: a refused token concerns all of them.
        services.tokens.get_token()

        def run_waiting() -> None:
            with contextlib.suppress(IndexError):
                while not shutdown.is_requested():
                    run = waiting.popleft()
                    run.run(services)
                    if run.is_token_refused:
                        waiting.clear()

        try:
            threads += [shutdown.start_thread(run_waiting) for _ in range(min(at_once, len(runs)))]
            for thread in threads:
                shutdown.wait_for(thread)
            shutdown.raise_if_requested()
        except StoppedError as error:
            # The threads end by the same request.
            futures.wait(threads, _STOP_GRACE_SECONDS)
            progress = "; ".join(f"{run.name}: {run.progress}" for run in runs)
            raise StoppedError(f"{error}. {progress}") from None
    refused = next((run.error for run in runs if run.is_token_refused), None)
    if refused:
        raise refused
    failed = [run for run in runs if run.error]
    if failed:
        named = [f"{run.name}: {run.error}" for run in failed[:_MOST_DESCRIBED_FAILURES]]
        others = ", ".join(run.name for run in failed[_MOST_DESCRIBED_FAILURES:])
        more = f"; and {others}" if others else ""
        raise EntriesError(
            f"{len(failed)} of {format_count(len(runs), 'audience')} failed. {'; '.join(named)}{more}. Run this task "
            "again: it repeats all of them, and does nothing twice"
        )
    return {run.name: {"ok": True, "error": "", "statistics": run.stats.to_json()} for run in runs if run.stats}


@dataclass(kw_only=True)
class _EntryRun:
    """The export of one entry."""

    name: str
    entry: Mapping[object, Any]
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
        return f"{stats.sent:,} of {format_count(stats.to_send_count, 'record')} sent"

    def run(self, services: Services) -> None:
        """Run the export. A failure is logged, and kept in `error`, but not raised."""
        log_label.set(f"{self.name}: ")  # in the context of this thread alone
        try:
            self._export(services)
        except Exception as error:
            self.error = ExportError.from_exception(error)
            self.is_token_refused = may_rerun_for_renewed_token(services.task, self.error)
        self.is_over = True
        if self.error and not self.is_token_refused and not isinstance(self.error, StoppedError):
            kind = type(self.error)
            log.error("%s (%s). Who must act: %s. %s", self.error, kind.__name__, kind.who, kind.general_advice)

    def _export(self, services: Services) -> None:
        whole = {**parse_raw_settings(services.task.params.get("result_settings")), **self.entry}
        task = replace(services.task, entry=self.name, params={**services.task.params, "result_settings": whole})
        try:
            task = build_entry_task(services.task, self.entry, self.name)
            request = parse_task_request(task, table=EXPORT_SETTINGS)
        except SettingsError as error:
            parsed = parse_values(task.params["result_settings"], table=EXPORT_SETTINGS, environ=task.environ)
            known = parsed.values_with_defaults
            self.stats = Stats(
                action=parsed.action.name if parsed.action else "",
                ad_account_id=known["ad_account_id"] or "",
                audience_id=parsed.target_audience_id,
                audience_name=known["audience_name"],
            )
            own = services.for_another_run(task, self.stats)
            publish_export_and_raise(own, error, self.stats, history_table=known["history"])
            return
        settings = request.settings
        if settings.report:
            report = str(build_entry_report_path(PurePath(settings.report), self.name))
            request = replace(request, settings=replace(settings, report=report))
        self.stats = build_initial_stats(settings)
        run_request(request, services.for_another_run(task, self.stats), self.stats)
