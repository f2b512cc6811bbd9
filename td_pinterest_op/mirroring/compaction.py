"""Compact the ledger: replace all changes by a row for each member.

A compaction is the state of the ledger after a settled plan, and has the next number: what is written meanwhile has a
higher one and counts as well. It is valid when it is complete; two at once write the same. The rows that it makes void
are deleted last. A run that dies before leaves rows that no query reads.
"""

import logging
from dataclasses import replace

from td_pinterest_op.errors import ExportError, StoppedError
from td_pinterest_op.mirroring.ledger import Ledger, State, plan_select
from td_pinterest_op.mirroring.plan import NEWEST, membership_sql
from td_pinterest_op.mirroring.stage import Stage

log = logging.getLogger(__name__)

# The rows for each member, and the plans whose numbers a query has to name, at which the ledger is compacted.
_ROWS, _MARGIN, _PLANS = 3, 100, 1000


def is_due(entries: int, members: int, state: State) -> bool:
    """Return whether the ledger has enough valid rows (`entries`) or plans to be compacted."""
    return entries > _ROWS * members + _MARGIN or len(state.sent) > _PLANS


def compact(stage: Stage, ledger: Ledger, state: State, *, entries: int, members: int) -> None:
    """Compact the ledger if that is due, and delete void rows. A failure is a warning: the next run tries again.

    `state`: after the run, with every plan settled. `entries`: the rows that are not void.
    """
    try:
        if is_due(entries, members, state):
            number = _write_members(stage, ledger, state, members)
            state = replace(state, base=number or state.base)
            entries = members
        if state.base and state.entries > entries + members + _MARGIN:
            stage.run("delete void rows from the ledger", ledger.delete_statement(state.base))
    except StoppedError:
        raise
    except ExportError as error:
        log.warning("the ledger could not be compacted; the next run tries again: %s", error)


def _write_members(stage: Stage, ledger: Ledger, state: State, members: int) -> int | None:
    """Write a row for each member. Return the compaction's number, None if it is not complete."""
    number = state.seen + 1
    stage.run(
        "write a row for each member into the ledger", ledger.insert_statement(_members_select(ledger, state, number))
    )
    written = stage.read_records("count them", _count_written_select(ledger, number))[0]["digests"]
    if written != members:
        log.warning("the ledger could not be compacted: %s rows were written instead of %s", written, members)
        return None
    mark = ledger.mark_statement(
        "compacted",
        plan=number,
        figure=members,
        resent=int(state.is_adopted),
        ad_account_id=state.ad_account_id,
        customer_list_id=state.customer_list_id,
    )
    stage.run("let them replace the older rows", mark)
    return number


def _members_select(ledger: Ledger, state: State, number: int) -> str:
    """Return a SELECT of the rows that a compaction writes, one for each digest that is in or unsure."""
    rows = f"""\
SELECT CASE state WHEN 'in' THEN 'member' ELSE 'unsure' END AS op, digest, joined
FROM (
  SELECT digest, joined, {membership_sql(state)}
  FROM (
    SELECT digest, {NEWEST}
    FROM (SELECT digest, plan, op, coalesce(joined, plan) AS joined {ledger.entries_from(state)}) AS entries
    GROUP BY digest))
WHERE state <> 'out'"""
    return plan_select(rows, plan=number)


def _count_written_select(ledger: Ledger, number: int) -> str:
    """Return the query that counts the members' rows that a compaction has written."""
    written = ledger.written_query(State(number=number, seen=number - 1))
    return f"SELECT count(digest) AS digests FROM ({written}) WHERE op IN ('member', 'unsure')"
