"""Exports to several audiences: `py>: td_pinterest_op.many.Many.renew`, `.export` and `.gate` in a .dig file.

Each entry of the list `audiences` is one export. One that fails is stored, not raised: the others go on, and the gate
behind them fails with the names of all that failed. What a signal ends is raised: digdag stores nothing then, and the
gate names it as well.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from td_pinterest_op.errors import ExportError, SettingsError, StoppedError, WorkflowError
from td_pinterest_op.export import export
from td_pinterest_op.history import write_missing
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.runtime.unexpected import unexpected
from td_pinterest_op.settings.parse import parse_connection
from td_pinterest_op.settings.table import REQUESTS_PER_MINUTE
from td_pinterest_op.stats import LISTS, Stats
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.process import task_process
from td_pinterest_op.workflow.resubmit import may_begin_anew
from td_pinterest_op.workflow.services import connect

log = logging.getLogger(__name__)

# Keys of an entry that are no setting of an export.
OWN = ("name", "query", "segment", "column", "database", "engine", *LISTS)
_TABLE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Many:
    """The steps of pinterest_many.dig."""

    def renew(self) -> None:
        """Check the list, and renew the refresh token that all entries share. Raises ExportError."""
        with task_process():
            renew(workflow.current_task(), SYSTEM)

    def export(self) -> None:
        """Export one entry, the task's `audience`. Stores what came of it, a failure too, and raises nothing for it."""
        with task_process():
            name, outcome = outcome_of(workflow.current_task(), SYSTEM)
            workflow.store(pinterest_many={name: outcome}, pinterest=outcome["statistics"])

    def gate(self) -> None:
        """Raises WorkflowError, which names every entry that failed."""
        with task_process():
            check(workflow.current_task())


def renew(task: workflow.Task, timing: Timing) -> None:
    """Get an access token once, so that a new refresh token is kept before the entries start. Raises ExportError."""
    names = Counter(map(name_of, _entries(task)))
    if repeated := [name for name, count in names.items() if count > 1]:
        raise SettingsError(f"these names stand more than once in the list of audiences: {', '.join(repeated)}")
    settings = parse_connection(task.params.get("result_settings"), environ=task.environ)
    with connect(task, settings, timing=timing) as services:
        services.tokens.token()


def outcome_of(task: workflow.Task, timing: Timing) -> tuple[str, dict[str, Any]]:
    """The name of the task's entry, and `ok`, `error` (the message, or "") and `statistics` of its export."""
    entry = task.params.get("audience")
    if not isinstance(entry, Mapping):
        raise SettingsError("a task of several audiences has its entry of the list as `audience`")
    name = name_of(entry)
    try:
        return name, {"ok": True, "error": "", "statistics": export(_task_of(task, entry), timing)}
    except ExportError as error:
        if isinstance(error, StoppedError) or may_begin_anew(task, error):
            raise
        failure = error
    except Exception as error:
        failure = unexpected(error)
    log.error("%s: %s", name, failure)
    if isinstance(failure, SettingsError):
        _record(task, entry, failure, timing)
    # Zeros replace what an earlier entry has stored.
    empty = Stats(
        action=str(entry.get("action")), ad_account_id=str(entry.get("ad_account_id")), dry_run=False
    ).to_json() | {"audience_id": entry.get("audience_id"), "audience_name": entry.get("audience_name")}
    return name, {"ok": False, "error": str(failure), "statistics": empty}


def _record(task: workflow.Task, entry: Mapping[str, Any], failure: SettingsError, timing: Timing) -> None:
    """Write the history's row of an entry whose export has not begun: no `_error` sees its failure."""
    known = {name: entry.get(name) for name in ("action", "ad_account_id", "audience_id", "audience_name")}
    own = {"result_settings": entry} if entry.get("history") else {}
    row = {**known, "error": str(failure)}
    name = str(task.params.get("task_name") or "")
    write_missing(dataclasses.replace(task, params={**task.params, **own}), timing, name=name, row=row)


def check(task: workflow.Task) -> None:
    """Raises WorkflowError, with the message of each entry that failed or that has no outcome."""
    stored = task.params.get("pinterest_many")
    outcomes = stored if isinstance(stored, Mapping) else {}
    names = [name_of(entry) for entry in _entries(task)]
    missing = {"ok": False, "error": "it has no outcome: its process ended. Run the workflow again"}
    failed = {name: outcomes.get(name, missing)["error"] for name in names if not outcomes.get(name, missing)["ok"]}
    if failed:
        told = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise WorkflowError(f"{len(failed)} of {len(names)} audiences failed: {told}")
    log.info("all %d audiences were exported", len(names))


def name_of(entry: Mapping[str, Any]) -> str:
    """What an entry is called in messages and in the store: its `name`, else its audience."""
    return str(entry.get("name") or entry.get("audience_id") or entry.get("audience_name"))


def _entries(task: workflow.Task) -> Sequence[Mapping[str, Any]]:
    entries = task.params.get("audiences")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, Mapping) for entry in entries):
        raise SettingsError("config/audiences.yml has no list `audiences`, with a mapping for each audience")
    return entries


def _task_of(task: workflow.Task, entry: Mapping[str, Any]) -> workflow.Task:
    """The task of one entry, as that of a workflow with one export."""
    shared = task.params.get("result_settings")
    settings = {**(shared if isinstance(shared, Mapping) else {})}
    settings |= {name: value for name, value in entry.items() if name not in OWN}
    given = str(settings.get("requests_per_minute") or REQUESTS_PER_MINUTE)
    concurrent = str(task.params.get("concurrent") or 1)
    if given.isdecimal() and concurrent.isdecimal():
        settings["requests_per_minute"] = max(int(given) // max(int(concurrent), 1), 1)
    own = {name: entry[name] for name in ("database", "engine", *LISTS) if name in entry}
    return task.asking(_query(entry), **own, result_settings=settings)


def _query(entry: Mapping[str, Any]) -> str:
    query, segment = str(entry.get("query") or "").strip(), str(entry.get("segment") or "").strip()
    if bool(query) == bool(segment):
        raise SettingsError(f"{name_of(entry)} needs a query (SQL, or a file queries/….sql) or a segment (its table)")
    if segment:
        column = str(entry.get("column") or "email")
        if not _TABLE.fullmatch(segment) or not _COLUMN.fullmatch(column):
            raise SettingsError(f"{name_of(entry)}: segment is a table, as in cdp_audience_1.vip, and column a name")
        return f"SELECT {column} FROM {segment}"  # noqa: S608 - both are names
    return workflow.sql_of(query, key=name_of(entry))
