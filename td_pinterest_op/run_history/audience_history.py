"""What the history knows of audiences: their sizes when a follow-up last saw them, and how many records are in a list.

How many records are in a list is not known if anything but one create or replace, or the mirror that began with its
own list, has written to it, nor after a failure or an erasure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from td_pinterest_op.run_history.columns import FAILED, FOLLOW_UP, RUN, SUCCESS, Row

_FILLING = frozenset({"create_new_audience", "replace_current_audience", "clear_current_audience"})
_MIRROR = "mirror_current_audience"
# That of 0.3 was a workflow of several actions, which wrote rows of its own as well.
_MIRRORING = frozenset({"mirror", _MIRROR})
_ERASING = "erase"
# What fails without a list was about the audience, except for these: they leave the present list as it is.
_HARMLESS = frozenset({*_FILLING, *_MIRRORING, _ERASING, "delete_current_audience"})
_INITIALIZING = "INITIALIZING"


class Members(NamedTuple):
    """Records in a list. `is_sent`: all were sent to it by one run, so that Pinterest counts no more uploads."""

    records: int
    is_sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceHistory:
    """`sizes` by audience, `members` by customer list; what is not known is left out."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[str, Members] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The columns of a run that matter; `members` None: not known."""

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
        return self.outcome == FAILED

    @property
    def may_have_written(self) -> bool:
        """A failed run without figures may have; one that knows of people in the list counts as well."""
        unknown = self.is_failed and self.requests_sent is None
        return not self.dry_run and bool(self.requests_sent or self.members is not None or unknown)

    @property
    def is_sent(self) -> bool:
        """Whether everybody in the list was sent by this run."""
        return self.members is not None and (self.action in _FILLING or self.mirror_mode == "replace")

    @property
    def begins(self) -> bool:
        """Whether from this run on its workflow knows everybody in the list: the mirror knows it from its ledger."""
        return self.is_sent or (self.action == _MIRROR and self.members is not None)


COLUMNS_READ = tuple(dict.fromkeys((*(each.name for each in fields(_Run)), "kind", "audience_size", "audience_status")))
"""The columns that `summarize` needs."""


def summarize(rows: Iterable[Row]) -> AudienceHistory:
    """Return what rows of the history say; any order."""
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
    found = {list_id: members for list_id in lists if (members := _members(list_id, runs))}
    return AudienceHistory(sizes=sizes, members=found)


def _members(list_id: str, runs: Sequence[_Run]) -> Members | None:
    own = [run for run in runs if run.customer_list_id == list_id]
    # Of one second: a failure, then an add after a remove.
    last = min(own, key=lambda run: (-run.time, run.outcome != FAILED, run.action or ""))
    begun = [run.time for run in own if run.begins and run.workflow == last.workflow]
    shared = any(run.members is None and run.outcome == SUCCESS for run in own)
    if last.members is None or last.is_failed or shared or not begun:
        return None
    if _last(_touching(last, runs)) >= min(begun) or _last(_disturbing(last, own, runs)) >= last.time:
        return None
    return Members(records=last.members, is_sent=last.is_sent)


def _touching(last: _Run, runs: Sequence[_Run]) -> Iterable[_Run]:
    """The failed runs that may have changed the audience's list without knowing it."""
    return (
        run
        for run in runs
        if not run.customer_list_id and run.audience_id == last.audience_id and run.action not in _HARMLESS
    )


def _disturbing(last: _Run, own: Sequence[_Run], runs: Sequence[_Run]) -> Iterable[_Run]:
    """The runs after which a list is no longer as it was: erasures, a mirror that broke off, one that was killed."""
    writers = {run.workflow for run in runs if run in own or run.action == _ERASING}
    for run in runs:
        is_mirror = run.action in _MIRRORING and not run.customer_list_id and run.audience_id == last.audience_id
        is_killed = run.is_failed and not run.action and not run.audience_id and run.workflow in writers
        if run.action == _ERASING or is_mirror or is_killed:
            yield run


def _last(runs: Iterable[_Run]) -> int:
    return max((run.time for run in runs), default=-1)
