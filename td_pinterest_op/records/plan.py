"""The plan of an export, as text for the log."""

import math
from collections.abc import Sequence

from td_pinterest_op.records.limits import format_reasons
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import Stats

_MEMBERS_REMAIN = (
    "  note      withheld people who are already in the audience remain in it: pinterest_erase.dig removes them"
)


def describe_plan(settings: Settings, stats: Stats, *, batches: int, changes: Sequence[str], request_count: int) -> str:
    """Return a description of a planned export for the log.

    `changes`: a sentence for each thing to create, change or orphan. `request_count`: of requests without records.
    """
    reasons = format_reasons(stats.invalid_by_reason)
    action = settings.action
    leaves_members = not action.drops_members and (not action.only_once or settings.if_exists == "add")
    pace = settings.requests_per_minute
    minutes = (request_count + batches) / pace
    lines = [
        "plan (dry run: nothing will be written):" if settings.dry_run else "plan:",
        f"  rows      {stats.read:,} read, {stats.valid:,} valid, {stats.invalid_count:,} invalid"
        + (f" ({reasons})" if reasons else ""),
        f"  records   {stats.unique:,} unique, {stats.duplicate:,} duplicate",
        *([f"  withheld  {stats.withheld_text}"] if stats.withheld.total() else []),
        f"  requests  {request_count + batches:,} to write ({batches:,} of records), at most {pace:,} a minute: "
        + (f"{math.ceil(minutes):,} min" if minutes > 1 else "under a minute"),
        *(f"  change    {change}" for change in changes),
        *([_MEMBERS_REMAIN] if stats.list_jobs and leaves_members else []),
    ]
    return "\n".join(lines)
