"""What rows of the history say of an audience: its size at the last status check, the number of records in its list."""

from collections.abc import Collection, Sequence

from td_pinterest_op.identifiers.hashing_sql import quote_literal, quote_name
from td_pinterest_op.run_history.history_table import FOLLOW_UP, RUN, SUCCESS, Row, convert_booleans


def build_history_query(table: str, audience_ids: Collection[str]) -> str:
    """Return a query for the rows about some audiences, or about runs that name no audience, the oldest first."""
    name = quote_name(table)
    ids = ", ".join(map(quote_literal, audience_ids))
    # All columns: a table of 0.4.0 has others. Of rows of the same second, a failure counts as the last.
    return (
        f"-- td_pinterest_op: what the history knows of these audiences\nSELECT * FROM {name}\n"
        f"WHERE audience_id IN ({ids}) OR (kind = {quote_literal(RUN)} AND (audience_id IS NULL\n"
        f"  OR customer_list_id IN (SELECT customer_list_id FROM {name} WHERE audience_id IN ({ids}))))\n"
        "ORDER BY time, outcome DESC"
    )


def find_size(rows: Sequence[Row], audience_id: str) -> int | None:
    """Return the size of an audience at its last status check after Pinterest's matching, or None."""
    sizes = [
        int(row["audience_size"])
        for row in rows
        if row["kind"] == FOLLOW_UP
        and row["audience_id"] == audience_id
        and row["audience_size"] is not None
        and not str(row["audience_status"]).endswith("INITIALIZING")
    ]
    return sizes[-1] if sizes else None


def find_members(rows: Sequence[Row], audience_id: str, list_id: str) -> int | None:
    """Return the number of records that the operator knows to be in the audience's list, or None.

    It is known from the last run that may have touched the list, if that run succeeded and knew it: a mirror, or a
    create, replace or clear.
    """
    runs = [row for row in rows if row["kind"] == RUN and _may_have_touched(row, audience_id, list_id)]
    if not runs or runs[-1]["outcome"] != SUCCESS or runs[-1]["members"] is None:
        return None
    return int(runs[-1]["members"])


def _may_have_touched(run: Row, audience_id: str, list_id: str) -> bool:
    """Whether a run may have written to a list. A killed run may not have named list and audience, nor its requests."""
    is_dry_run = convert_booleans(run).get("is_dry_run")
    if is_dry_run or (run["requests_sent"] == 0 and run["members"] is None):
        return False
    if run["customer_list_id"]:
        return bool(run["customer_list_id"] == list_id)
    return run["audience_id"] in (audience_id, None)
