"""An entry of an audience's history: a run, a status check, or a comparison with the control group."""

import contextlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS
from td_pinterest_op.redaction.secret import mask_sensitive_data
from td_pinterest_op.run_history.history_table import (
    COLUMN_TYPES,
    FAILED_OUTCOME,
    RUN_ROW,
    SUCCESS_OUTCOME,
    convert_flags_to_columns,
)
from td_pinterest_op.runtime.text import parse_whole_number


@dataclass(frozen=True, kw_only=True)
class ReportEntry:
    """An entry of a report."""

    kind: str  # RUN_ROW, STATUS_CHECK_ROW or LIFT_ROW (a comparison)
    outcome: str  # SUCCESS_OUTCOME or FAILED_OUTCOME
    at: datetime | None  # when it ran, in UTC
    values: Mapping[str, Any] = field(repr=False)  # figures and ids, by column of the history table
    invalid_by_reason: Mapping[str, int]  # the most frequent first
    lift: Mapping[str, float | None] = field(repr=False)  # figures of a comparison

    def get_text(self, name: str) -> str:
        """Return a column's value as masked text, or "" if it is not known."""
        value = self.values.get(name)
        return "" if value is None else mask_sensitive_data(str(value))

    def get_number(self, name: str) -> float | None:
        """Return a column's value as a number (a count as an `int`), or None if it is not known."""
        return _parse_number(self.values.get(name))

    @property
    def is_dry_run(self) -> bool:
        """Whether the entry is a dry run."""
        return str(self.values.get("is_dry_run")) == "1"

    @property
    def is_mirror(self) -> bool:
        """Whether the run sent only the differences between the query's people and the audience's."""
        return bool(self.get_text("mirror_mode"))

    @property
    def is_erasure(self) -> bool:
        """Whether the run removed people from every customer list of an ad account."""
        return self.values.get("action") == "erase"

    @property
    def action_word(self) -> str:
        """A word for the entry: "Replaced" for a run ("Replace" if failed or dry), "Follow-up" or "Lift"."""
        action = self.get_text("action")
        if self.kind != RUN_ROW or not action:
            return self.kind.capitalize()
        verb = action.partition("_")[0]
        if not self.is_dry_run and self.outcome != FAILED_OUTCOME:
            verb = verb.removesuffix("e") + "ed"
        return verb.capitalize()

    @property
    def value_count(self) -> float | None:
        """The number of values in a run's rows, or None if it is not known."""
        valid, invalid = map(self.get_number, ("rows_valid", "rows_invalid"))
        return None if valid is None or invalid is None else valid + invalid


def build_entry(row: Mapping[str, Any]) -> ReportEntry:
    """Return the entry for a row of the history, or for what `build_run_row` returns."""
    # Only what is known by name: a table can have any columns.
    values = {name: value for name, value in convert_flags_to_columns(row).items() if name in COLUMN_TYPES}
    reasons = _parse_json_mapping(values.pop("rows_invalid_by_reason", None))
    counts = Counter({name: parse_whole_number(reasons[name]) or 0 for name in reasons if name in REASON_EXPLANATIONS})
    # A report quotes no query engine: rows of earlier versions hold its words as it wrote them.
    message = str(values.get("error") or "")
    return ReportEntry(
        kind=str(values.get("kind")),
        outcome=FAILED_OUTCOME if message or values.get("outcome") == FAILED_OUTCOME else SUCCESS_OUTCOME,
        at=parse_time(values.get("time")),
        values=values | {"error": message},
        invalid_by_reason=dict((+counts).most_common()),
        lift={name: _parse_number(value) for name, value in _parse_json_mapping(values.get("lift")).items()},
    )


def parse_time(value: object) -> datetime | None:
    """Return a time (seconds since 1970 or ISO 8601 text) in UTC, or None for anything else."""
    seconds = _parse_number(value)
    try:
        if seconds is not None:
            return datetime.fromtimestamp(seconds, timezone.utc)
        time = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return None
    return time.astimezone(timezone.utc) if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _parse_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def _parse_json_mapping(value: object) -> Mapping[str, Any]:
    parsed = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            parsed = json.loads(value)
    return parsed if isinstance(parsed, Mapping) else {}
