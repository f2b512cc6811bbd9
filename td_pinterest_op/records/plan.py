"""What an export will do, as text for the log, and the limits that stop it before the first write."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from td_pinterest_op.errors import InvalidRowsError, LimitError
from td_pinterest_op.settings.parse import Settings
from td_pinterest_op.stats import Stats
from td_pinterest_op.treasure_data.job import QUERY, Origin

# Row numbers that an error names.
NAMED_ROWS = 10
_OR_SKIP = "or set ignore_invalid_records: true to skip and count such rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an export is about to do.

    `changes`: one sentence for each thing that will be created, changed or left behind. `writes`: the requests for
    them, in addition to the batches.
    """

    changes: Sequence[str]
    writes: int
    batches: int
    requests_per_minute: int
    dry_run: bool

    @classmethod
    def of(cls, settings: Settings, *, batches: int, changes: Sequence[str], writes: int) -> Plan:
        """The plan of an export."""
        return cls(
            changes=changes,
            writes=writes,
            batches=batches,
            requests_per_minute=settings.requests_per_minute,
            dry_run=settings.dry_run,
        )

    @property
    def requests(self) -> int:
        """All writes, those of the batches included."""
        return self.writes + self.batches

    @property
    def minutes(self) -> float:
        """How long the requests take at the rate limit."""
        return self.requests / self.requests_per_minute

    def text(self, stats: Stats) -> str:
        """The plan in a few lines, for the log."""
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(stats.invalid_by_reason.items()))
        lines = [
            "plan (dry run: nothing will be written):" if self.dry_run else "plan:",
            f"  rows      {stats.read:,} read, {stats.valid:,} valid, {stats.invalid:,} invalid"
            + (f" ({reasons})" if reasons else ""),
            f"  records   {stats.unique:,} unique, {stats.duplicate:,} duplicate",
            f"  requests  {self.requests:,} to write ({self.batches:,} of records), "
            f"at most {self.requests_per_minute:,} a minute: {self._duration()}",
            *(f"  change    {change}" for change in self.changes),
        ]
        return "\n".join(lines)

    def _duration(self) -> str:
        return f"{math.ceil(self.minutes):,} min" if self.minutes > 1 else "under a minute"


def check_values(stats: Stats, *, skip_invalid: bool, first_invalid: Sequence[int], origin: Origin = QUERY) -> None:
    """Raise InvalidRowsError for an invalid value, or with `skip_invalid` if values are invalid and none is valid."""
    invalid, fix = _invalid(stats, first_invalid, origin), f"Nothing was sent. Correct {origin.name}"
    if stats.invalid and not skip_invalid:
        raise InvalidRowsError(f"{invalid}. {fix}, {_OR_SKIP}")
    if stats.invalid > stats.invalid_by_reason["null"] and not stats.unique:
        # Not what allow_empty is about: sent as a replace, it would empty the audience.
        raise InvalidRowsError(f"{invalid}: there is no valid record. {fix}")


def check_rows(settings: Settings, stats: Stats, *, first_invalid: Sequence[int], origin: Origin = QUERY) -> None:
    """Raise when the rows must not be sent: InvalidRowsError as `check_values`, LimitError for a limit that was set."""
    check_values(stats, skip_invalid=settings.ignore_invalid_records, first_invalid=first_invalid, origin=origin)
    share = stats.invalid_rows / max(stats.read, 1)
    if share > settings.max_invalid_ratio:
        raise LimitError(
            f"{_invalid(stats, first_invalid, origin)}: a share of {share:.4f} of the rows, more than "
            f"max_invalid_ratio allows ({settings.max_invalid_ratio}). Nothing was sent"
        )
    if not stats.unique and not settings.allow_empty:
        raise LimitError(
            f"there is no valid record to send ({stats.read:,} rows read, {stats.invalid:,} invalid). "
            "Nothing was sent. Set allow_empty: true if an empty result is expected (add and remove then do nothing, "
            "create makes an empty audience, replace clears the audience)"
        )
    for name, limit, broken in (
        ("min_records", settings.min_records, settings.min_records is not None and stats.unique < settings.min_records),
        ("max_records", settings.max_records, settings.max_records is not None and stats.unique > settings.max_records),
    ):
        if broken:
            raise LimitError(f"{stats.unique:,} unique records are outside {name} ({limit:,}). Nothing was sent")


def _invalid(stats: Stats, first_invalid: Sequence[int], origin: Origin) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in stats.invalid_by_reason.most_common())
    rows = ", ".join(map(str, first_invalid[:NAMED_ROWS]))
    more = ", …" if len(first_invalid) > NAMED_ROWS else ""
    values = stats.valid + stats.invalid
    # With several columns a row has several values, or none.
    of = f"{stats.read:,} rows" if values == stats.read else f"{values:,} values in {stats.read:,} rows"
    first = f"the first are in {origin.unit}s" if len(first_invalid) > 1 else f"the first is in {origin.unit}"
    return (
        f"{stats.invalid:,} of {of} {'is' if stats.invalid == 1 else 'are'} invalid ({reasons}); {first} {rows}{more}"
    )
