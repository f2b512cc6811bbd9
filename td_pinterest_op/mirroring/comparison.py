"""Compare the people of the query with the ledger, in the warehouse: what a run changes."""

from td_pinterest_op.errors import LimitError
from td_pinterest_op.mirroring.ledger import NEWEST, Ledger, LedgerState, build_membership_sql
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import WITHHELD
from td_pinterest_op.withholding.withholding_sql import build_counts_sql

REPLACE, DIFFERENCE = "replace", "difference"
_DAY = 86_400_000  # milliseconds
_REBUILD = "set rebuild: true for one run to replace the people of the audience and start the ledger again"
_WITHHELD = "({})".format(", ".join(f"'{why}'" for why in WITHHELD))
# The counts of a change: digests; values, hashed values, rows, and rows with an invalid value; rows of the ledger.
_AMOUNTS = ("people", "given", "hashed", "row_count", "invalid_rows", "entries")
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in _AMOUNTS)


def choose_mode(state: LedgerState, settings: Settings) -> str:
    """Return REPLACE if the run must replace everybody in the audience, or DIFFERENCE if it sends only the changes."""
    must_replace = state.replacing > state.settled if state.settled else settings.begin != "adopt"
    return REPLACE if settings.rebuild or must_replace else DIFFERENCE


def check_state(state: LedgerState, settings: Settings, *, customer_list_id: str, people: int | None) -> None:
    """Raise LimitError if the ledger is of another ad account or customer list, or a first run would remove people.

    `customer_list_id`, `people`: the audience's list at Pinterest, and the number of people in it; None if unknown. A
    run that replaces everybody needs no ledger.
    """
    if state.settled and choose_mode(state, settings) == DIFFERENCE:
        if state.ad_account_id not in ("", settings.ad_account_id):
            raise LimitError(
                f"the ledger belongs to ad account {state.ad_account_id}, but the setting ad_account_id is "
                f"{settings.ad_account_id}. Nothing was sent. Correct the id, or {_REBUILD}"
            )
        if state.customer_list_id not in ("", customer_list_id):
            raise LimitError(
                f"the audience uses customer list {customer_list_id} now, but the mirror has filled list "
                f"{state.customer_list_id}: somebody else has switched the audience. Nothing was sent. To go on, "
                f"{_REBUILD}"
            )
    # A first replace that was not settled was allowed.
    is_first = not state.settled and not state.replacing
    if is_first and (people is None or people > 0) and not settings.rebuild and settings.begin is None:
        has = "may have people: how many is not known" if people is None else f"already has {people:,} people"
        raise LimitError(
            f"the mirror has not filled this audience yet, but the audience {has}. Nothing was sent. Set begin: "
            "replace to replace them with the people of the query, or begin: adopt to keep them"
        )


def build_changes_select(people: str, *, ledger: Ledger, settings: Settings) -> str:
    """Return the SELECT that compares the query's people with the ledger, and decides on the change of each digest.

    The column `op` is the change: join, leave, due (a member who may be sent again), stay (any other member) or out
    (not a member, before or after). Rows with `op` rejected or withheld have a reason in place of a digest. The column
    `turn` sorts those due by their last join. `people`: a SELECT or table as of `build_people_select`.
    """
    state, replaces = ledger.state, choose_mode(ledger.state, settings) == REPLACE
    # Without rows, the ledger's table may be missing.
    ledger_rows = f"""\
      SELECT digest, plan, op, coalesce(joined, plan) AS joined, 0 AS people, 0 AS given, 0 AS hashed, 0 AS row_count,
        0 AS invalid_rows, 1 AS entries
      {ledger.build_digest_rows_clause()}
      UNION ALL """
    due_before = f"(cast(floor(to_unixtime(now()) / 86400) AS bigint) - {settings.resend_days} + 1) * {_DAY}"
    due = "" if replaces or not settings.resend_days else f"\n      WHEN joined < {due_before} THEN 'due'"
    sent = ", ".join(map(str, state.sent or (0,)))
    return f"""\
SELECT op, member, CASE WHEN op = 'due' THEN cast(joined AS varchar) || substr(digest, 1, 4) END AS turn,
  CASE WHEN op NOT IN ('out'{"" if replaces else ", 'stay'"}) THEN digest END AS digest, {_SUMS}
FROM (
    SELECT digest, joined, coalesce(was_member AND last_op <> 'leave', false) AS member, given, hashed, row_count,
      invalid_rows, entries, CASE WHEN digest IN {_WITHHELD} THEN people ELSE 1 END AS people, CASE
      WHEN digest IN {_WITHHELD} THEN 'withheld'
      WHEN length(digest) < 64 THEN 'rejected'
      WHEN given = 0 THEN CASE state WHEN 'out' THEN 'out' ELSE 'leave' END
      WHEN state <> 'in' THEN 'join'{due}
      ELSE 'stay' END AS op
    FROM (
      SELECT digest, joined, was_member, op AS last_op, {", ".join(_AMOUNTS)}, {build_membership_sql(state.sent)}
      FROM (
      SELECT digest, {NEWEST}, {_SUMS},
        max_by(op <> 'leave', CASE WHEN op = 'member' OR entries.plan IN ({sent}) THEN entries.plan END) AS was_member
      FROM ({ledger_rows if state.entries else ""}
      SELECT answer AS digest, cast(NULL AS bigint) AS plan, cast(NULL AS varchar) AS op,
        cast(NULL AS bigint) AS joined, people, given, hashed, row_count, invalid_rows, 0 AS entries
      FROM ({people})) AS entries
      GROUP BY digest)))
GROUP BY 1, 2, 3, 4"""


def build_figures_query(changes: str, *, state: LedgerState, settings: Settings) -> str:
    """Return the query for the counts of a mirror run, in one row: values, people, members and changes.

    `changes`: a table of `build_changes_select`. The column `given` counts values, and `hashed` those that were digests
    already. `leavers` counts members who leave. `resent_to` is the highest `turn` of the digests to send again.
    """
    settled_day = state.settled // _DAY
    return f"""\
SELECT coalesce(sum(given), 0) AS given, coalesce(sum(hashed), 0) AS hashed,
  coalesce(sum(row_count), 0) AS row_count, coalesce(sum(invalid_rows), 0) AS invalid_rows,
  {build_counts_sql("reason", "given", where="op = 'rejected'")} AS rejected,
  {build_counts_sql("reason", "people", where="op = 'withheld'")} AS withheld,
  coalesce(sum(CASE WHEN op IN ('join', 'stay', 'due') THEN people END), 0) AS people,
  coalesce(sum(CASE WHEN member THEN people END), 0) AS members,
  coalesce(sum(CASE WHEN op = 'join' THEN people END), 0) AS "join",
  coalesce(sum(CASE WHEN op = 'leave' THEN people END), 0) AS leave,
  coalesce(sum(CASE WHEN op = 'leave' AND member THEN people END), 0) AS leavers,
  coalesce(sum(CASE WHEN op = 'due' AND earlier < share THEN people END), 0) AS resent,
  coalesce(max(CASE WHEN op = 'due' AND earlier < share THEN turn END), '') AS resent_to,
  coalesce(sum(entries), 0) AS entries
FROM (
  -- The share of all days since the last settled plan, but of none before the first was due, and a quarter at most.
  SELECT *, least(greatest(floor(staying / 4), 1), floor(day * staying / days) - floor((day - least(
    day - {settled_day}, day - first_day - days + 1)) * staying / days)) AS share
  FROM (
    SELECT *, sum(CASE WHEN op = 'due' THEN people ELSE 0 END) OVER (ORDER BY turn) - people AS earlier,
      cast(sum(CASE WHEN op IN ('stay', 'due') THEN people ELSE 0 END) OVER () AS double) AS staying,
      floor(cast(substr(min(turn) OVER (), 1, 13) AS bigint) / {_DAY}e0) AS first_day,
      floor(to_unixtime(now()) / 86400) AS day, {max(settings.resend_days, 1)}e0 AS days
    FROM (
      SELECT op, member, turn, CASE WHEN op IN ('rejected', 'withheld') THEN digest END AS reason, {_SUMS}
      FROM {changes}
      GROUP BY 1, 2, 3, 4)))"""
