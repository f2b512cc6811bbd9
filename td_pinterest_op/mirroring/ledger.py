"""The mirror's ledger: its rows, the statements that read and write them, and its state before a run.

The ledger is a table of digests that only grows, until it is compacted. Each row belongs to a plan: the changes of one
run, numbered by the time at which it was made, in milliseconds. A row with a digest says what its plan does with the
person:

    join, leave   is sent, to be added or removed
    in            stays in the audience, although sent: Pinterest refused the record. Or is in it, in a compaction
    out           stays out of the audience, although sent: Pinterest refused the record

A row without a digest is an event of its plan:

    planned, replacing   the plan was made: to send only changes, or to replace everybody
    settled, replaced    all of it was sent, and Pinterest has answered each batch
    compacted            the plan's rows stand for all older ones
    overtaken            the plan repeats the rows of an older one that was still being sent when a newer one was made

`plan_seen` is in the rows of the events that make a plan: the newest plan that was taken into account. `row_count` is
the number of rows with a digest that `planned`, `replacing` and `compacted` announce. `adopted` is in rows of
`compacted`: 1 if the audience may have people from before the mirror, else 0. `ad_account_id` and `customer_list_id`
are in rows of events: where the plan is sent. `session` identifies the run that wrote a row, and `time` says when.

Two runs that do not see each other's plan may give both the same number: the one that reads its plan back last stops.
A plan is settled by a row of its number and session. A plan's number is at least 2 above all that its run has seen: the
number after it is free for a compaction.

A digest is a member if its newest row in a settled plan is `join` or `in`. A row `in` or `out` counts as newer than
`join` or `leave` of its plan, and does not count until the plan is settled. If a digest's newest row is `join` or
`leave` in a plan that is not settled, it may be in the audience or not: the next plan makes it join or leave again.

Trino evaluates a CTE at every place that names it. So none is named twice, and what a run computes is in temporary
tables of its own.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from td_pinterest_op.errors import (
    NOTHING_SENT,
    ExportError,
    JobError,
    MirrorError,
    StoppedError,
)
from td_pinterest_op.http.retry import retry
from td_pinterest_op.mirroring.mirror_jobs import MirrorJobs
from td_pinterest_op.stats import MirrorFigures
from td_pinterest_op.treasure_data.quoting import quote_literal, quote_name
from td_pinterest_op.treasure_data.tables import ListedTable

log = logging.getLogger(__name__)

REPLACE_MODE = "replace"
DIFFERENCE_MODE = "difference"
"""A run replaces everybody, or sends only the changes."""
JOINERS = "join"
LEAVERS = "leave"
REPLACEMENT = "replacing"
PLAN_EVENTS = (b"planned", b"replacing")
"""The events whose `row_count` is the number of the plan's rows."""
_SETTLING_EVENTS = "('settled', 'replaced', 'compacted')"
_VOIDING_EVENTS = "('replaced', 'compacted')"
_CHANGES = "('join', 'leave')"
_STATES = "('in', 'out')"
_PLAN_KEY = "concat(cast(plan AS varchar), ' ', session)"
COLUMN_DEFINITIONS = """\
audience_id varchar, plan bigint, op varchar, digest varchar, plan_seen bigint, row_count bigint, adopted bigint,
ad_account_id varchar, customer_list_id varchar, session varchar, time bigint"""
# Queries skip rows by `time`; clocks and plan numbers may differ by up to a day.
_TIME_SLACK_SECONDS = 86_400
# The ledger is compacted at this many rows for each member, with a margin, at this many plans, since queries name each,
# or if somebody left this long ago: with daily runs, nobody stays longer than thirty days.
_COMPACTION_ROWS_PER_MEMBER = 3
_COMPACTION_ROWS_MARGIN = 100
_COMPACTION_PLANS = 1000
_COMPACT_WHEN_LEAVER_OLDER_MILLIS = 29 * 86_400_000
_LEAST_PLAN_NUMBER_GAP = 2
_TABLE_CREATION_RETRY_WAIT = 2.0
# Treasure Data takes statements of a million characters.
_MOST_DIGESTS_PER_STATEMENT = 10_000


@dataclass(frozen=True, kw_only=True)
class LedgerPlans:
    """The state of an audience's ledger before a mirror run. Plans are named by their numbers; 0 is no plan."""

    number: int  # the plan that this run makes
    seen: int = 0  # the newest plan
    settled: int = 0  # the newest plan of which all is on Pinterest, or a newer compaction
    base: int = 0  # the newest plan that makes all older rows void
    adopted: int = 0  # 1 if the audience kept people from before the ledger began (`begin: adopt`)
    compacted: int = 0  # the newest compaction
    replacing: int = 0  # the newest plan to replace everybody, settled or not
    sent: Sequence[str] = ("",)  # number and session of each settled plan or compaction: "7 0123abcd"; "" for none
    oldest: int = 0  # the oldest plan, void ones included
    # Those of the newest settled plan.
    ad_account_id: str = ""
    customer_list_id: str = ""

    @property
    def may_have_unknown_people(self) -> bool:
        """Whether the audience may contain people from before the first mirror run, who are not in the ledger."""
        return not self.base or self.adopted > 0


@dataclass(kw_only=True)
class Ledger:
    """Reads and writes an audience's rows. Methods that run statements raise JobError and TreasureDataError."""

    jobs: MirrorJobs
    name: str  # the table's
    ad_account_id: str
    exists: bool = False  # whether the table does, as `check_table` finds it
    state: LedgerPlans = LedgerPlans(number=0)  # as `load_state` reads it; later with the run's plan

    def check_table(self, table: ListedTable | None) -> None:
        """Note whether the ledger exists. `table`: None if it does not. Raises MirrorError if it is no ledger."""
        self.exists = table is not None
        if table:
            require_ledger_columns(table.columns, f"{self.jobs.database}.{self.name}")

    def create_if_missing(self) -> None:
        """Create the table, if `check_table` has found none."""
        if self.exists:
            return
        statement = f"""\
CREATE TABLE IF NOT EXISTS {self._quoted_table} ({COLUMN_DEFINITIONS})
WITH (bucketed_on = array['audience_id'], bucket_count = 512)"""
        # The job may fail while another run makes the table, and does nothing once it is there.
        create = partial(self.jobs.run, "create the ledger", statement)
        retry(create, [_TABLE_CREATION_RETRY_WAIT], on=JobError, sleep=self.jobs.td.sleep)
        self.exists = True

    def load_state(self, *, now: float) -> None:
        """Set `state` to what the ledger says about the audience. Changes no table. `now`: in Unix seconds."""
        if not self.exists:
            self.state = LedgerPlans(number=int(now * 1000))
            return
        query = f"""\
SELECT greatest(cast(to_unixtime(now()) * 1000 AS bigint), coalesce(max(plan), 0) + {_LEAST_PLAN_NUMBER_GAP}) AS number,
  coalesce(max(plan), 0) AS seen,
  coalesce(max(CASE WHEN op IN {_SETTLING_EVENTS} THEN plan END), 0) AS settled,
  coalesce(max(CASE WHEN op IN {_VOIDING_EVENTS} THEN plan END), 0) AS base,
  coalesce(max_by(adopted, CASE WHEN op IN {_VOIDING_EVENTS} THEN plan END), 0) AS adopted,
  coalesce(max(CASE WHEN op = 'compacted' THEN plan END), 0) AS compacted,
  coalesce(max(CASE WHEN op = 'replacing' THEN plan END), 0) AS replacing,
  coalesce(array_join(array_agg({_PLAN_KEY}) FILTER (WHERE op IN {_SETTLING_EVENTS}), ','), '') AS sent,
  coalesce(min(plan), 0) AS oldest,
  coalesce(max_by(ad_account_id, CASE WHEN op IN {_SETTLING_EVENTS} THEN plan END), '') AS ad_account_id,
  coalesce(max_by(customer_list_id, CASE WHEN op IN {_SETTLING_EVENTS} THEN plan END), '') AS customer_list_id
{self._from_audience_rows}"""
        (row,) = self.jobs.read_rows_as_dicts("read the state of the ledger", query)
        self.state = LedgerPlans(**{**row, "sent": row["sent"].split(",")})

    def build_states_select(self) -> str:
        """Return a SELECT of the audience's rows with a digest that count: `digest`, `plan`, `precedence`, `state`.

        `state` is what the row makes of the digest: "in" (the audience), "out" or, in a plan that is not settled,
        "joining" or "leaving". Of a digest's rows, the one of the greatest `precedence` counts.
        """
        settled = f"{_PLAN_KEY} IN ({', '.join(map(quote_literal, self.state.sent))})"
        return f"""\
SELECT digest, plan, 2 * plan + CASE WHEN op IN {_STATES} THEN 1 ELSE 0 END AS precedence, CASE
    WHEN op IN {_STATES} THEN op
    WHEN {settled} THEN CASE op WHEN 'join' THEN 'in' ELSE 'out' END
    WHEN op = 'leave' THEN 'leaving'
    ELSE 'joining' END AS state
  {self._from_audience_rows}
    AND digest IS NOT NULL AND plan BETWEEN {self.state.base} AND {self.state.seen}
    AND (op IN {_CHANGES} OR (op IN {_STATES} AND {settled}))"""

    def build_new_rows_query(self) -> str:
        """Return the query for `op`, `digest` and `row_count` of the rows written since `state` was read, by any run.

        In rows of another run, which belong to a newer plan or make the rows in `state` void, `op` is NULL.
        """
        state = self.state
        return f"""\
SELECT CASE WHEN session = '{self.jobs.token}' THEN op END AS op, digest, row_count
{self._from_audience_rows} AND time >= {state.number // 1000 - _TIME_SLACK_SECONDS}
  AND (plan > {state.seen} OR (op IN {_VOIDING_EVENTS} AND plan > {state.base}))"""

    def find_newer_plan(self) -> int | None:
        """Return the number of the newest plan that another run made after it had read this run's plan, or None."""
        plan = self.state.number
        query = (
            f"SELECT max(CASE WHEN digest IS NULL AND plan_seen >= {plan} THEN plan END) AS newest\n"
            f"{self._from_audience_rows} AND time >= {plan // 1000 - _TIME_SLACK_SECONDS}"
        )
        (row,) = self.jobs.read_rows_as_dicts("read the newest plan", query)
        newest: int | None = row["newest"]
        return newest

    def insert_plan(self, changes_select: str, figures: MirrorFigures, *, customer_list_id: str) -> None:
        """Insert this run's plan. `changes_select`: a SELECT of its `op` (join or leave) and `digest`."""
        number = self.state.number
        event = self._build_event_row_select(
            REPLACEMENT if figures.mode == REPLACE_MODE else "planned",
            plan=number,
            plan_seen=self.state.seen,
            row_count=figures.to_send_count,
            customer_list_id=customer_list_id,
        )
        plan = f"{_build_digest_rows_select(changes_select, plan=number)}\nUNION ALL {event}"
        self._insert_from_select("write the plan into the ledger", plan)

    def insert_refused_and_count_members(self, digests: Sequence[bytes], states_select: str) -> int:
        """Insert what becomes of the people of this run's plan whose records Pinterest refused.

        `states_select`: a SELECT of the `op` (in or out) and `digest` of these people, and maybe of others. Returns how
        many are "in".
        """
        number = self.state.number
        for start in range(0, len(digests), _MOST_DIGESTS_PER_STATEMENT):
            text = ",".join(digest.hex() for digest in digests[start : start + _MOST_DIGESTS_PER_STATEMENT])
            rows = (
                f"SELECT op, digest FROM ({states_select})\n"
                f"WHERE digest IN (SELECT value FROM UNNEST(split('{text}', ',')) AS refused (value))"
            )
            self._insert_from_select("note whom Pinterest refused", _build_digest_rows_select(rows, plan=number))
        query = (
            "SELECT count(DISTINCT digest) AS refused, count(DISTINCT CASE op WHEN 'in' THEN digest END) AS members\n"
            f"{self._from_audience_rows} AND {self._build_plan_condition()} AND op IN {_STATES}"
        )
        (row,) = self.jobs.read_rows_as_dicts("count them", query)
        if row["refused"] != len(digests):
            raise MirrorError(
                f"the ledger has {row['refused']:,} of {len(digests):,} refused records: an INSERT was interrupted"
            )
        members: int = row["members"]
        return members

    def settle(self, *, replaces_everybody: bool, customer_list_id: str) -> None:
        """Record that all of this run's plan was sent, and update `state`."""
        state = self.state
        number = state.number
        event = "replaced" if replaces_everybody else "settled"
        row = self._build_event_row_select(event, plan=number, customer_list_id=customer_list_id)
        self._insert_from_select("settle the plan", row)
        self.state = replace(
            state,
            seen=number,
            base=number if replaces_everybody else state.base,
            adopted=0 if replaces_everybody else state.adopted,
            sent=(*state.sent, f"{number} {self.jobs.token}"),
            customer_list_id=customer_list_id,
        )

    def _build_plan_condition(self) -> str:
        """Return a condition for the rows of this run's plan."""
        number = self.state.number
        return f"plan = {number} AND session = '{self.jobs.token}' AND time >= {number // 1000 - _TIME_SLACK_SECONDS}"

    def _insert_from_select(self, purpose: str, select: str) -> None:
        """Insert the rows of `select`, which has all columns but audience_id, session and time."""
        statement = f"""\
INSERT INTO {self._quoted_table}
  (audience_id, plan, op, digest, plan_seen, row_count, adopted, ad_account_id, customer_list_id, session, time)
SELECT {quote_literal(self.jobs.audience_id)},
  plan, op, digest, plan_seen, row_count, adopted, ad_account_id, customer_list_id,
  '{self.jobs.token}', cast(to_unixtime(now()) AS bigint)
FROM (
{select}
)"""
        self.jobs.run(purpose, statement)

    def record_changes_as_unsure(self, *changes: str) -> None:
        """Record that it is uncertain which people of this run's plan are in the audience.

        `changes`: which of JOINERS, LEAVERS and REPLACEMENT may have been sent. The next run sends the joiners and
        leavers again. It replaces everybody if they are no longer in the ledger, or after REPLACEMENT.
        """
        ops = ", ".join(f"'{change}'" for change in changes)
        from_sent_rows = f"{self._from_audience_rows} AND {self._build_plan_condition()} AND op IN ({ops})"
        # REPLACEMENT has only an event row, and so no digests.
        rows = f"""\
SELECT number AS plan, op, digest, CASE WHEN digest IS NULL THEN newest END AS plan_seen,
  cast(NULL AS bigint) AS row_count, cast(NULL AS bigint) AS adopted,
  cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id
FROM (
  SELECT op, digest {from_sent_rows} AND digest IS NOT NULL
  UNION ALL SELECT CASE count(digest) WHEN 0 THEN 'replacing' ELSE 'overtaken' END, NULL {from_sent_rows}
) CROSS JOIN (
  SELECT max(plan) AS newest,
    greatest(cast(to_unixtime(now()) * 1000 AS bigint), max(plan) + {_LEAST_PLAN_NUMBER_GAP}) AS number
  {self._from_audience_rows}
)"""
        self._insert_from_select("note what was sent during a newer plan", rows)

    def compact_if_due(self, *, member_count: int, valid_row_count: int, oldest_leaver_plan: int) -> None:
        """Replace all rows by one for each member, if a `_COMPACT…` limit is reached.

        Void rows are always deleted. Every plan must be settled. A failure is only logged. `valid_row_count`: the rows
        with a digest that no newer row voids. `oldest_leaver_plan`: the oldest plan of a digest that is neither in the
        query nor in the audience, 0 for none.
        """
        # No query reads the new rows before all are written. Rows that other runs write meanwhile have higher numbers,
        # and count as well. Two compactions at once write the same rows.
        state = self.state
        is_large = (
            valid_row_count > _COMPACTION_ROWS_PER_MEMBER * member_count + _COMPACTION_ROWS_MARGIN
            or len(state.sent) > _COMPACTION_PLANS
        )
        try:
            if is_large or 0 < oldest_leaver_plan < state.number - _COMPACT_WHEN_LEAVER_OLDER_MILLIS:
                number = state.seen + 1
                rows = f"""\
SELECT 'in' AS op, digest
FROM ({self.build_states_select()})
GROUP BY digest
HAVING max_by(state, precedence) = 'in'"""
                select = _build_digest_rows_select(rows, plan=number)
                self._insert_from_select("write a row for each member into the ledger", select)
                count_query = f"""\
SELECT count(*) AS members {self._from_audience_rows} AND plan = {number} AND session = '{self.jobs.token}'
  AND op = 'in' AND time >= {number // 1000 - _TIME_SLACK_SECONDS}"""
                (row,) = self.jobs.read_rows_as_dicts("count them", count_query)
                if row["members"] != member_count:
                    text = "the ledger was not compacted; the next run tries again: %s rows were written, not %s"
                    log.warning(text, row["members"], member_count)
                    return
                mark = self._build_event_row_select(
                    "compacted",
                    plan=number,
                    plan_seen=state.seen,
                    row_count=member_count,
                    adopted=int(state.may_have_unknown_people),
                    customer_list_id=state.customer_list_id,
                )
                self._insert_from_select("let them replace the older rows", mark)
                self.state = replace(state, base=number)
            if 0 < state.oldest < self.state.base:
                void = f"{self._from_audience_rows} AND plan < {self.state.base}"
                self.jobs.run("delete void rows from the ledger", f"DELETE {void}")
        except StoppedError:
            raise
        except ExportError as error:
            log.warning("the ledger could not be compacted; the next run tries again: %s", error)

    def _build_event_row_select(
        self,
        event: str,
        *,
        plan: int,
        customer_list_id: str,
        plan_seen: int | str = "NULL",
        row_count: int | str = "NULL",
        adopted: int | str = "NULL",
    ) -> str:
        return f"""\
SELECT cast({plan} AS bigint) AS plan, '{event}' AS op, cast(NULL AS varchar) AS digest,
  cast({plan_seen} AS bigint) AS plan_seen, cast({row_count} AS bigint) AS row_count,
  cast({adopted} AS bigint) AS adopted,
  {quote_literal(self.ad_account_id)} AS ad_account_id, {quote_literal(customer_list_id)} AS customer_list_id"""

    @property
    def _quoted_table(self) -> str:
        return f"{quote_name(self.jobs.database)}.{quote_name(self.name)}"

    @property
    def _from_audience_rows(self) -> str:
        return f"FROM {self._quoted_table} WHERE audience_id = {quote_literal(self.jobs.audience_id)}"


def require_ledger_columns(columns: Collection[str], table: str) -> None:
    """Raise MirrorError if these `columns` lack one of a ledger's. `table`: the name, for the message."""
    if missing := sorted({column.split()[0] for column in COLUMN_DEFINITIONS.split(",")} - {"time", *columns}):
        raise MirrorError(
            f"the table {table} is not a mirror's ledger, or is one of a version before 0.7: it has no column "
            f"{' and no '.join(missing)}",
            sent=NOTHING_SENT,
            advice="Name a ledger or, to begin anew, a table that does not exist yet",
        )


def _build_digest_rows_select(select: str, *, plan: int) -> str:
    """Return a SELECT of a plan's rows. `select` gives their `op` and `digest`."""
    return f"""\
SELECT cast({plan} AS bigint) AS plan, op, digest, cast(NULL AS bigint) AS plan_seen,
  cast(NULL AS bigint) AS row_count, cast(NULL AS bigint) AS adopted,
  cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id
FROM ({select})"""
