"""What a mirror run checks before it writes: the ledger, a first run, a second rebuild, and how many people leave."""

import logging

from td_pinterest_op.errors import NOTHING_SENT, LimitError, MirrorError
from td_pinterest_op.mirroring.ledger import Ledger, LedgerPlans
from td_pinterest_op.records.limits import build_limit_advice
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.stats import MirrorFigures

log = logging.getLogger(__name__)

_DEFAULT_MAX_LEAVE_RATIO = 0.2
_REBUILD_ADVICE = (
    "To go on, set rebuild: true for one run, which replaces the people of the audience and starts the ledger again"
)


def replaces_everybody(state: LedgerPlans, settings: ExportSettings) -> bool:
    """Return whether a run replaces everybody in the audience. Any other run sends only the changes."""
    if settings.rebuild:
        return True
    if state.settled:
        return state.replacing > state.settled  # a replace that may have been sent in part
    return settings.begin != "adopt"


def check_ledger(ledger: Ledger, settings: ExportSettings, *, customer_list_id: str) -> None:
    """Raise MirrorError if the ledger has lost rows, or is about another ad account or customer list.

    A run that replaces everybody may begin with any ledger. `customer_list_id`: the list that the audience uses.
    """
    state = ledger.state
    if replaces_everybody(state, settings):
        return
    if state.has_lost_rows:
        raise MirrorError(
            f"the ledger {ledger.name} has lost what was older than plan {state.oldest} of audience "
            f"{ledger.jobs.audience_id}: somebody has dropped the table, or deleted its rows",
            sent=NOTHING_SENT,
            advice=f"{_REBUILD_ADVICE}. A ledger must not expire",
        )
    of_ledger = (state.ad_account_id, state.customer_list_id)
    if state.settled and of_ledger != (settings.ad_account_id, customer_list_id):
        raise MirrorError(
            f"the audience uses customer list {customer_list_id} of ad account {settings.ad_account_id} now, but the "
            f"mirror has filled list {state.customer_list_id} of ad account {state.ad_account_id}: somebody else has "
            "switched the audience, or ad_account_id is another",
            sent=NOTHING_SENT,
            advice=_REBUILD_ADVICE,
        )


def warn_of_second_rebuild(state: LedgerPlans, settings: ExportSettings) -> None:
    """Log a warning if this run is a rebuild and the run before has replaced everybody, too."""
    # The newest settled plan is a replace, without a compaction since.
    ends_with_replace = state.settled == state.base != state.compacted
    if settings.rebuild and ends_with_replace:
        log.warning(
            "rebuild: true replaces everybody in the audience and orphans a customer list, and so did the run before. "
            "It is meant for one run: leave it out of the settings"
        )


def check_first_run(state: LedgerPlans, settings: ExportSettings, *, audience_size: int | None) -> None:
    """Raise LimitError if a first run meets people in the audience, and `begin` does not say whether they stay.

    `audience_size`: None if unknown.
    """
    # An earlier try has passed this check and may have filled the audience itself.
    is_first = not state.settled and not state.replacing
    if is_first and audience_size != 0 and not settings.rebuild and settings.begin is None:
        raise LimitError(
            "the mirror has not filled this audience yet, and the audience may have people (counted by Pinterest: "
            f"{audience_size or 'not known'})",
            sent=NOTHING_SENT,
            advice="Set begin: replace to replace them with the people of the query, or begin: adopt to keep them",
        )


def check_leave_ratio(figures: MirrorFigures, settings: ExportSettings, *, leavers: int) -> None:
    """Raise LimitError if a greater share of the members would leave than `max_leave_ratio` allows.

    `leavers`: the members who are not among the query's people any more. A run that replaces everybody has them too.
    """
    limit = settings.max_leave_ratio
    if limit is None:
        limit = _DEFAULT_MAX_LEAVE_RATIO
    # Without a settled plan there are no members.
    if leavers / max(figures.members, 1) > limit:
        raise LimitError(
            f"{leavers:,} of {figures.members:,} members would leave, a greater share than max_leave_ratio allows "
            f"({limit}); the query finds {figures.people:,} people",
            sent=NOTHING_SENT,
            advice=build_limit_advice("max_leave_ratio"),
        )
