"""The columns, rows and SQL of the history table. A row is about a try of a run, a status check or a comparison."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from td_pinterest_op.pinterest.api import AudienceCondition, classify_audience_status
from td_pinterest_op.redaction.secret import defuse_templates, mask_and_escape
from td_pinterest_op.treasure_data.quoting import quote_literal, quote_name

_LONGEST_FREE_TEXT = 1000

RUN_ROW = "run"
STATUS_CHECK_ROW = "follow-up"
LIFT_ROW = "lift"
SUCCESS_OUTCOME = "success"
FAILED_OUTCOME = "failed"

HistoryRow = Mapping[str, Any]
"""Values by column name. A missing column is NULL."""

# To add a column that is no statistic (stats.py):
# 1. Name it below, and fill it in: for every row in task_runtime/outcome.py, for a status check in status.py, for a
#    lift in `build_lift_row`. Test it in tests/e2e/test_history_setting.py.
# 2. If the report shows it, add it to report/page.html (tests/unit/report/test_page.py).

# `task` is the full name: several tasks of a workflow may do the same to one audience. `lists_…`: the jobs of these
# queries.
_TEXT_COLUMNS = """
kind outcome workflow session_time session_uuid attempt_id version summary error task action ad_account_id audience_id
audience_name audience_status customer_list_id customer_list_status previous_customer_list_id job_id
rows_invalid_by_reason mirror_mode lists_suppress lists_consent lift
"""
# `time`: when the row was written. `members`: the records known to be in the audience.
_INTEGER_COLUMNS = """
time audience_size is_usable is_dry_run rows_read rows_valid rows_invalid records_unique records_duplicate records_sent
records_refused records_keys records_invalid_keys requests_sent requests_retried requests_failed values_plain
values_hashed records_withheld_suppressed records_withheld_without_consent records_withheld_control members mirror_plan
mirror_people mirror_members mirror_joined mirror_resent mirror_left mirror_unsure erasure_accounts erasure_lists
"""
# `match_ratio`: the audience's size at a status check, relative to its members.
_DOUBLE_COLUMNS = "seconds_reading seconds_sending seconds_waiting match_ratio"

COLUMN_TYPES: Mapping[str, str] = {
    **dict.fromkeys(_TEXT_COLUMNS.split(), "varchar"),
    **dict.fromkeys(_INTEGER_COLUMNS.split(), "bigint"),
    **dict.fromkeys(_DOUBLE_COLUMNS.split(), "double"),
}
"""The columns, with Trino's types. Most hold a statistic of a run: `rows_read` is `rows.read`.

Tables of earlier versions lack some.
"""

# Text from elsewhere, which could name a person or a secret.
_UNTRUSTED_TEXT_COLUMNS = ("audience_name", "summary", "error")
_JSON_COLUMNS = ("rows_invalid_by_reason", "lift")


def flatten(
    mapping: Mapping[str, Any], prefix: str = "", *, separator: str = "_", nested_names: Collection[str] = _JSON_COLUMNS
) -> dict[str, Any]:
    """Return a nested mapping as a flat one with lower-case names: {"rows": {"read": 1}} as {"rows_read": 1}.

    A mapping whose flat name is in `nested_names` stays a mapping.
    """
    values: dict[str, Any] = {}
    for name, value in mapping.items():
        full = f"{prefix}{name}".lower()
        if isinstance(value, Mapping) and full not in nested_names:
            values |= flatten(value, f"{full}{separator}", separator=separator, nested_names=nested_names)
        else:
            values[full] = value
    return values


def convert_flags_to_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with the numbers `is_dry_run` and `is_usable` in place of `dry_run` and `usable`.

    Statistics have these as booleans, which Treasure Data's tables do not know, and tables of 0.4.0 as text.
    """
    converted = dict(values)
    for name in ("dry_run", "usable"):
        value = converted.pop(name, None)
        if value is not None and converted.get(f"is_{name}") is None:
            converted[f"is_{name}"] = int(str(value).lower() in ("true", "1"))
    return converted


def build_run_row(statistics: Mapping[str, Any]) -> HistoryRow:
    """Return the history row of a run. `statistics`: as they are stored for digdag."""
    values = convert_flags_to_columns(flatten(statistics))
    row = {name: values[name] for name in COLUMN_TYPES.keys() & values.keys()}
    if not values.get("mirror_mode"):  # a mirror's figures are all zero for any other action
        row = {name: value for name, value in row.items() if not name.startswith("mirror_")}
    texts = {name: json.dumps(row[name]) for name in _JSON_COLUMNS if row.get(name) is not None}
    return {"kind": RUN_ROW, **row, **texts}


def build_status_check_row(audience: Mapping[str, Any]) -> HistoryRow:
    """Return the history row of a status check. `audience`: as the check stores it for digdag."""
    values = convert_flags_to_columns(audience)
    row = {name: value for name, value in values.items() if name in COLUMN_TYPES}
    figures = {"audience_status": audience.get("status"), "audience_size": audience.get("size")}
    return {"kind": STATUS_CHECK_ROW, **figures, **row}


def build_lift_row(figures: Mapping[str, Any]) -> HistoryRow:
    """Return the history row of a lift comparison. `figures`: the result of `compare_with_control_group`."""
    return {"kind": LIFT_ROW, "summary": figures.get("summary"), "lift": json.dumps(figures)}


def build_insert_statement(table: str, rows: Sequence[HistoryRow]) -> str:
    """Return an INSERT statement for rows, without the columns that have no value."""
    columns = [column for column in COLUMN_TYPES if any(row.get(column) is not None for row in rows)]
    names = ", ".join(map(quote_name, columns))
    tuples = ([_format_literal(column, row.get(column)) for column in columns] for row in rows)
    values = ",\n".join(f"  ({', '.join(literals)})" for literals in tuples)
    return (
        f"-- td_pinterest_op: the history of this run\nINSERT INTO {quote_name(table)} ({names})\n"
        f"SELECT * FROM (VALUES\n{values}\n) AS given ({names})"
    )


def build_control_run_count_query(table: str, *, audience_id: str) -> str:
    """Return a query for the number of an audience's `runs` that withheld a control group."""
    return (
        f"-- td_pinterest_op: the control groups of this audience\nSELECT count(*) AS runs FROM {quote_name(table)} "
        f"WHERE audience_id = {quote_literal(audience_id)} AND records_withheld_control > 0"
    )


def build_history_query(table: str, audience_ids: Collection[str]) -> str:
    """Return a query for all rows about the audiences, or about runs that may concern them, the oldest first.

    Such runs name no audience, or a customer list that the audiences have had.
    """
    name = quote_name(table)
    ids = ", ".join(map(quote_literal, audience_ids))
    # All columns: a table of 0.4.0 has others. Of rows of the same second, a failure counts as the last.
    return (
        f"-- td_pinterest_op: what the history knows of these audiences\nSELECT * FROM {name}\n"
        f"WHERE audience_id IN ({ids}) OR (kind = {quote_literal(RUN_ROW)} AND (audience_id IS NULL\n"
        f"  OR customer_list_id IN (SELECT customer_list_id FROM {name} WHERE audience_id IN ({ids}))))\n"
        "ORDER BY time, outcome DESC"
    )


def find_last_matched_size(rows: Sequence[HistoryRow], audience_id: str) -> int | None:
    """Return an audience's size at its last status check that followed matching, or None. `rows`: oldest first."""
    size = None
    for row in rows:
        is_check = row["kind"] == STATUS_CHECK_ROW and row["audience_id"] == audience_id
        is_matched = classify_audience_status(row["audience_status"] or "") is not AudienceCondition.MATCHING
        if is_check and is_matched and row["audience_size"] is not None:
            size = int(row["audience_size"])
    return size


def find_known_member_count(rows: Sequence[HistoryRow], audience_id: str, list_id: str) -> int | None:
    """Return the number of records in an audience's customer list, or None if it is not known. `rows`: oldest first.

    The last run that may have touched the list decides: after a mirror, create, replace or clear that succeeded, the
    number is known.
    """
    members = None
    for row in rows:
        wrote_nothing = row["requests_sent"] == 0 and row["members"] is None
        if row["kind"] != RUN_ROW or wrote_nothing or convert_flags_to_columns(row).get("is_dry_run"):
            continue
        # A killed run may have named neither list nor audience nor its requests.
        if row["customer_list_id"]:
            may_have_touched = row["customer_list_id"] == list_id
        else:
            may_have_touched = row["audience_id"] in (audience_id, None)
        if may_have_touched:
            members = row["members"] if row["outcome"] == SUCCESS_OUTCOME else None
    return None if members is None else int(members)


def _format_literal(column: str, value: Any) -> str:
    if value is None:
        return "NULL"
    if COLUMN_TYPES[column] == "bigint":
        return str(int(value))
    if COLUMN_TYPES[column] == "double":
        return f"{value:.6E}"
    text = str(value)
    # Only free text is masked: the ids of sessions look like those of devices.
    free = (
        mask_and_escape(" ".join(text.split()), longest=_LONGEST_FREE_TEXT)
        if column in _UNTRUSTED_TEXT_COLUMNS
        else defuse_templates(text)
    )
    return quote_literal(free)
