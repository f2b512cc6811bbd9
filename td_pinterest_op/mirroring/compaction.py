"""How the ledger is made small again: a row for each member, in place of every change.

A compaction holds what the ledger says once a plan is settled, and its number comes right after that plan's: whatever
is written meanwhile counts on top of it. It is valid when it is whole; two at once write the same. What it makes void
is taken out last. A run that dies in between leaves rows that no query looks at.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from td_pinterest_op.errors import ExportError, StoppedError
from td_pinterest_op.mirroring.ledger import Ledger, State, of_plan
from td_pinterest_op.mirroring.plan import NEWEST, judged
from td_pinterest_op.mirroring.stage import Stage

log = logging.getLogger(__name__)

# Rows a member at which the ledger is made small, and plans whose numbers a query has to name.
_ROWS, _MARGIN, _PLANS = 3, 100, 1000


def is_due(entries: int, members: int, state: State) -> bool:
    """Return whether the ledger is large enough, by rows that are not void or by plans, to be compacted."""
    return entries > _ROWS * members + _MARGIN or len(state.sent) > _PLANS


def compact(stage: Stage, ledger: Ledger, state: State, *, entries: int, members: int) -> None:
    """Make the ledger small if that is due. A failure is a warning: the next run tries again.

    `state`: after the run, with every plan settled. `entries`: the rows that are not void; void ones are taken out.
    """
    try:
        if is_due(entries, members, state):
            number = _write_members(stage, ledger, state, members)
            state = replace(state, base=number or state.base)
            entries = members
        if state.base and state.entries > entries + members + _MARGIN:
            stage.run("take out of the ledger what is void", ledger.forget(state.base))
    except StoppedError:
        raise
    except ExportError as error:
        log.warning("the ledger could not be made small; the next run tries again: %s", error)


def _write_members(stage: Stage, ledger: Ledger, state: State, members: int) -> int | None:
    """Write a row for each member; returns the compaction's number once it is valid, None if it is not whole."""
    number = state.seen + 1
    stage.run("write a row for each member into the ledger", ledger.insert(_members(ledger, state, number)))
    written = stage.records("count them", _count(ledger, number))[0]["digests"]
    if written != members:
        log.warning("the ledger could not be made small: %s rows were written, not %s", written, members)
        return None
    mark = ledger.mark(
        "compacted",
        plan=number,
        figure=members,
        resent=int(state.is_adopted),
        ad_account_id=state.ad_account_id,
        customer_list_id=state.customer_list_id,
    )
    stage.run("let them replace the older rows", mark)
    return number


def _members(ledger: Ledger, state: State, number: int) -> str:
    rows = f"""\
SELECT CASE state WHEN 'in' THEN 'member' ELSE 'unsure' END AS op, digest, joined
FROM (
  SELECT digest, joined, {judged(state)}
  FROM (
    SELECT digest, {NEWEST}
    FROM (SELECT digest, plan, op, coalesce(joined, plan) AS joined {ledger.entries(state)}) AS entries
    GROUP BY digest))
WHERE state <> 'out'"""
    return of_plan(rows, plan=number)


def _count(ledger: Ledger, number: int) -> str:
    written = ledger.written(State(number=number, seen=number - 1))
    return f"SELECT count(digest) AS digests FROM ({written}) WHERE op IN ('member', 'unsure')"
