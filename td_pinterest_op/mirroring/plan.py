"""Compare the people of the query with the ledger, in the warehouse: what a run changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.errors import LimitError
from td_pinterest_op.mirroring.ledger import Ledger, State, mark_select, plan_select
from td_pinterest_op.settings.table import Begin, Settings
from td_pinterest_op.stats import WITHHELD
from td_pinterest_op.withholding.sql import parse_amounts, sum_by_reason

REPLACE, DIFFERENCE = "replace", "difference"
_DAY = 86_400_000  # milliseconds
# Where Pinterest demands a record, an empty list has one that belongs to nobody.
_NOBODY = 1
_REBUILD = "set rebuild: true for one run to replace the people of the audience and start the ledger again"
_WITHHELD = "({})".format(", ".join(f"'{why}'" for why in WITHHELD))
# The counts of a change: digests; values, hashed values, rows, and rows with an invalid value; rows of the ledger.
_AMOUNTS = ("people", "given", "hashed", "row_count", "invalid_rows", "entries")
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in _AMOUNTS)


def choose_mode(state: State, settings: Settings) -> str:
    """Return REPLACE to replace everybody, or DIFFERENCE to send the changes only."""
    if settings.rebuild:
        return REPLACE
    if not state.settled:
        return DIFFERENCE if settings.begin is Begin.ADOPT else REPLACE
    return REPLACE if state.replacing > state.settled else DIFFERENCE


def check_state(state: State, settings: Settings, *, customer_list_id: str, people: int) -> None:
    """Raise LimitError if the ledger is about another audience, or if a first run would remove people.

    `customer_list_id` and `people` are those of the audience now; a plan that replaces everybody needs no ledger.
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
                f"{state.customer_list_id}: somebody else has switched it. Nothing was sent. To go on, {_REBUILD}"
            )
    # A first replace that was not settled was allowed.
    is_first = not state.settled and not state.replacing
    if is_first and people > _NOBODY and not settings.rebuild and settings.begin is None:
        raise LimitError(
            f"the mirror has not filled this audience yet, but it already has {people:,} people. Nothing was sent. Set "
            "begin: replace to replace them with the people of the query, or begin: adopt to keep them"
        )


def check_leavers(figures: "Figures", state: State, settings: Settings) -> None:
    """Raise LimitError if a greater share of the members would leave than the settings allow."""
    if state.settled and figures.leave > settings.max_leave_ratio * figures.members:
        raise LimitError(
            f"{figures.leave:,} of {figures.members:,} members would leave, a greater share than max_leave_ratio "
            f"allows ({settings.max_leave_ratio}); the query finds {figures.people:,} people. Nothing was sent. "
            "Correct the query, or raise max_leave_ratio for one run"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The numbers of a run's changes, as counted by the warehouse.

    `rejected`: values by reason. `withheld`: digests by reason. `people`: those of the query who may be sent.
    `members`: by the ledger. `resent_to`: the last turn that is sent again. `entries`: rows of the ledger, not void.
    """

    given: int
    hashed: int
    row_count: int
    invalid_rows: int
    rejected: Mapping[str, int]
    withheld: Mapping[str, int]
    people: int
    members: int
    join: int
    leave: int
    resent: int
    resent_to: str
    entries: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Figures":
        """Return the figures in a row of `figures_query`."""
        return cls(**{**row, "rejected": parse_amounts(row["rejected"]), "withheld": parse_amounts(row["withheld"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The SQL that compares a run's people with the ledger. `ledger`: None before the table exists.

    `people` is a table or SELECT of `withholding.sql.people_select`, `changes` one of `changes_select`.
    """

    ledger: Ledger | None
    state: State
    mode: str
    resend_days: int

    def changes_select(self, people: str) -> str:
        """Return the SELECT of each digest's change: join, leave, due (may be sent again), stay or out.

        It also has the reasons for which values are rejected and people withheld. Digests without a change are only
        counted. `turn` orders digests by their last join, the oldest first.
        """
        replaces = self.mode == REPLACE
        due_before = f"(cast(floor(to_unixtime(now()) / 86400) AS bigint) - {self.resend_days} + 1) * {_DAY}"
        due = "" if replaces or not self.resend_days else f"\n      WHEN joined < {due_before} THEN 'due'"
        return f"""\
SELECT op, member, turn, digest, {_SUMS}
FROM (
  SELECT op, member, {", ".join(_AMOUNTS)},
    CASE WHEN op = 'due' THEN cast(joined AS varchar) || substr(digest, 1, 4) END AS turn,
    CASE WHEN op NOT IN ('out'{"" if replaces else ", 'stay'"}) THEN digest END AS digest
  FROM (
    SELECT digest, joined, state <> 'out' AS member, given, hashed, row_count, invalid_rows, entries,
      CASE WHEN digest IN {_WITHHELD} THEN people ELSE 1 END AS people, CASE
      WHEN digest IN {_WITHHELD} THEN 'withheld'
      WHEN length(digest) < 64 THEN 'rejected'
      WHEN given = 0 THEN CASE state WHEN 'out' THEN 'out' ELSE 'leave' END
      WHEN state <> 'in' THEN 'join'{due}
      ELSE 'stay' END AS op
    FROM (
      SELECT digest, joined, {", ".join(_AMOUNTS)}, {membership_sql(self.state)}
      FROM (
      SELECT digest, {NEWEST}, {_SUMS}
      FROM ({self._ledger_rows_select()}
      SELECT answer AS digest, cast(NULL AS bigint) AS plan, cast(NULL AS varchar) AS op,
        cast(NULL AS bigint) AS joined, people, given, hashed, row_count, invalid_rows, 0 AS entries
      FROM ({people})) AS entries
      GROUP BY digest))))
GROUP BY op, member, turn, digest"""

    def _ledger_rows_select(self) -> str:
        """Return the SELECT of the ledger's valid rows, before a UNION ALL. "" without a ledger."""
        if self.ledger is None:
            return ""
        return f"""\
      SELECT digest, plan, op, coalesce(joined, plan) AS joined, 0 AS people, 0 AS given, 0 AS hashed, 0 AS row_count,
        0 AS invalid_rows, 1 AS entries
      {self.ledger.entries_from(self.state)}
      UNION ALL """

    def figures_query(self, changes: str) -> str:
        """Return the query of `Figures`, which returns one row."""
        settled_day = self.state.settled // _DAY
        return f"""\
SELECT coalesce(sum(given), 0) AS given, coalesce(sum(hashed), 0) AS hashed,
  coalesce(sum(row_count), 0) AS row_count, coalesce(sum(invalid_rows), 0) AS invalid_rows,
  {sum_by_reason("reason", "given", where="op = 'rejected'")} AS rejected,
  {sum_by_reason("reason", "people", where="op = 'withheld'")} AS withheld,
  coalesce(sum(CASE WHEN op IN ('join', 'stay', 'due') THEN people END), 0) AS people,
  coalesce(sum(CASE WHEN member THEN people END), 0) AS members,
  coalesce(sum(CASE WHEN op = 'join' THEN people END), 0) AS "join",
  coalesce(sum(CASE WHEN op = 'leave' THEN people END), 0) AS leave,
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
      floor(to_unixtime(now()) / 86400) AS day, {max(self.resend_days, 1)}e0 AS days
    FROM (
      SELECT op, member, turn, reason, {_SUMS}
      FROM (
        SELECT op, member, turn, CASE WHEN op IN ('rejected', 'withheld') THEN digest END AS reason,
          {", ".join(_AMOUNTS)}
        FROM {changes})
      GROUP BY op, member, turn, reason)))"""

    def plan_statement(self, changes: str, *, resent_to: str, **proof: int | str) -> str:
        """Return the INSERT of the plan. `proof`: the columns of the row that proves that the plan is complete."""
        assert self.ledger, "a plan is for an audience that exists"  # noqa: S101
        chosen = (
            "op IN ('join', 'stay')"
            if self.mode == REPLACE
            else f"op IN ('join', 'leave') OR (op = 'due' AND turn <= '{resent_to}')"
        )
        number = self.state.number
        rows = f"""\
SELECT CASE op WHEN 'leave' THEN 'leave' ELSE 'join' END AS op, digest,
    CASE op WHEN 'leave' THEN NULL ELSE {number} END AS joined
  FROM {changes} WHERE {chosen}"""
        op = "replacing" if self.mode == REPLACE else "planned"
        proof_select = mark_select(op, plan=number, joined=self.state.seen, **proof)
        return self.ledger.insert_statement(f"{plan_select(rows, plan=number)}\nUNION ALL {proof_select}")


# The newest of a digest's rows in `entries`.
NEWEST = "max(entries.plan) AS plan, max_by(op, entries.plan) AS op, max_by(joined, entries.plan) AS joined"


def membership_sql(state: State) -> str:
    """Return the SQL of whether a digest is in, out or unsure, by its newest row. `state`: that of the ledger."""
    return f"""CASE
        WHEN plan IS NULL THEN 'out'
        WHEN op = 'member' OR (op = 'join' AND plan IN {state.sent_sql}) THEN 'in'
        WHEN op = 'leave' AND plan IN {state.sent_sql} THEN 'out'
        ELSE 'unsure' END AS state"""
