"""Derives from history rows the size of each audience at the last follow-up, and the number of records in each list.

The number of records in a list is known if it was written by nothing but one create or replace, or by a mirror that
began with its own list, and no failure or erasure came later.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from td_pinterest_op.run_history.columns import FAILED, FOLLOW_UP, RUN, SUCCESS, Row

_FILLING = frozenset({"create_new_audience", "replace_current_audience", "clear_current_audience"})
_MIRROR = "mirror_current_audience"
# In 0.3, a mirror was a workflow of several actions; the workflow wrote rows as well.
_MIRRORING = frozenset({"mirror", _MIRROR})
_ERASING = "erase"
# Actions that have not changed the audience's list if they fail and their row names no list.
_HARMLESS = frozenset({*_FILLING, *_MIRRORING, _ERASING, "delete_current_audience"})
_INITIALIZING = "INITIALIZING"


class Members(NamedTuple):
    """The number of records in a list. `is_sent`: one run sent all, so Pinterest's counters show changes by others."""

    records: int
    is_sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceHistory:
    """The sizes of audiences, by audience id, and the known members of lists, by list id."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[str, Members] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The columns of a run that decide which members are known. `members` is None if their number is not known."""

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
        """Whether the run may have changed the audience. True for a failed run without figures."""
        is_unknown = self.outcome == FAILED and self.requests_sent is None
        return not self.dry_run and bool(self.requests_sent or self.members is not None or is_unknown)

    @property
    def is_sent(self) -> bool:
        """Whether the run has sent all members of the list."""
        return self.members is not None and (self.action in _FILLING or self.mirror_mode == "replace")

    @property
    def knows_all_members(self) -> bool:
        """Whether the number of all members of the list is known after the run."""
        return self.is_sent or (self.action == _MIRROR and self.members is not None)


COLUMNS_READ = tuple(dict.fromkeys((*(each.name for each in fields(_Run)), "kind", "audience_size", "audience_status")))
"""The columns that `build_audience_history` needs."""


def build_audience_history(rows: Iterable[Row]) -> AudienceHistory:
    """Return the sizes and members that history rows, in any order, show."""
    ordered = sorted(rows, key=lambda row: int(row["time"] or 0))
    sizes = {
        str(row["audience_id"]): int(row["audience_size"])
        for row in ordered
        if row["kind"] == FOLLOW_UP
        and row["audience_size"] is not None
        and not str(row["audience_status"]).endswith(_INITIALIZING)
    }
    every = [_Run(**{name.name: row[name.name] for name in fields(_Run)}) for row in ordered if row["kind"] == RUN]
    runs = [run for run in every if run.may_have_written]
    lists = dict.fromkeys(run.customer_list_id for run in runs if run.customer_list_id)
    members = {list_id: known for list_id in lists if (known := _count_known_members(list_id, runs))}
    return AudienceHistory(sizes=sizes, members=members)


def _count_known_members(list_id: str, runs: Sequence[_Run]) -> Members | None:
    """Return the number of records in a list, None if the runs do not determine it."""
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
    """Whether a run failed, and may have changed the list of the audience without naming it in its row."""
    return not run.customer_list_id and run.audience_id == last.audience_id and run.action not in _HARMLESS


def _is_untracked_change(run: _Run, last: _Run, writers: Collection[str | None]) -> bool:
    """Whether the members are unknown after a run: an erasure, a failed mirror, or a killed run of the `writers`."""
    is_mirror = run.action in _MIRRORING and not run.customer_list_id and run.audience_id == last.audience_id
    is_killed = run.outcome == FAILED and not run.action and not run.audience_id and run.workflow in writers
    return run.action == _ERASING or is_mirror or is_killed
