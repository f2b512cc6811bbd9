"""Compare the people of the query with the ledger, in the warehouse: what a run changes."""

import logging

from td_pinterest_op.errors import LimitError, MirrorError
from td_pinterest_op.mirroring.ledger import NEWEST, REPLACE, Ledger, LedgerState, build_membership_sql
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import WITHHELD, MirrorFigures
from td_pinterest_op.withholding.withholding_sql import build_counts_sql

log = logging.getLogger(__name__)

DIFFERENCE = "difference"
_DAY = 86_400_000  # milliseconds
_WITHHELD = "({})".format(", ".join(f"'{why}'" for why in WITHHELD))
# The counts of a change: digests; values, hashed values, rows, and rows with an invalid value; rows of the ledger.
_AMOUNTS = ("people", "given", "hashed", "row_count", "invalid_rows", "entries")
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in _AMOUNTS)


def choose_mode(state: LedgerState, settings: Settings) -> str:
    """Return REPLACE if the run must replace everybody in the audience, or DIFFERENCE if it sends only the changes."""
    must_replace = state.replacing > state.settled if state.settled else settings.begin != "adopt"
    return REPLACE if settings.rebuild or must_replace else DIFFERENCE


def check_state(state: LedgerState, settings: Settings, *, customer_list_id: str, people: int | None) -> None:
    """Raise MirrorError if the ledger is of another ad account or customer list.

    Raises LimitError if a first run would remove people. `customer_list_id`, `people`: the audience's list at
    Pinterest, and the number of people in it; None if unknown. A run that replaces everybody needs no ledger.
    """
    of_ledger = (state.ad_account_id, state.customer_list_id)
    is_another = of_ledger != (settings.ad_account_id, customer_list_id)
    if is_another and state.settled and choose_mode(state, settings) == DIFFERENCE:
        raise MirrorError(
            f"the audience uses customer list {customer_list_id} of ad account {settings.ad_account_id} now, but the "
            f"mirror has filled list {state.customer_list_id} of ad account {state.ad_account_id}: somebody else has "
            "switched the audience, or ad_account_id is another. Nothing was sent. To go on, set rebuild: true for one "
            "run, which replaces the people of the audience and starts the ledger again"
        )
    if settings.rebuild and state.settled and state.settled == state.base != state.compacted:
        log.warning(
            "rebuild: true replaces everybody in the audience and orphans a customer list, and so did the run before. "
            "It is meant for one run: leave it out of the settings"
        )
    # A first replace that was not settled was allowed.
    is_first = not state.settled and not state.replacing
    if is_first and (people is None or people > 0) and not settings.rebuild and settings.begin is None:
        has = "may have people: how many is not known" if people is None else f"already has {people:,} people"
        raise LimitError(
            f"the mirror has not filled this audience yet, but the audience {has}. Nothing was sent. Set begin: "
            "replace to replace them with the people of the query, or begin: adopt to keep them"
        )


def check_leavers(leavers: int, figures: MirrorFigures, state: LedgerState, settings: Settings) -> None:
    """Raise LimitError if a greater share of the audience's members would leave than `max_leave_ratio` allows.

    `leavers`: the members who are no longer in the query, also if everybody is replaced.
    """
    if state.settled and leavers / max(figures.members, 1) > settings.max_leave_ratio:
        raise LimitError(
            f"{leavers:,} of {figures.members:,} members would leave, a greater share than max_leave_ratio "
            f"allows ({settings.max_leave_ratio}); the query finds {figures.people:,} people. Nothing was sent. "
            "Correct the query, or raise max_leave_ratio for one run, with the parameter "
            'settings_for_this_run: {"max_leave_ratio": …}'
        )


def build_changes_select(people: str, *, ledger: Ledger, settings: Settings) -> str:
    """Return the SELECT that compares the query's people with the ledger, and decides on the change of each digest.

    The column `op` is the change: join, leave, due (a member who is sent again), stay (any other member), refused (not
    sent, as Pinterest has refused it) or out (not a member, before or after). Rows with `op` rejected or withheld have
    a reason in place of a digest, and those with unreadable something else, from the ledger. `is_member` is 1 for a
    member before the run, else 0. One row counts nothing: whether a table made of no rows has columns is not known.
    `people`: a SELECT or table as of `build_people_select`.
    """
    state = ledger.state
    replaces = choose_mode(state, settings) == REPLACE
    # Without rows, the ledger's table may be missing.
    ledger_rows = f"""\
      SELECT digest, plan, op, 0 AS people, 0 AS given, 0 AS hashed, 0 AS row_count, 0 AS invalid_rows, 1 AS entries
      {ledger.build_digest_rows_clause()}
      UNION ALL """
    cases = "WHEN state <> 'in' THEN 'join'"
    if not replaces:
        due = build_due_condition(state, resend_days=settings.resend_days)
        cases = f"""\
WHEN state = 'refused' AND NOT {due} THEN 'refused'
      {cases}
      WHEN {due} THEN 'due'"""
    sent = ", ".join(map(str, state.sent or (0,)))
    return f"""\
SELECT op, is_member,
  CASE WHEN op NOT IN ('out', 'refused'{"" if replaces else ", 'stay'"}) THEN digest END AS digest, {_SUMS}
FROM (
    SELECT digest, CASE WHEN was_member = 1 AND last_op <> 'leave' THEN 1 ELSE 0 END AS is_member, given, hashed,
      row_count, invalid_rows, entries, CASE WHEN digest IN {_WITHHELD} THEN people ELSE 1 END AS people, CASE
      WHEN entries > 0 AND NOT regexp_like(digest, '\\A[0-9a-f]{{64}}\\z') THEN 'unreadable'
      WHEN digest IN {_WITHHELD} THEN 'withheld'
      WHEN length(digest) < 64 THEN 'rejected'
      WHEN given = 0 THEN CASE WHEN state IN ('out', 'refused') THEN 'out' ELSE 'leave' END
      {cases}
      ELSE 'stay' END AS op
    FROM (
      SELECT digest, was_member, op AS last_op, {", ".join(_AMOUNTS)}, {build_membership_sql(state.sent)}
      FROM (
      SELECT digest, {NEWEST}, {_SUMS}, max_by(CASE WHEN op IN ('leave', 'refused') THEN 0 ELSE 1 END,
        CASE WHEN op = 'member' OR entries.plan IN ({sent}) THEN entries.plan END) AS was_member
      FROM ({ledger_rows if state.entries else ""}
      SELECT answer AS digest, cast(NULL AS bigint) AS plan, cast(NULL AS varchar) AS op, people, given, hashed,
        row_count, invalid_rows, 0 AS entries
      FROM ({people})
      UNION ALL SELECT '', NULL, NULL, 0, 0, 0, 0, 0, 0) AS entries
      GROUP BY digest)))
GROUP BY 1, 2, 3"""


def build_due_condition(state: LedgerState, *, resend_days: int) -> str:
    """Return SQL that is true for a digest that is sent again in this run.

    A digest has one of `resend_days` buckets. Each UTC day has one too: a run sends those of the days since the last
    settled plan.
    """
    today = state.number // _DAY
    first = max(state.settled // _DAY + 1, today - resend_days + 1)
    buckets = sorted({day % resend_days for day in range(first, today + 1)}) if resend_days else []
    named = ", ".join(map(str, buckets))
    return f"(from_base(substr(digest, 1, 6), 16) % {resend_days} IN ({named}))" if buckets else "false"


def build_figures_query(changes: str) -> str:
    """Return the query for the counts of a mirror run, in one row: values, people, members and changes.

    `changes`: a table of `build_changes_select`. The column `given` counts values, and `hashed` those that were digests
    already. `leavers` counts members who leave, and `unreadable` the ledger's rows without a digest of 64 hex digits.
    """
    return f"""\
SELECT coalesce(sum(given), 0) AS given, coalesce(sum(hashed), 0) AS hashed,
  coalesce(sum(row_count), 0) AS row_count, coalesce(sum(invalid_rows), 0) AS invalid_rows,
  {build_counts_sql("digest", "given", where="op = 'rejected' AND given > 0")} AS rejected,
  {build_counts_sql("digest", "people", where="op = 'withheld'")} AS withheld,
  coalesce(sum(CASE WHEN op IN ('join', 'stay', 'due', 'refused') THEN people END), 0) AS people,
  coalesce(sum(CASE WHEN op = 'refused' THEN people END), 0) AS refused,
  coalesce(sum(CASE WHEN is_member = 1 THEN people END), 0) AS members,
  coalesce(sum(CASE WHEN op = 'join' THEN people END), 0) AS "join",
  coalesce(sum(CASE WHEN op = 'leave' THEN people END), 0) AS leave,
  coalesce(sum(CASE WHEN op = 'leave' AND is_member = 1 THEN people END), 0) AS leavers,
  coalesce(sum(CASE WHEN op = 'due' THEN people END), 0) AS resent,
  coalesce(sum(CASE WHEN op = 'unreadable' THEN entries END), 0) AS unreadable,
  coalesce(sum(entries), 0) AS entries
FROM {changes}"""
