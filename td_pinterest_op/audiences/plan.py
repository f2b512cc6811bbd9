"""Describe what an export is about to do: its plan."""

from collections.abc import Sequence

from td_pinterest_op.audiences.actions.audience_action import Step
from td_pinterest_op.records.limits import format_reason_counts
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.stats import Stats

_MEMBERS_REMAIN_NOTE = (
    "  note      withheld people who are already in the audience remain in it: pinterest_erasure.dig removes them"
)


def describe_plan(settings: ExportSettings, stats: Stats, steps: Sequence[Step]) -> str:
    """Return what an export will do, in several lines. `stats`: those of its rows, which are read already."""
    reasons = format_reason_counts(stats.invalid_by_reason)
    action = settings.action
    # Nobody else is in an audience that the action creates.
    drops_others = action.drops_members or (action.only_once and settings.if_exists != "add")
    batch_count = sum(step.batch_count for step in steps)
    request_count = sum(step.request_count for step in steps) + batch_count
    lines = [
        "plan (dry run: nothing will be written):" if settings.dry_run else "plan:",
        f"  rows      {stats.read:,} read, {stats.valid:,} valid, {stats.invalid_value_count:,} invalid"
        + (f" ({reasons})" if reasons else ""),
        f"  records   {stats.unique:,} unique, {stats.duplicate:,} duplicate",
        *([f"  withheld  {stats.withheld_text}"] if stats.withheld.total() else []),
        f"  requests  {request_count:,} to write ({batch_count:,} of records), at most "
        f"{settings.requests_per_minute:,} a minute",
        *(f"  change    {step.description}" for step in steps),
        *([_MEMBERS_REMAIN_NOTE] if stats.list_jobs and not drops_others else []),
    ]
    return "\n".join(lines)
