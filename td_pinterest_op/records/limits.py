"""Check the limits of the settings that stop an export before the first write."""

from collections import Counter

from td_pinterest_op.errors import (
    NOTHING_SENT,
    InvalidRowsError,
    LimitError,
)
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import FOR_THIS_RUN_PARAMETER, ExportSettings, PeopleSettings
from td_pinterest_op.stats import Stats

MOST_NAMED_INVALID_ROWS = 10  # how many row numbers an error lists
TOLERATED_UNEXPECTED_SHARE = 0.01  # the part of the valid values that may be of another kind than `expect_values`


def check_invalid_values(settings: PeopleSettings, stats: Stats) -> None:
    """Raise InvalidRowsError if any value is invalid; with `ignore_invalid_records`, only if no value is valid.

    With it, all values may be NULL: `allow_empty` decides about that in `check_export_limits`.
    """
    invalid = _describe_invalid_values(stats)
    if stats.invalid_value_count and not settings.ignore_invalid_records:
        raise InvalidRowsError(
            invalid,
            sent=NOTHING_SENT,
            advice="Correct the query, or set ignore_invalid_records: true to skip and count such rows",
        )
    if stats.invalid_value_count > stats.invalid_by_reason["null"] and not stats.unique:
        # Not what allow_empty is about: sent as a replace, it would empty the audience.
        raise InvalidRowsError(f"{invalid}: there is no valid record", sent=NOTHING_SENT, advice="Correct the query")


def check_export_limits(settings: ExportSettings, stats: Stats) -> None:
    """Raise InvalidRowsError or LimitError if the counts of an export's rows break a limit in `settings`."""
    check_invalid_values(settings, stats)
    share = stats.invalid_rows / max(stats.read, 1)
    if share > settings.max_invalid_ratio:
        raise LimitError(
            f"{_describe_invalid_values(stats)}: a share of {share:.4f} of the rows, more than "
            f"max_invalid_ratio allows ({settings.max_invalid_ratio})",
            sent=NOTHING_SENT,
            advice=build_limit_advice("max_invalid_ratio"),
        )
    if not stats.unique and not settings.allow_empty:
        raise LimitError(
            f"there is no valid record to send ({stats.read:,} rows read, {stats.invalid_value_count:,} invalid)",
            sent=NOTHING_SENT,
            advice="Set allow_empty: true if an empty result is expected (add and remove then do nothing, "
            "create makes an empty audience, replace clears the audience, and mirror removes everybody from it, as far "
            "as min_records and max_leave_ratio allow)",
        )
    check_expected_value_kind(settings, stats)
    if stats.unique and not stats.allowed_count:
        raise LimitError(
            f"no records are left to send: {stats.withheld_text} withheld",
            sent=NOTHING_SENT,
            advice="Check the queries of `suppress` and `consent`, and `control`",
        )
    count = stats.allowed_count
    least = settings.min_records
    most = settings.max_records
    left = f"{count:,} unique records" + (f", without {stats.withheld_text}," if stats.withheld.total() else "")
    if least is not None and count < least:
        raise LimitError(
            f"{left} are fewer than min_records ({least:,})",
            sent=NOTHING_SENT,
            advice=build_limit_advice("min_records"),
        )
    if most is not None and count > most:
        raise LimitError(
            f"{left} are more than max_records ({most:,})", sent=NOTHING_SENT, advice=build_limit_advice("max_records")
        )


def build_limit_advice(setting: str) -> str:
    """Return the advice of an error about a limit, with how to change this `setting` for one run."""
    return (
        f"Correct the query, or change {setting} for one run, with the parameter "
        f'{FOR_THIS_RUN_PARAMETER}: {{"{setting}": …}}'
    )


def check_expected_value_kind(settings: ExportSettings, stats: Stats) -> None:
    """Raise LimitError if more than 1 % of the valid values are not of the kind that `expect_values` names."""
    expected = settings.expect_values
    other = stats.hashed_values if expected == "plain" else stats.plain_values
    valid = stats.plain_values + stats.hashed_values
    if expected != "any" and other > valid * TOLERATED_UNEXPECTED_SHARE:
        masks = ": a policy of Treasure Data may mask some, and digests of masks match nobody"
        raise LimitError(
            f"expect_values is {expected}, but {other:,} of {valid:,} valid values are not",
            sent=NOTHING_SENT,
            advice=f"Check the columns of the query{masks if expected == 'plain' else ''}",
        )


def _describe_invalid_values(stats: Stats) -> str:
    rows = ", ".join(map(str, stats.first_invalid))
    values = stats.valid + stats.invalid_value_count
    noun = "row" if len(stats.first_invalid) == 1 else "rows"
    where = f"; the first in {noun} {rows}" if rows else ""  # a warehouse that has judged the rows does not number them
    return (
        f"{stats.invalid_value_count:,} of {format_count(values, 'value')} in {format_count(stats.read, 'row')} "
        f"invalid ({format_reason_counts(stats.invalid_by_reason)}){where}"
    )


def format_reason_counts(counts: Counter[str]) -> str:
    """Return how often each reason for rejection occurs, the most frequent first: "null 3, empty 1"."""
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())
