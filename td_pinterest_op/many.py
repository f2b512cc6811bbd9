"""Exports to several audiences in one task: `py>: td_pinterest_op.many.Many` in a .dig file.

Each entry of the parameter `audiences` is one export, with settings and parameters that override the task's. `at_once`
of them run at a time, in threads that share tokens, rate limit and connections. One that fails does not stop the
others.
"""

import collections
import contextlib
import hashlib
import logging
import re
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS, find_action_spec
from td_pinterest_op.audiences.request import (
    ROW_SOURCE_PARAMETERS,
    get_raw_settings,
    naming_subjects_of,
    parse_task_request,
    reject_misplaced_lists,
    require_no_text_of_console,
)
from td_pinterest_op.errors import EntriesError, ExportError, SettingsError, StoppedError
from td_pinterest_op.export import build_initial_stats, publish_export_and_raise, run_request
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import SYSTEM_TIMING, Timing
from td_pinterest_op.runtime.project_file import resolve_project_path
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.parse import parse_parameter, parse_raw_settings, parse_settings, parse_values
from td_pinterest_op.settings.structures import LIST_TYPE
from td_pinterest_op.settings.table import (
    FOR_THIS_RUN_PARAMETER,
    RESTRICTING_SETTING_NAMES,
    SETTINGS_FOR_ALL_ENTRIES,
    TASK_PARAMETERS,
    WITHHOLDING_LIST_NAMES,
)
from td_pinterest_op.settings.types import (
    TEXT_TYPE,
    build_integer_type,
    describe_value,
    has_secret_reference,
    is_left_out,
)
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.process import GuardedTaskRun, log_label, may_rerun_for_renewed_token
from td_pinterest_op.task_runtime.services import Services, connect_services
from td_pinterest_op.task_runtime.task import Task, get_current_task, store_workflow_values

log = logging.getLogger(__name__)

_AT_ONCE_TYPE = build_integer_type(1, 32)
_MOST_DESCRIBED_FAILURES = 20
_LONGEST_NAME = 100  # characters
# A file's name has at most 255 bytes, and a page is first written to a file with a longer name.
_LONGEST_FILE_STEM = 180
_STOP_GRACE_SECONDS = 3.0  # for the entries to end after a signal


class Many:
    """The operator that exports to several audiences in one task."""

    def run(self) -> None:
        """Run the current task's exports, and store their statistics as the parameter `pinterest_many`."""
        with GuardedTaskRun():
            store_workflow_values(pinterest_many=export_all_entries(get_current_task(), SYSTEM_TIMING))


def export_all_entries(task: Task, timing: Timing) -> dict[str, Any]:
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


def parse_at_once(task: Task) -> int:
    """Return how many exports run at a time: the parameter `at_once`, or 4. Raises SettingsError."""
    at_once: int | None = parse_parameter("at_once", task.params.get("at_once"), _AT_ONCE_TYPE)
    return at_once or 4


def parse_entries(task: Task) -> Mapping[str, Mapping[object, Any]]:
    """Return the entries of the parameter `audiences` by name, each with its settings and parameters.

    Raises SettingsError for a missing or wrong list, and for settings for this run that name an unknown entry.
    """
    listed = task.params.get("audiences")
    require_no_text_of_console(task, listed, name="audiences")
    if isinstance(listed, str) and re.fullmatch(r"\S+\.ya?ml", listed.strip()):
        raise SettingsError("`audiences` is the name of a file: include the file under `_export`", key="audiences")
    items = parse_parameter("audiences", listed, LIST_TYPE)
    if not items:
        text = "there is no list `audiences`, or it is empty: add a mapping of settings for each audience"
        raise SettingsError(text, key="audiences")
    entries: dict[str, Mapping[object, Any]] = {}
    for number, item in enumerate(items, start=1):
        place = f"entry {number} of `audiences`"
        require_no_text_of_console(task, item, name=place)
        entry = parse_raw_settings(item, place=place)
        if not entry:
            text = f"{place} is empty: write the settings of an audience into it"
            raise SettingsError(text, key="audiences")
        given = str(entry.get("name") or "").strip() or f"entry {number}"
        name = parse_parameter(f"name of entry {number}", given, TEXT_TYPE)
        if len(name) > _LONGEST_NAME:
            text = f"{place} has a name of more than {_LONGEST_NAME} characters: give it a shorter one"
            raise SettingsError(text, key="audiences")
        if name in entries:
            text = f"{place} has the name of another, {name}: give each entry its own name"
            raise SettingsError(text, key="audiences")
        entries[name] = entry
    require_no_text_of_console(task, task.params.get(FOR_THIS_RUN_PARAMETER), name=FOR_THIS_RUN_PARAMETER)
    for_this_run = parse_raw_settings(task.params.get(FOR_THIS_RUN_PARAMETER), place=FOR_THIS_RUN_PARAMETER)
    unknown = [describe_value(name).strip("'") for name in for_this_run if name not in entries]
    if unknown or (FOR_THIS_RUN_PARAMETER in task.params and not for_this_run):
        raise SettingsError(
            f"{FOR_THIS_RUN_PARAMETER} must be a mapping from names of entries to settings"
            + (f", and there is no entry {', '.join(unknown)}" if unknown else ""),
            key=FOR_THIS_RUN_PARAMETER,
        )
    return entries


def build_entry_task(task: Task, entry: Mapping[object, Any], name: str) -> Task:
    """Return the task of one export: `task` with the settings and parameters of the `entry` called `name`.

    Raises SettingsError if the entry has what only the task may have, such as credentials.
    """
    place = f"entry {name}"
    params = {key: entry[key] for key in TASK_PARAMETERS if key in entry}
    settings = {key: value for key, value in entry.items() if key not in {"name", *params}}
    connecting = SETTINGS_FOR_ALL_ENTRIES.by_name.keys() - {"type"}
    if common := [key for key, value in settings.items() if key in connecting and not is_left_out(value)]:
        raise SettingsError(
            f"{place} has {', '.join(map(str, common))}: credentials and connection settings stand on the task, and "
            "count for all entries; to have others for some, spread the entries over several tasks with for_each>",
            key=str(common[0]),
        )
    if not is_left_out(settings.get("report")):
        _require_page_inside_project(PurePath(str(settings["report"]).strip()), name)
    if secret := next((key for key, value in {"name": name, **params}.items() if has_secret_reference(value)), None):
        raise SettingsError(f"{place}: {secret} names a secret of the workflow, which no entry may do", key=secret)
    shared = dict(get_raw_settings(task))
    merged = shared | {key: value for key, value in settings.items() if not is_left_out(value) or key not in shared}
    # What restricts and is blank is an error in either place. Any other blank setting overrides nothing.
    for key in RESTRICTING_SETTING_NAMES:
        if any(key in each and is_left_out(each[key]) for each in (shared, settings)):
            merged[key] = None
    action = find_action_spec(merged)
    if action and not action.adds_people:  # the task's lists are for the entries that add people
        for key in WITHHOLDING_LIST_NAMES:
            if key not in settings and merged.get(key) is not None:
                del merged[key]
    replaced = [key for key in settings if key in shared and str(shared[key]) != str(merged[key])]
    for key in WITHHOLDING_LIST_NAMES:
        if key in replaced:
            text = "%s: for %s, %s in the entry replaces %s of the task"
            log.warning(text, place, key, _describe_without_sql(settings[key]), _describe_without_sql(shared[key]))
    if replaced:
        log.info("%s overrides the task's %s", place, ", ".join(map(str, replaced)))
    left_out = {FOR_THIS_RUN_PARAMETER, "audiences"}
    if not ROW_SOURCE_PARAMETERS.isdisjoint(params):
        left_out |= ROW_SOURCE_PARAMETERS
    own = {key: value for key, value in task.params.items() if key not in left_out}
    own |= {**params, "result_settings": merged}
    for_this_run = parse_raw_settings(task.params.get(FOR_THIS_RUN_PARAMETER), place=FOR_THIS_RUN_PARAMETER)
    if name in for_this_run:
        own[FOR_THIS_RUN_PARAMETER] = for_this_run[name]
    return replace(task, entry=name, params=own)


def _require_page_inside_project(report: PurePath, name: str) -> None:
    """Raise SettingsError unless the `report` of the entry called `name` is a page in the project's folder."""
    if report.suffix != ".html":
        raise SettingsError(f"entry {name}: report must be the path of a file that ends in .html", key="report")
    for path in (report, build_entry_report_path(report, name)):
        resolve_project_path(str(path), key="report")


def build_entry_report_path(report: PurePath, name: str) -> PurePath:
    """Return the path of an entry's page: `p.html` becomes `p-NAME.html`, with a hash at the end of a long name."""
    escaped = name.replace("%", "%25").replace("/", "%2F")  # so that two names give two files
    stem = f"{report.stem}-{escaped}".encode(errors="surrogatepass")
    if len(stem) > _LONGEST_FILE_STEM:
        kept = stem[:_LONGEST_FILE_STEM].decode(errors="ignore")
        return report.with_name(f"{kept}-{hashlib.sha256(stem).hexdigest()[:8]}{report.suffix}")
    return report.with_name(f"{report.stem}-{escaped}{report.suffix}")


def _describe_without_sql(query: object) -> str:
    """Return the name of a list's file, or "a query": its SQL may have values of people."""
    text = str(query).strip()
    return text if text.lower().endswith(".sql") and len(text.split()) == 1 else "a query"
