"""Exports to several audiences: `py>: td_pinterest_op.many.Many.renew`, `.export` and `.gate` in a .dig file.

Each entry of the list `audiences` is one export: any setting and any parameter of a task, which override those of the
task. A failure is stored, not raised: the others go on, and the gate after them fails with the names of all that
failed. An export that a signal ends raises: digdag then stores nothing, and the gate names it as well.
"""

import dataclasses
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from td_pinterest_op.audiences.request import extend_task, read_settings, split_parameters
from td_pinterest_op.errors import EntriesError, ExportError, SettingsError, StoppedError
from td_pinterest_op.export import export
from td_pinterest_op.history import write_missing_rows
from td_pinterest_op.run_history.history_table import Row
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.parse import parse_settings, read_parameter
from td_pinterest_op.settings.structures import read_list_items
from td_pinterest_op.settings.table import CONNECTION
from td_pinterest_op.settings.types import WrongValueError, build_integer_type, is_left_out
from td_pinterest_op.stats import Stats
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.process import TaskProcess, log_label
from td_pinterest_op.workflow.services import connect_services

log = logging.getLogger(__name__)

# Keys of an entry that are neither settings nor parameters of a task.
ENTRY_KEYS = ("name", "segment", "column")
_LOST = (
    "no result was stored: its process was killed (usually for lack of memory), it did not start, or the attempt was "
    "resumed, which loses the result of an entry that had started again after a refused token"
)
_ROWS = frozenset({"query", "job_id"})
_TABLE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Many:
    """Exports to several audiences, for pinterest_many.dig. An entry of its list `audiences` describes one export."""

    def renew(self) -> None:
        """Check the list `audiences`, and renew the refresh token that all its exports share. Raises ExportError."""
        with TaskProcess():
            renew_token(workflow.get_current_task(), SYSTEM)

    def export(self) -> None:
        """Export to one audience, the task's `audience`, and store the result. A failure is stored, and not raised."""
        with TaskProcess():
            name, outcome = export_entry(workflow.get_current_task(), SYSTEM)
            workflow.store_values(pinterest_many={name: outcome})

    def gate(self) -> None:
        """Raise EntriesError if any of the exports failed. The message names each of them."""
        with TaskProcess():
            check_outcomes(workflow.get_current_task(), SYSTEM)


def renew_token(task: workflow.Task, timing: Timing) -> None:
    """Renew the refresh token once, before the exports of all entries of `audiences` start. Raises ExportError."""
    read_entries(task)
    _read_concurrency(task)
    settings = parse_settings(task.params.get("result_settings"), table=CONNECTION, environ=task.environ)
    with connect_services(task, settings, timing=timing) as services:
        services.tokens.get_token()


def export_entry(task: workflow.Task, timing: Timing) -> tuple[str, dict[str, Any]]:
    """Run the export that `audience` of the task describes. Return its name and a dict: `ok`, `error`, `statistics`."""
    entry = _read_entry(task.params.get("audience"), "`audience` of the task")
    name = _get_entry_name(entry)
    token = log_label.set(f"{name}: ")
    try:
        return name, _try_export(task, timing, entry, name)
    finally:
        log_label.reset(token)


def _try_export(task: workflow.Task, timing: Timing, entry: Mapping[object, Any], name: str) -> dict[str, Any]:
    """Run the export of an entry. Return a dict: `ok`, `error`, `statistics`."""
    entry_task = task
    try:
        entry_task = build_entry_task(task, entry, name)
        return {"ok": True, "error": "", "statistics": export(entry_task, timing)}
    except Exception as error:
        if isinstance(error, StoppedError) or workflow.may_resubmit(task, error):
            raise
        failure = ExportError.from_exception(error)
    log.error("%s (%s). Who must act: %s. %s", failure, type(failure).__name__, failure.who, failure.advice)
    if isinstance(failure, SettingsError):
        # The export has sent nothing, and no `_error` task gets its failure.
        entries = {str(task.params.get("task_name") or ""): entry}
        _write_failed_rows(entry_task, timing, entries, {"error": str(failure), "requests_sent": 0})
    empty = Stats(action=str(entry.get("action")), ad_account_id=str(entry.get("ad_account_id")), dry_run=False)
    empty.audience_id, empty.audience_name = (_find_only(entry, key) for key in ("audience_id", "audience_name"))
    return {"ok": False, "error": str(failure), "statistics": empty.to_json()}


def check_outcomes(task: workflow.Task, timing: Timing) -> None:
    """Raise EntriesError with the error of each export that failed or stored no result, if there are any.

    In an `_error` task, a history row is written for each export that stored no result and has no row.
    """
    outcomes = stored if isinstance(stored := task.params.get("pinterest_many"), Mapping) else {}
    entries = read_entries(task)
    # digdag names an entry's task after its loop, with the entry's number. Without `_error`, no entry was killed.
    loop, error, _ = str(task.params.get("task_name") or "").partition("^error")
    lost = {
        f"{loop}^sub+for-0=audience={number}=": entry
        for number, (name, entry) in enumerate(entries.items())
        if error and name not in outcomes
    }
    _write_failed_rows(task, timing, lost, {"error": _LOST}, or_success=True)
    failed = [
        f"{name} (audience {(_find_audiences(entry) or ['none'])[0]} in ad account {entry.get('ad_account_id')}): "
        f"{outcomes.get(name, {'error': _LOST})['error']}"
        for name, entry in entries.items()
        if not outcomes.get(name, {}).get("ok")
    ]
    if failed:
        raise EntriesError(
            f"{len(failed)} of {len(entries)} audiences failed: {'; '.join(failed)}. To repeat them, run the whole "
            "attempt again: with `retry … --all` on a server, or with `digdag run … --rerun`"
        )
    log.info("all %d audiences were exported", len(entries))


def _write_failed_rows(
    task: workflow.Task, timing: Timing, entries: Mapping[str, Mapping[object, Any]], columns: Row, **options: bool
) -> None:
    """Write a history row for each of the failed `entries` (by task name), to its own history or else to the task's."""
    rows: dict[tuple[str, ...], list[Row]] = {}
    for task_name, entry in entries.items():
        known = {key: entry.get(key) for key in ("action", "ad_account_id", "audience_name")} | dict(columns)
        known |= {"task": task_name, "audience_id": _find_only(entry, "audience_id")}
        own = tuple(str(entry.get(key) or "").strip() for key in ("history", "database"))
        rows.setdefault(own, []).append(known)
    for history, database in rows:
        own_params = {"result_settings": history and {"history": history}, "database": database}
        params = {**task.params, **{key: value for key, value in own_params.items() if value}}
        write_missing_rows(dataclasses.replace(task, params=params), timing, rows[history, database], **options)


def _get_entry_name(entry: Mapping[object, Any]) -> str:
    """Return the name of an entry of the list `audiences`, or else the id or name of the entry's audience."""
    return str(entry.get("name") or next(iter(_find_audiences(entry)), None))


def _find_only(entry: Mapping[object, Any], prefix: str) -> str | None:
    """Return the only audience id or name in an entry, or None: the action uses one of several."""
    found = _find_audiences(entry, prefix)
    return found[0] if len(found) == 1 else None


def _find_audiences(entry: Mapping[object, Any], *prefixes: str) -> Sequence[str]:
    """Return the distinct audience ids, then names, in an entry. Reads keys that begin with one of `prefixes`."""
    keys = sorted(str(key) for key in entry if str(key).startswith(prefixes or ("audience_id", "audience_name")))
    return list(dict.fromkeys(text for key in keys if (text := str(entry[key] or "").strip())))


def read_entries(task: workflow.Task) -> Mapping[str, Mapping[object, Any]]:
    """Return the entries of the task's list `audiences` by name. Raises SettingsError, also for duplicate names."""
    try:
        items = read_list_items(task.params.get("audiences"))
    except WrongValueError as error:
        raise SettingsError(f"`audiences` in config/audiences.yml cannot be read as a list: {error}") from None
    if not items:
        raise SettingsError("`audiences` in config/audiences.yml is empty: add a mapping of settings for each audience")
    entries = [_read_entry(item, f"entry {number} of `audiences`") for number, item in enumerate(items, 1)]
    names = Counter(map(_get_entry_name, entries))
    if duplicates := sorted(name for name, count in names.items() if count > 1):
        raise SettingsError(f"duplicate names in `audiences`: {', '.join(duplicates)}. Give each entry its own name")
    return {_get_entry_name(entry): entry for entry in entries}


def _read_entry(value: object, place: str) -> Mapping[object, Any]:
    """Return an entry of the list `audiences` as a mapping. `place` names the entry in a SettingsError."""
    if not (entry := read_settings(value, place=place)):
        raise SettingsError(f"{place} is empty: write the settings of an audience into it")
    return entry


def build_entry_task(task: workflow.Task, entry: Mapping[object, Any], name: str) -> workflow.Task:
    """Return `task` with the settings and parameters of an `entry` of `audiences`. Raises SettingsError."""
    place = f"entry {name}"
    others = {key: value for key, value in entry.items() if key not in ENTRY_KEYS}
    settings, params = split_parameters(others, place=place)
    segment, column = (str(entry.get(key) or "").strip() for key in ("segment", "column"))
    if segment:
        params = {key: value for key, value in params.items() if key not in _ROWS or not is_left_out(value)}
    has_rows = not _ROWS.isdisjoint(params)
    if segment and has_rows:
        raise SettingsError(f"{place} has both a segment and a query or job_id: leave one of them out")
    if "segment" in entry and not has_rows:  # a blank one must not export the task's rows
        if not _TABLE.fullmatch(segment) or not _COLUMN.fullmatch(column or "email"):
            raise SettingsError(
                f"{place}: segment must be a table, such as cdp_audience_1.vip, and column must be the name of a column"
            )
        params["query"] = f"SELECT {column or 'email'} FROM {segment}"  # noqa: S608 - both are names
    return dataclasses.replace(extend_task(task, place, settings, params), concurrent=_read_concurrency(task))


def _read_concurrency(task: workflow.Task) -> int:
    """Return how many exports may run at once: the task's parameter `concurrent`."""
    return read_parameter("concurrent", task.params.get("concurrent"), build_integer_type(1, 1000)) or 1
