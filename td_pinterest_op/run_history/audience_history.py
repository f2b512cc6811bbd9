"""Derives from history rows the size of each audience at its last status check, and the number of records in each list.

The number of records in a list is known if nothing wrote the list but one create or replace, or a mirror that began
without other people in the list, and no failure or erasure came later.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from td_pinterest_op.identifiers.hashing_sql import quote_literal, quote_name
from td_pinterest_op.run_history.table import FAILED, FOLLOW_UP, RUN, SUCCESS, Row

COLUMNS_READ = (
    *("time", "kind", "outcome", "workflow", "action", "audience_id", "audience_size", "audience_status"),
    *("customer_list_id", "dry_run", "requests_sent", "members", "mirror_mode"),
)
"""The columns of the history table that `build_audience_history` needs."""

_FILLING = frozenset({"create_new_audience", "replace_current_audience", "clear_current_audience"})
_MIRROR = "mirror_current_audience"
# In 0.3, a mirror was a workflow of several actions; the workflow wrote rows as well.
_MIRRORING = frozenset({"mirror", _MIRROR})
_ERASING = "erase"
# Actions that have not changed the audience's list if they fail and their row names no list.
_HARMLESS = frozenset({*_FILLING, "create_actalike_audience", "delete_current_audience"})


class ListSize(NamedTuple):
    """The known number of records in a customer list. `is_from_one_run`: whether a single run sent all of them."""

    record_count: int
    is_from_one_run: bool


class AudienceHistory(NamedTuple):
    """Sizes of audiences at their last status checks, by audience id, and known sizes of customer lists, by list id."""

    audience_sizes: Mapping[str, int]
    list_sizes: Mapping[str, ListSize]


def build_history_query(table: str, audience_ids: Collection[str]) -> str:
    """Return a query for the rows of the history table that `build_audience_history` needs about some audiences."""
    name, ids = quote_name(table), ", ".join(map(quote_literal, audience_ids))
    return (
        "-- td_pinterest_op: what the history knows of these audiences\n"
        f"SELECT {', '.join(map(quote_name, COLUMNS_READ))} FROM {name}\n"
        f"WHERE (kind = {quote_literal(FOLLOW_UP)} AND audience_id IN ({ids}))\n"
        f"  OR (kind = {quote_literal(RUN)} AND (audience_id IS NULL OR audience_id IN ({ids})\n"
        f"    OR customer_list_id IN (SELECT customer_list_id FROM {name} WHERE audience_id IN ({ids}))))"
    )


def build_audience_history(rows: Iterable[Row]) -> AudienceHistory:
    """Return the audience sizes and list sizes that rows of the history show. The rows may be in any order."""
    ordered = sorted(({**row, "time": int(row["time"] or 0)} for row in rows), key=lambda row: row["time"])
    audience_sizes = {
        str(row["audience_id"]): int(row["audience_size"])
        for row in ordered
        if row["kind"] == FOLLOW_UP
        and row["audience_size"] is not None
        and not str(row["audience_status"]).endswith("INITIALIZING")
    }
    runs = [row for row in ordered if row["kind"] == RUN and _may_have_written(row)]
    lists = dict.fromkeys(run["customer_list_id"] for run in runs if run["customer_list_id"])
    list_sizes = {list_id: size for list_id in lists if (size := _find_list_size(list_id, runs))}
    return AudienceHistory(audience_sizes=audience_sizes, list_sizes=list_sizes)


def _may_have_written(run: Row) -> bool:
    """Whether a run may have changed its audience. True for a failed run without statistics."""
    is_unknown = run["outcome"] == FAILED and run["requests_sent"] is None
    return not run["dry_run"] and bool(run["requests_sent"] or run["members"] is not None or is_unknown)


def _has_sent_whole_list(run: Row) -> bool:
    """Whether a run alone sent all the records that its customer list contained afterwards."""
    return run["members"] is not None and (run["action"] in _FILLING or run["mirror_mode"] == "replace")


def _find_list_size(list_id: str, runs: Sequence[Row]) -> ListSize | None:
    """Return the number of records in a customer list, or None if the rows of `runs` leave the number open."""
    list_runs = [run for run in runs if run["customer_list_id"] == list_id]
    # Of runs of the same second: a failure, then an add after a remove.
    last_run = min(list_runs, key=lambda run: (-run["time"], run["outcome"] != FAILED, run["action"] or ""))
    counting_runs = [run for run in list_runs if run["members"] is not None and run["workflow"] == last_run["workflow"]]
    beginnings = [run["time"] for run in counting_runs if run["action"] == _MIRROR or _has_sent_whole_list(run)]
    is_shared = any(run["members"] is None and run["outcome"] == SUCCESS for run in list_runs)
    if last_run["members"] is None or last_run["outcome"] == FAILED or is_shared or not beginnings:
        return None
    workflows = {run["workflow"] for run in runs if run["customer_list_id"] == list_id or run["action"] == _ERASING}
    known_since = min(beginnings)
    if any(_is_untracked_change(run, last_run, size_known_since=known_since, workflows=workflows) for run in runs):
        return None
    return ListSize(record_count=last_run["members"], is_from_one_run=_has_sent_whole_list(last_run))


def _is_untracked_change(run: Row, last_run: Row, *, size_known_since: int, workflows: Collection[str | None]) -> bool:
    """Whether a run that failed, or erased people, may have changed a list in a way that the history does not tell."""
    action, is_killed = run["action"], run["outcome"] == FAILED and run["requests_sent"] is None
    is_unnamed = not run["customer_list_id"] and run["audience_id"] == last_run["audience_id"]
    is_nameless = is_killed and not run["audience_id"] and run["workflow"] in workflows
    # A killed create by name may have added people to an existing audience (`if_exists`).
    is_harmless = action in _HARMLESS and not (is_nameless and action == "create_new_audience")
    is_change = (is_unnamed or is_nameless or action == _ERASING) and not is_harmless
    # A mirror's next run makes the size known again. A row without an action may be a mirror's.
    is_mirror = action in _MIRRORING or (is_nameless and not action)
    return is_change and bool(run["time"] >= (last_run["time"] if is_mirror else size_known_since))
