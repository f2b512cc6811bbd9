"""Trino's SQL of the history table, as files for workflows/queries; digdag fills in `${…}`.

A template puts the statistics into the SQL as one JSON text with its quotes doubled: no value can end the text, and
what is absent is NULL. A row may be written twice (a repeated attempt): whoever reads the table takes the last one of
each session, attempt, audience and action (a day of the mirror takes people out and adds others).
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

from td_pinterest_op.run_history.columns import COLUMNS, FOLLOW_UP, LIFT, RUN, Column
from td_pinterest_op.stats import LISTS, WITHHELD

TABLE = "${history.table}"

# What a workflow knows by itself. Its `_error` makes one paragraph of the error's message.
_KNOWN = {
    "time": "CAST(to_unixtime(current_timestamp) AS bigint)",
    "workflow": "'${task_name.split(/[+^]/)[1]}'",
    "session_time": "'${session_time}'",
    "session_uuid": "'${session_uuid}'",
    "attempt_id": "'${attempt_id}'",
}
_OF_INTENT = "coalesce(json_extract_scalar(run, '$.{0}'), json_extract_scalar(intent, '$.{0}'))".format
_OF_RUN = _KNOWN | {
    "kind": f"coalesce(json_extract_scalar(intent, '$.kind'), '{RUN}')",
    "outcome": '\'${typeof error === "undefined" ? "success" : "failed"}\'',
    **{name: _OF_INTENT(name) for name in ("action", "ad_account_id", "audience_id", "customer_list_id")},
    "members": f"CAST({_OF_INTENT('members')} AS bigint)",
    # The mirror withholds people before it sends.
    **{f"records_withheld_{why}": f"CAST({_OF_INTENT(f'records.withheld.{why}')} AS bigint)" for why in WITHHELD},
    **{f"lists_{name}": f"nullif({_OF_INTENT(f'lists.{name}')}, '')" for name in LISTS},
    "error": (
        """nullif('${typeof error === "undefined" ? "" : error.message.substring(0, 1000).replace(/'/g, "''")}', '')"""
    ),
}
_OF_FOLLOW_UP = _KNOWN | {
    "kind": f"'{FOLLOW_UP}'",
    "outcome": "'success'",
    "ad_account_id": "'${pinterest_status.ad_account_id}'",
}
_OF_LIFT = _KNOWN | {
    "kind": f"'{LIFT}'",
    "outcome": "'success'",
    "ad_account_id": "'${target.ad_account_id}'",
    "audience_id": "'${lift.audience_id}'",
    "summary": "json_extract_scalar(lift, '$.summary')",
    "lift": "json_format(lift)",
}


def _json(*paths: str) -> str:
    """A template for the first of these parameters that there is, as JSON in an SQL text; `null` if there is none."""
    first = '"null"'
    for path in reversed(paths):
        first = f"""typeof {path.split(".")[0]} === "undefined" ? {first} : JSON.stringify({path})"""
    return f"${{({first}).replace(/'/g, \"''\")}}"


def _insert(values: Mapping[str, str]) -> str:
    """Columns are named: one that is left out is NULL."""
    names = [column.name for column in COLUMNS if column.name in values]
    selected = ",\n".join(f"  {values[name]} AS {name}" for name in names)
    listed = fill(", ".join(names), width=116, initial_indent="  ", subsequent_indent="  ")
    return f"INSERT INTO {TABLE} (\n{listed}\n)\nSELECT\n{selected}"


def _value(column: Column, source: str, path: str | None) -> str:
    if column.type == "json":
        return f"json_format(json_extract({source}, '$.{path}'))"
    value = f"json_extract_scalar({source}, '$.{path}')"
    return value if column.type == "varchar" else f"CAST({value} AS {column.type})"


def _type(column: Column) -> str:
    return "varchar" if column.type == "json" else column.type


_COLUMNS = ",\n".join(f"  {column.name} {_type(column)}" for column in COLUMNS)
_LATER = "".join(
    f";\nALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS {column.name} {_type(column)}"
    for column in COLUMNS
    if column.is_later
)
_RUN = {column.name: _value(column, "run", column.run) for column in COLUMNS if column.run}
_AUDIENCE = {column.name: _value(column, "audience", column.follow_up) for column in COLUMNS if column.follow_up}

FILES = {
    "history_table.sql": f"""\
-- The history: one row for each run of a workflow, and one for each audience of a follow-up.
CREATE TABLE IF NOT EXISTS {TABLE} (
{_COLUMNS}
){_LATER}
""",
    "history_run.sql": f"""\
-- The row of a run: what the operator stored, or what the workflow set out to do (`intent`).
{_insert(_RUN | _OF_RUN)}
FROM (
  SELECT
    json_parse('{_json("pinterest", "pinterest_erasure")}') AS run,
    json_parse('{_json("intent")}') AS intent
) AS given
""",
    "history_status.sql": f"""\
-- A row for each audience that the follow-up read.
{_insert(_AUDIENCE | _OF_FOLLOW_UP)}
FROM UNNEST(CAST(json_parse('{_json("pinterest_status.audiences")}') AS array(json))) AS given (audience)
""",
    "history_lift.sql": f"""\
-- The row of a comparison with the control group: its figures as one JSON text.
{_insert(_OF_LIFT)}
FROM (SELECT json_parse('{_json("td.last_results")}') AS lift) AS given
""",
}
"""The text of each query, by file name."""
