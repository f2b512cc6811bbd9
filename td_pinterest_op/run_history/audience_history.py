"""Derives from history rows the size of each audience at the last follow-up, and the number of records in each list.

The number of records in a list is known if it was written by nothing but one create or replace, or by a mirror that
began with its own list, and no failure or erasure came later.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from td_pinterest_op.run_history.columns import FAILED, FOLLOW_UP, RUN, SUCCESS, Row

_FILLING = frozenset({"create_new_audience", "replace_current_audience", "clear_current_audience"})
_MIRROR = "mirror_current_audience"
# In 0.3, a mirror was a workflow of several actions; the workflow wrote rows as well.
_MIRRORING = frozenset({"mirror", _MIRROR})
_ERASING = "erase"
# Actions that have not changed the audience's list if they fail and their row names no list.
_HARMLESS = frozenset({*_FILLING, *_MIRRORING, _ERASING, "delete_current_audience"})


class Members(NamedTuple):
    """The known number of records in a customer list. `is_sent`: a single run sent all of them.

    Differences between such a number and Pinterest's counters show changes by others.
    """

    records: int
    is_sent: bool


class AudienceHistory(NamedTuple):
    """The sizes of audiences, by audience id, and the known `members` of customer lists, by list id."""

    sizes: Mapping[str, int]
    members: Mapping[str, Members]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The columns of a run's history row that decide how many records a list has. `members` is None if unknown."""

    time: int
    outcome: str
    workflow: str | None
    action: str | None
    audience_id: str | None
    customer_list_id: str | None
    dry_run: bool | None
    requests_sent: int | None
    members: int | None
    mirror_mode: str | None

    @property
    def may_have_written(self) -> bool:
        """Whether the run may have changed the audience. True for a failed run without statistics."""
        is_unknown = self.outcome == FAILED and self.requests_sent is None
        return not self.dry_run and bool(self.requests_sent or self.members is not None or is_unknown)

    @property
    def is_sent(self) -> bool:
        """Whether this run alone sent all the records that the list contains after it."""
        return self.members is not None and (self.action in _FILLING or self.mirror_mode == "replace")

    @property
    def knows_all_members(self) -> bool:
        """Whether the number of all records in the list is known after the run."""
        return self.is_sent or (self.action == _MIRROR and self.members is not None)


_RUN_COLUMNS = tuple(each.name for each in fields(_Run))
COLUMNS_READ = (*_RUN_COLUMNS, "kind", "audience_size", "audience_status")
"""The columns that `build_audience_history` needs."""


def build_audience_history(rows: Iterable[Row]) -> AudienceHistory:
    """Return the audience sizes and list members that the history's rows show; the rows may be in any order."""
    ordered = sorted(rows, key=lambda row: int(row["time"] or 0))
    sizes = {
        str(row["audience_id"]): int(row["audience_size"])
        for row in ordered
        if row["kind"] == FOLLOW_UP
        and row["audience_size"] is not None
        and not str(row["audience_status"]).endswith("INITIALIZING")
    }
    every = [_Run(**{name: row[name] for name in _RUN_COLUMNS}) for row in ordered if row["kind"] == RUN]
    runs = [run for run in every if run.may_have_written]
    lists = dict.fromkeys(run.customer_list_id for run in runs if run.customer_list_id)
    members = {list_id: known for list_id in lists if (known := _count_known_members(list_id, runs))}
    return AudienceHistory(sizes=sizes, members=members)


def _count_known_members(list_id: str, runs: Sequence[_Run]) -> Members | None:
    """Return the number of records in a customer list, or None if the runs do not determine it."""
    own = [run for run in runs if run.customer_list_id == list_id]
    # Of runs of the same second: a failure, then an add after a remove.
    last = min(own, key=lambda run: (-run.time, run.outcome != FAILED, run.action or ""))
    beginnings = [run.time for run in own if run.knows_all_members and run.workflow == last.workflow]
    is_shared = any(run.members is None and run.outcome == SUCCESS for run in own)
    if last.members is None or last.outcome == FAILED or is_shared or not beginnings:
        return None
    writers = {run.workflow for run in runs if run in own or run.action == _ERASING}
    for run in runs:
        if run.time >= min(beginnings) and _is_failed_writer(run, last):
            return None
        if run.time >= last.time and _is_untracked_change(run, last, writers):
            return None
    return Members(records=last.members, is_sent=last.is_sent)


def _is_failed_writer(run: _Run, last: _Run) -> bool:
    """Whether `run` may have changed the list (`last`: the list's last run), although its row names no list."""
    return not run.customer_list_id and run.audience_id == last.audience_id and run.action not in _HARMLESS


def _is_untracked_change(run: _Run, last: _Run, writers: Collection[str | None]) -> bool:
    """Whether the list's members are unknown after `run`: an erasure, a failed mirror, or a killed run.

    `last`: the list's last run. `writers`: the workflows that write to the list, or erase.
    """
    is_mirror = run.action in _MIRRORING and not run.customer_list_id and run.audience_id == last.audience_id
    is_killed = run.outcome == FAILED and not run.action and not run.audience_id and run.workflow in writers
    return run.action == _ERASING or is_mirror or is_killed
