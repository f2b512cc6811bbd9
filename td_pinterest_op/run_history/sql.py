"""SQL for the history table, in Trino's dialect.

Each statement begins with a line that names its purpose. A retried attempt may write a row twice: readers take the last
one of each session, attempt, task, audience and action.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

from td_pinterest_op.identifiers.sql import quote_literal, quote_name
from td_pinterest_op.redaction.format import break_templates, sanitize
from td_pinterest_op.run_history.audience_history import COLUMNS_READ
from td_pinterest_op.run_history.columns import COLUMNS, FAILED, FOLLOW_UP, RUN, Column, Row

_LONGEST_TEXT = 1000


def create_table(table: str) -> str:
    """Return the statements that create the history table, or add missing columns to an older one."""
    name = quote_name(table)
    columns = ",\n".join(f"  {_format_column(column)}" for column in COLUMNS)
    later = (
        f";\nALTER TABLE {name} ADD COLUMN IF NOT EXISTS {_format_column(column)}"
        for column in COLUMNS
        if column.is_later
    )
    return (
        "-- td_pinterest_op: the table of the history\n"
        f"CREATE TABLE IF NOT EXISTS {name} (\n{columns}\n){''.join(later)}"
    )


def insert_rows(table: str, rows: Sequence[Row], *, unless: str = "") -> str:
    """Return the statement that inserts rows, unless the query `unless` returns a row. Leaves out unused columns."""
    columns = [column for column in COLUMNS if any(row.get(column.name) is not None for row in rows)]
    names = ", ".join(quote_name(column.name) for column in columns)
    tuples = ([_quote_value(column, row.get(column.name)) for column in columns] for row in rows)
    values = ",\n".join(f"  ({', '.join(literals)})" for literals in tuples)
    condition = f"\nWHERE NOT EXISTS ({unless})" if unless else ""
    return (
        f"-- td_pinterest_op: the history of this run\nINSERT INTO {quote_name(table)} ({names})\n"
        f"SELECT * FROM (VALUES\n{values}\n) AS given ({names}){condition}"
    )


def select_failures(table: str, *, session_uuid: str, attempt_id: str, task: str) -> str:
    """Return the query for failed runs of one attempt, in tasks whose full names begin with `task`."""
    return (
        f"SELECT 1 FROM {quote_name(table)} WHERE session_uuid = {quote_literal(session_uuid)} "
        f"AND attempt_id = {quote_literal(attempt_id)} AND outcome = {quote_literal(FAILED)} "
        f"AND starts_with(task, {quote_literal(task)})"
    )


def select_audience_rows(table: str, audience_ids: Collection[str]) -> str:
    """Return the query for the rows that `build_audience_history` needs about some audiences."""
    name, ids = quote_name(table), ", ".join(map(quote_literal, audience_ids))
    return (
        "-- td_pinterest_op: what the history knows of these audiences\n"
        f"SELECT {', '.join(map(quote_name, COLUMNS_READ))} FROM {name}\n"
        f"WHERE (kind = {quote_literal(FOLLOW_UP)} AND audience_id IN ({ids}))\n"
        f"  OR (kind = {quote_literal(RUN)} AND (audience_id IS NULL OR audience_id IN ({ids})\n"
        f"    OR customer_list_id IN (SELECT customer_list_id FROM {name} WHERE audience_id IN ({ids}))))"
    )


def _format_column(column: Column) -> str:
    """Return a column's name and SQL type, for CREATE TABLE."""
    return f"{quote_name(column.name)} {'varchar' if column.type == 'json' else column.type}"


def _quote_value(column: Column, value: Any) -> str:
    if value is None:
        return "NULL"
    if column.type == "bigint":
        return str(int(value))
    if column.type == "double":
        return f"{float(value):.6E}" if math.isfinite(value) else "NULL"
    if column.type == "boolean":
        return str(bool(value)).upper()
    text = str(value)
    # Only free text is masked: the ids of sessions look like those of devices.
    free = sanitize(" ".join(text.split()), longest=_LONGEST_TEXT) if column.is_free else break_templates(text)
    return quote_literal(free)
