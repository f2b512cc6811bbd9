"""Keeps a mirror's ledger small: from time to time, one row for each member takes the place of all its rows."""

import logging

from td_pinterest_op.errors import ExportError, StoppedError
from td_pinterest_op.mirroring.ledger import Ledger, LedgerPlans

log = logging.getLogger(__name__)

# The ledger is compacted at this many rows for each member, with a margin, at this many plans, since queries name each,
# or if somebody left this long ago: with daily runs, nobody stays longer than thirty days.
_MOST_ROWS_PER_MEMBER = 3
_ROWS_MARGIN = 100
_MOST_PLANS = 1000
_OLDEST_LEAVER_MILLIS = 29 * 86_400_000


def compact_if_due(ledger: Ledger, *, member_count: int, row_count: int, oldest_leaver_plan: int) -> None:
    """Compact the ledger if that is due, and delete void rows, always. Every plan must be settled.

    A failure is only logged: the next run tries again. `row_count`: the rows with a digest that no newer row makes
    void. `oldest_leaver_plan`: the oldest plan of a digest that is neither in the query nor in the audience, 0 for
    none. Raises StoppedError.
    """
    try:
        if _is_due(
            ledger.state, member_count=member_count, row_count=row_count, oldest_leaver_plan=oldest_leaver_plan
        ) and not ledger.insert_compaction(member_count=member_count):
            log.warning(
                "the ledger was not compacted, as another number of members was written than it has; the next "
                "run tries again"
            )
            return
        ledger.delete_void_rows()
    except StoppedError:
        raise
    except ExportError as error:
        log.warning("the ledger could not be compacted; the next run tries again: %s", error)


def _is_due(state: LedgerPlans, *, member_count: int, row_count: int, oldest_leaver_plan: int) -> bool:
    is_large = row_count > _MOST_ROWS_PER_MEMBER * member_count + _ROWS_MARGIN
    has_many_plans = len(state.settled_keys) > _MOST_PLANS
    has_old_leaver = 0 < oldest_leaver_plan < state.number - _OLDEST_LEAVER_MILLIS
    return is_large or has_many_plans or has_old_leaver
