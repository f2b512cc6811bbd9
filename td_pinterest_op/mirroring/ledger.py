"""The mirror's ledger: its rows, the statements that read and write them, and its state before a run.

The ledger is a table that only grows, until it is compacted. Its columns:

    audience_id        whom the row is about: the ledger of one audience never reads the rows of another
    plan               the number of the plan that the row belongs to: when a run made it, in milliseconds
    session            the run (one try of a task) that wrote the row
    op                 what the row says, in one of the words below
    digest             the person of a change or state; NULL in events
    plan_seen          in events that make a plan: the newest plan that it has taken into account
    row_count          in `planned`, `replacing` and `compacted`: how many rows with a digest the plan was written with
    adopted            in `compacted`: 1 if the audience may have people from before the mirror, else 0
    ad_account_id      in events but `overtaken`: the ad account that the audience belongs to
    customer_list_id   in events but `overtaken`: the customer list that the audience uses
    time               when the row was written, in Unix seconds

A plan is the changes of one run. A row with a digest is a change or a state:

    join, leave   the person is sent in the plan, to be added or removed
    in            the person is in the audience: after a change that Pinterest refused, or when the ledger was compacted
    out           the person is not in the audience, after a change that Pinterest refused

A row without a digest is an event:

    planned, replacing   the plan was made: to send only changes, or to replace everybody
    settled, replaced    Pinterest has answered each batch of such a plan
    compacted            the plan's rows stand for all older ones
    overtaken            the plan repeats the rows of an older one that was still being sent when a newer one was made

Two runs that do not see each other's plan may give both the same number: the one that reads its plan back last stops.
A plan is settled by a row of its number and session. A plan's number is at least 2 above all that its run has seen: the
number after it is free for a compaction.

A digest is a member if its newest row in a settled plan is `join` or `in`. A row `in` or `out` counts as newer than
`join` or `leave` of its plan, and does not count until the plan is settled. If a digest's newest row is `join` or
`leave` in a plan that is not settled, it may be in the audience or not: the next plan makes it join or leave again.

Trino evaluates a CTE at every place that names it. So none is named twice, and what a run computes is in temporary
tables of its own.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from td_pinterest_op.errors import NOTHING_SENT, JobError, MirrorError
from td_pinterest_op.http.retry import retry
from td_pinterest_op.mirroring.mirror_jobs import MirrorJobs
from td_pinterest_op.stats import MirrorFigures
from td_pinterest_op.treasure_data.quoting import quote_literal, quote_name
from td_pinterest_op.treasure_data.tables import ListedTable

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
# Queries skip rows by `time`, as the partitions of the table are by it. Clocks may differ by up to a day.
_TIME_SLACK_SECONDS = 86_400
_LEAST_PLAN_NUMBER_GAP = 2
_TABLE_CREATION_RETRY_WAIT = 2.0
# Treasure Data takes statements of a million characters.
_MOST_DIGESTS_PER_STATEMENT = 10_000


@dataclass(frozen=True, kw_only=True)
class LedgerPlans:
    """The state of an audience's ledger before a mirror run. Plans are named by their numbers; 0 is no plan."""

    number: int  # the plan that this run makes
    read_at: int  # when this state was read, in Unix seconds by the clock of the warehouse
    seen: int = 0  # the newest plan
    settled: int = 0  # the newest plan of which all is on Pinterest, or a newer compaction
    base: int = 0  # the newest plan that makes all older rows void
    adopted: int = 0  # 1 if the audience kept people from before the ledger began (`begin: adopt`)
    compacted: int = 0  # the newest compaction
    replacing: int = 0  # the newest plan to replace everybody, settled or not
    settled_keys: Sequence[str] = ("",)  # number and session of each settled plan: "7 0123abcd"; "" for none
    oldest: int = 0  # the oldest plan, void ones included
    seen_by_oldest: int = 0  # the `plan_seen` of the oldest plan that has one
    # Those of the newest settled plan.
    ad_account_id: str = ""
    customer_list_id: str = ""

    @property
    def may_have_unknown_people(self) -> bool:
        """Whether the audience may contain people from before the first mirror run, who are not in the ledger."""
        return not self.base or self.adopted > 0

    @property
    def has_lost_rows(self) -> bool:
        """Whether rows of older plans are missing, although none of a newer plan has made them void."""
        return not self.base and 0 < self.seen_by_oldest < self.oldest


@dataclass(kw_only=True)
class Ledger:
    """Reads and writes an audience's rows. Methods that run statements raise JobError and TreasureDataError."""

    jobs: MirrorJobs
    name: str  # the table's
    ad_account_id: str
    exists: bool = False  # whether the table does, as `check_table` finds it
    state: LedgerPlans = LedgerPlans(number=0, read_at=0)  # as `load_state` reads it; later with the run's plan
    _plan_row_count: int = 0  # of this run's plan, once it is made

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
            self.state = LedgerPlans(number=int(now * 1000), read_at=int(now))
            return
        query = f"""\
SELECT greatest(cast(to_unixtime(now()) * 1000 AS bigint), coalesce(max(plan), 0) + {_LEAST_PLAN_NUMBER_GAP}) AS number,
  cast(to_unixtime(now()) AS bigint) AS read_at,
  coalesce(max(plan), 0) AS seen,
  coalesce(max(CASE WHEN op IN {_SETTLING_EVENTS} THEN plan END), 0) AS settled,
  coalesce(max(CASE WHEN op IN {_VOIDING_EVENTS} THEN plan END), 0) AS base,
  coalesce(max_by(adopted, CASE WHEN op IN {_VOIDING_EVENTS} THEN plan END), 0) AS adopted,
  coalesce(max(CASE WHEN op = 'compacted' THEN plan END), 0) AS compacted,
  coalesce(max(CASE WHEN op = 'replacing' THEN plan END), 0) AS replacing,
  coalesce(array_join(array_agg({_PLAN_KEY}) FILTER (WHERE op IN {_SETTLING_EVENTS}), ','), '') AS settled_keys,
  coalesce(min(plan), 0) AS oldest,
  coalesce(min_by(plan_seen, CASE WHEN plan_seen IS NOT NULL THEN plan END), 0) AS seen_by_oldest,
  coalesce(max_by(ad_account_id, CASE WHEN op IN {_SETTLING_EVENTS} THEN plan END), '') AS ad_account_id,
  coalesce(max_by(customer_list_id, CASE WHEN op IN {_SETTLING_EVENTS} THEN plan END), '') AS customer_list_id
{self._from_audience_rows}"""
        (row,) = self.jobs.read_rows_as_dicts("read the state of the ledger", query)
        self.state = LedgerPlans(**{**row, "settled_keys": row["settled_keys"].split(",")})

    def build_states_select(self) -> str:
        """Return a SELECT of the audience's rows with a digest that count: `digest`, `plan`, `precedence`, `state`.

        `state` is what the row makes of the digest: "in" (the audience), "out" or, in a plan that is not settled,
        "joining" or "leaving". Of a digest's rows, the one of the greatest `precedence` counts.
        """
        settled = f"{_PLAN_KEY} IN ({', '.join(map(quote_literal, self.state.settled_keys))})"
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
{self._from_new_audience_rows}
  AND (plan > {state.seen} OR (op IN {_VOIDING_EVENTS} AND plan > {state.base}))"""

    def find_newer_plan(self) -> tuple[int | None, int]:
        """Return the newest plan that another run made after it had read this run's plan, or None.

        Also returns how many rows of this run's plan are no longer in the ledger.
        """
        plan = self.state.number
        query = f"""\
SELECT max(CASE WHEN digest IS NULL AND plan_seen >= {plan} THEN plan END) AS newest,
  count(CASE WHEN plan = {plan} AND session = '{self.jobs.token}' AND op NOT IN {_STATES} THEN 1 END) AS own_rows
{self._from_new_audience_rows}"""
        (row,) = self.jobs.read_rows_as_dicts("read the newest plan", query)
        return row["newest"], self._plan_row_count - row["own_rows"]

    def insert_plan(self, changes_select: str, figures: MirrorFigures, *, customer_list_id: str) -> None:
        """Insert this run's plan. `changes_select`: a SELECT of its `op` (join or leave) and `digest`."""
        number = self.state.number
        event = self._build_event_select(
            REPLACEMENT if figures.mode == REPLACE_MODE else "planned",
            plan=number,
            plan_seen=self.state.seen,
            row_count=figures.to_send_count,
            customer_list_id=customer_list_id,
        )
        rows = f"{_build_digests_select(changes_select, plan=number)}\nUNION ALL {event}"
        self._insert("write the plan into the ledger", rows)
        self._plan_row_count = figures.to_send_count + 1

    def insert_refused(self, digests: Sequence[bytes], states_select: str) -> None:
        """Insert what becomes of the people of this run's plan whose records Pinterest refused.

        `states_select`: a SELECT of the `op` (in or out) and `digest` of these people, and maybe of others.
        """
        for start in range(0, len(digests), _MOST_DIGESTS_PER_STATEMENT):
            text = ",".join(digest.hex() for digest in digests[start : start + _MOST_DIGESTS_PER_STATEMENT])
            rows = (
                f"SELECT op, digest FROM ({states_select})\n"
                f"WHERE digest IN (SELECT value FROM UNNEST(split('{text}', ',')) AS refused (value))"
            )
            self._insert_digests("note whom Pinterest refused", rows, plan=self.state.number)

    def count_refused(self) -> tuple[int, int]:
        """Return how many people of this run's plan are noted as refused, and how many of these are members."""
        query = (
            "SELECT count(DISTINCT digest) AS refused, count(DISTINCT CASE op WHEN 'in' THEN digest END) AS members\n"
            f"{self._from_own_rows} AND op IN {_STATES}"
        )
        (row,) = self.jobs.read_rows_as_dicts("count them", query)
        return row["refused"], row["members"]

    def settle(self, *, replaces_everybody: bool, customer_list_id: str) -> None:
        """Record that all of this run's plan was sent, and update `state`."""
        state = self.state
        number = state.number
        event = "replaced" if replaces_everybody else "settled"
        self._insert("settle the plan", self._build_event_select(event, plan=number, customer_list_id=customer_list_id))
        self.state = replace(
            state,
            seen=number,
            base=number if replaces_everybody else state.base,
            adopted=0 if replaces_everybody else state.adopted,
            settled_keys=(*state.settled_keys, f"{number} {self.jobs.token}"),
            customer_list_id=customer_list_id,
        )

    def record_changes_as_unsure(self, *changes: str) -> None:
        """Record that it is uncertain which people of this run's plan are in the audience.

        `changes`: which of JOINERS, LEAVERS and REPLACEMENT may have been sent. The next run sends the joiners and
        leavers again. It replaces everybody if they are no longer in the ledger, or after REPLACEMENT.
        """
        ops = ", ".join(f"'{change}'" for change in changes)
        from_sent_rows = f"{self._from_own_rows} AND op IN ({ops})"
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
        self._insert("note what was sent during a newer plan", rows)

    def insert_compaction(self, *, member_count: int) -> bool:
        """Let one row for each member stand for all rows. Every plan must be settled.

        Returns False, and changes nothing that counts, if not `member_count` rows were written.
        """
        # No query reads the new rows before all are written. Rows that other runs write meanwhile have higher numbers,
        # and count as well. Two compactions at once write the same rows.
        state = self.state
        number = state.seen + 1
        members = f"""\
SELECT 'in' AS op, digest
FROM ({self.build_states_select()})
GROUP BY digest
HAVING max_by(state, precedence) = 'in'"""
        self._insert_digests("write a row for each member into the ledger", members, plan=number)
        count_query = f"""\
SELECT count(*) AS members
{self._from_new_audience_rows} AND plan = {number} AND session = '{self.jobs.token}' AND op = 'in'"""
        (row,) = self.jobs.read_rows_as_dicts("count them", count_query)
        if row["members"] != member_count:
            return False
        event = self._build_event_select(
            "compacted",
            plan=number,
            plan_seen=state.seen,
            row_count=member_count,
            adopted=int(state.may_have_unknown_people),
            customer_list_id=state.customer_list_id,
        )
        self._insert("let them replace the older rows", event)
        self.state = replace(state, base=number)
        return True

    def delete_void_rows(self) -> None:
        """Delete the rows of plans before the newest one that makes them void, if there are any."""
        if 0 < self.state.oldest < self.state.base:
            void = f"{self._from_audience_rows} AND plan < {self.state.base}"
            self.jobs.run("delete void rows from the ledger", f"DELETE {void}")

    def _insert_digests(self, purpose: str, select: str, *, plan: int) -> None:
        """Insert a plan's rows with a digest. `select`: a SELECT of their `op` and `digest`."""
        self._insert(purpose, _build_digests_select(select, plan=plan))

    def _insert(self, purpose: str, select: str) -> None:
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

    def _build_event_select(
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

    @property
    def _from_new_audience_rows(self) -> str:
        """Those that were written since `state` was read, and a day before: clocks may differ."""
        return f"{self._from_audience_rows} AND time >= {self.state.read_at - _TIME_SLACK_SECONDS}"

    @property
    def _from_own_rows(self) -> str:
        """Those of this run's plan."""
        return f"{self._from_new_audience_rows} AND plan = {self.state.number} AND session = '{self.jobs.token}'"


def require_ledger_columns(columns: Collection[str], table: str) -> None:
    """Raise MirrorError if these `columns` lack one of a ledger's. `table`: the name, for the message."""
    if missing := sorted({column.split()[0] for column in COLUMN_DEFINITIONS.split(",")} - {"time", *columns}):
        raise MirrorError(
            f"the table {table} is not a mirror's ledger, or is one of a version before 0.7: it lacks the "
            f"column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            sent=NOTHING_SENT,
            advice="Name a ledger or, to begin anew, a table that does not exist yet",
        )


def _build_digests_select(select: str, *, plan: int) -> str:
    """Return a SELECT of a plan's rows. `select` gives their `op` and `digest`."""
    return f"""\
SELECT cast({plan} AS bigint) AS plan, op, digest, cast(NULL AS bigint) AS plan_seen,
  cast(NULL AS bigint) AS row_count, cast(NULL AS bigint) AS adopted,
  cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id
FROM ({select})"""
