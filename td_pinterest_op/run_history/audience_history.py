"""What the history shows of audiences: their sizes at the last follow-up, and how many records are in their lists.

The number of records in a list is known if it was written by nothing but one create or replace, or by a mirror that
began with its own list, and no failure or erasure came later.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from td_pinterest_op.run_history.columns import FAILED, FOLLOW_UP, RUN, SUCCESS, Row

_FILLING = frozenset({"create_new_audience", "replace_current_audience", "clear_current_audience"})
_MIRROR = "mirror_current_audience"
# In 0.3, a mirror was a workflow of several actions, which wrote rows of its own as well.
_MIRRORING = frozenset({"mirror", _MIRROR})
_ERASING = "erase"
# If these fail without a list, they have not changed the list of the audience.
_HARMLESS = frozenset({*_FILLING, *_MIRRORING, _ERASING, "delete_current_audience"})
_INITIALIZING = "INITIALIZING"


class Members(NamedTuple):
    """The number of records in a list. `is_sent`: one run sent all, so Pinterest's counters show others' changes."""

    records: int
    is_sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceHistory:
    """What the history knows: sizes by audience, and members by customer list."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[str, Members] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The columns that are read of a run. `members` is None if they are not known."""

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
    def is_failed(self) -> bool:
        """Whether the run failed."""
        return self.outcome == FAILED

    @property
    def may_have_written(self) -> bool:
        """Whether the run may have changed the audience. True for a failed run without figures."""
        unknown = self.is_failed and self.requests_sent is None
        return not self.dry_run and bool(self.requests_sent or self.members is not None or unknown)

    @property
    def is_sent(self) -> bool:
        """Whether this run has sent all members of the list."""
        return self.members is not None and (self.action in _FILLING or self.mirror_mode == "replace")

    @property
    def knows_all_members(self) -> bool:
        """Whether the workflow knows all members of the list from this run on."""
        return self.is_sent or (self.action == _MIRROR and self.members is not None)


COLUMNS_READ = tuple(dict.fromkeys((*(each.name for each in fields(_Run)), "kind", "audience_size", "audience_status")))
"""The columns that `build_audience_history` needs."""


def build_audience_history(rows: Iterable[Row]) -> AudienceHistory:
    """Return what history rows (in any order) say about the sizes and the members of audiences."""
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
    if last.members is None or last.is_failed or is_shared or not beginnings:
        return None
    if (
        _find_last_time(_find_failed_writers(last, runs)) >= min(beginnings)
        or _find_last_time(_find_untracked_changes(last, own, runs)) >= last.time
    ):
        return None
    return Members(records=last.members, is_sent=last.is_sent)


def _find_failed_writers(last: _Run, runs: Sequence[_Run]) -> Iterable[_Run]:
    """Return the failed runs that may have changed the audience's list without naming it."""
    return (
        run
        for run in runs
        if not run.customer_list_id and run.audience_id == last.audience_id and run.action not in _HARMLESS
    )


def _find_untracked_changes(last: _Run, own: Sequence[_Run], runs: Sequence[_Run]) -> Iterable[_Run]:
    """Yield the runs after which the members are unknown: erasures, failed mirrors, killed runs."""
    writers = {run.workflow for run in runs if run in own or run.action == _ERASING}
    for run in runs:
        is_mirror = run.action in _MIRRORING and not run.customer_list_id and run.audience_id == last.audience_id
        is_killed = run.is_failed and not run.action and not run.audience_id and run.workflow in writers
        if run.action == _ERASING or is_mirror or is_killed:
            yield run


def _find_last_time(runs: Iterable[_Run]) -> int:
    """Return the time of the newest run, -1 without runs."""
    return max((run.time for run in runs), default=-1)
