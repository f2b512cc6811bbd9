"""Build the SQL that compares the people of a mirror's query with its ledger, and counts what a run changes.

From the inside out: the rows of ledger and query, a digest's state, its change, the counts.
"""

from td_pinterest_op.mirroring.ledger import Ledger
from td_pinterest_op.stats import WITHHELD_REASONS
from td_pinterest_op.trino.withholding_sql import BLANK_ROW_SQL, build_reasons_text_sql

_DAY_MILLIS = 86_400_000
_WITHHELD_REASONS = "({})".format(", ".join(f"'{why}'" for why in WITHHELD_REASONS))
# The counts of digests, values, hashed values, rows, rows with an invalid value, and valid rows of the ledger.
_COUNT_COLUMNS = ("people", "given", "hashed", "row_count", "invalid_rows", "ledger_rows")
_SUMS_SQL = ", ".join(f"sum({name}) AS {name}" for name in _COUNT_COLUMNS)


def build_changes_select(people_select: str, *, ledger: Ledger, replaces_everybody: bool, resend_days: int) -> str:
    """Return the SELECT that compares the query's people with the ledger, and decides on the change of each digest.

    The column `op` is the change: join, leave, due (a member who is sent again), stay (any other member) or out (not a
    member, before or after). If `op` is rejected or withheld, `digest` is a reason; if it is unreadable, `digest` is a
    text from the ledger that is no digest. `oldest` is the oldest of the newest plans of the digests in a row.

    Two columns are about the ledger. `was_member`: 1 if the newest settled plan with the digest made it a member, else
    0. It is what a refused record leaves the person, and counts for max_leave_ratio, which an unsettled plan must not
    change. `is_member`: the same, but 0 for whoever an unsettled plan makes leave, whom max_leave_ratio has counted in
    that plan's run.

    `people_select`: has the columns of `build_withholding_select`. `resend_days`: each member is due once within them.
    """
    state = ledger.state
    # Without rows, the ledger's table may be missing.
    ledger_select = f"""\
      SELECT digest, plan, precedence, state,
        0 AS people, 0 AS given, 0 AS hashed, 0 AS row_count, 0 AS invalid_rows, 1 AS ledger_rows
      FROM ({ledger.build_states_select()})
      UNION ALL """
    due = ""
    if not replaces_everybody:
        # Digests and UTC days have one of `resend_days` buckets each: a run sends those of the days since the last
        # settled plan.
        today = state.number // _DAY_MILLIS
        days = range(max(state.settled // _DAY_MILLIS + 1, today - resend_days + 1), today + 1)
        if buckets := ", ".join(map(str, sorted(day % resend_days for day in days))):
            due = f"\n      WHEN from_base(substr(digest, 1, 6), 16) % {resend_days} IN ({buckets}) THEN 'due'"
    without_rows = "('out')" if replaces_everybody else "('out', 'stay')"
    return f"""\
-- digests that need no row are counted together
SELECT op, was_member, is_member, CASE WHEN op NOT IN {without_rows} THEN digest END AS digest, {_SUMS_SQL},
  min(plan) AS oldest
FROM (
    -- its change
    SELECT digest, plan, was_member, CASE state WHEN 'leaving' THEN 0 ELSE was_member END AS is_member,
      given, hashed, row_count, invalid_rows, ledger_rows,
      CASE WHEN digest IN {_WITHHELD_REASONS} THEN people ELSE 1 END AS people, CASE
      WHEN ledger_rows > 0 AND NOT regexp_like(digest, '\\A[0-9a-f]{{64}}\\z') THEN 'unreadable'
      WHEN digest IN {_WITHHELD_REASONS} THEN 'withheld'
      WHEN length(digest) < 64 THEN 'rejected'
      WHEN given = 0 THEN CASE state WHEN 'out' THEN 'out' ELSE 'leave' END
      WHEN state <> 'in' THEN 'join'{due}
      ELSE 'stay' END AS op
    FROM (
      -- its state, in one row per digest
      SELECT digest, max(digest_rows.plan) AS plan, coalesce(max_by(state, precedence), 'out') AS state,
        {_SUMS_SQL},
        coalesce(max_by(CASE state WHEN 'in' THEN 1 ELSE 0 END,
          CASE WHEN state NOT IN ('joining', 'leaving') THEN precedence END), 0) AS was_member
      FROM ({ledger_select if state.seen else ""}
      SELECT answer AS digest, cast(NULL AS bigint) AS plan, cast(NULL AS bigint) AS precedence,
        cast(NULL AS varchar) AS state, people, given, hashed, row_count, invalid_rows, 0 AS ledger_rows
      FROM ({people_select}){BLANK_ROW_SQL}, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0) AS digest_rows
      GROUP BY digest))
GROUP BY 1, 2, 3, 4"""


def build_change_counts_query(changes_table: str) -> str:
    """Return the query for the counts of a mirror run, in one row. `changes_table`: see `build_changes_select`.

    `oldest_leaver` is the plan of the oldest of those who are out. `ledger_rows` are those with a digest that no newer
    row makes void, and `unreadable` those of them whose digest is not 64 hex digits.
    """
    return f"""\
SELECT coalesce(sum(given), 0) AS given, coalesce(sum(hashed), 0) AS hashed,
  coalesce(sum(row_count), 0) AS row_count, coalesce(sum(invalid_rows), 0) AS invalid_rows,
  {build_reasons_text_sql("digest", "given", where="op = 'rejected' AND given > 0")} AS rejected,
  {build_reasons_text_sql("digest", "people", where="op = 'withheld'")} AS withheld,
  coalesce(sum(CASE WHEN op IN ('join', 'stay', 'due') THEN people END), 0) AS people,
  coalesce(sum(CASE WHEN is_member = 1 THEN people END), 0) AS members,
  coalesce(sum(CASE WHEN op = 'join' THEN people END), 0) AS "join",
  coalesce(sum(CASE WHEN op = 'leave' THEN people END), 0) AS leave,
  coalesce(sum(CASE WHEN op = 'leave' AND is_member = 1 THEN people END), 0) AS leavers,
  coalesce(sum(CASE WHEN op = 'due' THEN people END), 0) AS resent,
  coalesce(sum(CASE WHEN op = 'unreadable' THEN ledger_rows END), 0) AS unreadable,
  coalesce(min(CASE WHEN op = 'out' THEN oldest END), 0) AS oldest_leaver,
  coalesce(sum(ledger_rows), 0) AS ledger_rows
FROM {changes_table}"""
