"""The mirror's ledger: its rows, the statements that read and write them, and its state before a run.

The ledger is a table of digests that only grows, until it is compacted. Each row belongs to a plan: the changes of one
run, numbered by the time at which it was made, in milliseconds. A row has a digest, or is about an event of its plan:

    op                    digest  joined            figure       resent
    join, leave           yes     when it joined    1, 2: see below
    refused, out, unsure  yes
    member                yes     (in compactions)
    planned, replacing            the plan seen     rows         members sent again
    settled, replaced
    compacted                     the plan seen     members      1 if the audience was adopted
    overtaken                     the plan seen

`joined` of a row with a digest is for people who read the table: no statement uses it. `figure` of a `leave` row is 1
if no settled plan has joined the digest. `figure` of a `join` row is 1 for a member, who is sent again, and 2 if an
unsettled plan may have added the digest. The plan seen is the newest plan that was taken into account.

A plan has `join` and `leave` rows, and a row `planned` (or `replacing`, if it replaces everybody) with their number.
Once all of it is on Pinterest, there is a row `settled` (or `replaced`). If Pinterest refused to add somebody who was
not in the audience, the next number is a settled plan with `refused` rows or, if the plan failed, an unsettled one with
`out` rows. A refusal says nothing about a member. Who may be in the audience gets a row `unsure`: whom an unsettled
plan may have added, if Pinterest refuses to add him, and all whom no settled plan has joined, if Pinterest refuses to
remove each of them. A compaction puts a row for each digest that is not out of the audience in place of all older rows:
a `member`, `unsure` or `refused` row. Its row `compacted` makes them valid. An `overtaken` plan repeats the rows of an
older plan that was still being sent when the newer one was made.

Two runs that do not see each other's plan may give both the same number: the one that reads its plan back last stops.
`session` tells their rows apart: a plan is settled by a row of its number and session. A plan's number is at least 3
above all that its run has seen: the numbers after it are free for its refusals and a compaction.

A digest is a member if its newest row is a `join` of a settled plan, or a `member` of a compaction. A digest whose
newest row is a `join` or `leave` of an unsettled plan, or `unsure`, is unsure: the next plan makes it join or leave
again.

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

log = logging.getLogger(__name__)

REPLACE_MODE = "replace"
DIFFERENCE_MODE = "difference"
"""A run replaces everybody, or sends only the changes."""
JOINERS = "join"
LEAVERS = "leave"
UNSURE_LEAVERS = "unsure leave"
REPLACEMENT = "replacing"
PLAN_ROW_COUNT_EVENTS = (b"planned", b"replacing")
"""The events whose `figure` is the number of the plan's rows."""
_SETTLED_EVENTS = "('settled', 'replaced', 'compacted')"
_VOIDING_EVENTS = "('replaced', 'compacted')"
_PLAN_KEY = "concat(cast(plan AS varchar), ' ', session)"
COLUMN_DEFINITIONS = """\
audience_id varchar, plan bigint, op varchar, digest varchar, joined bigint, figure bigint, resent bigint,
ad_account_id varchar, customer_list_id varchar, session varchar, time bigint"""
_DIGEST_ROW_EVENT_COLUMNS = """\
cast(NULL AS bigint) AS resent, cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id"""
# Queries skip rows by `time`; clocks and plan numbers may differ by up to a day.
_TIME_SLACK_SECONDS = 86_400
# The ledger is compacted at this many rows for each member, with a margin, at this many plans, since queries name each,
# or if somebody left this long ago: with daily runs, nobody stays longer than thirty days.
_COMPACTION_ROWS_PER_MEMBER = 3
_COMPACTION_ROWS_MARGIN = 100
_COMPACTION_PLANS = 1000
_COMPACT_WHEN_LEAVER_OLDER_MILLIS = 29 * 86_400_000
_LEAST_PLAN_NUMBER_GAP = 3
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
    sent: Sequence[str] = ("",)  # the number and session of each settled plan, as "7 0123abcd"; "" for none
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
    state: LedgerPlans = LedgerPlans(number=0)  # as `load_state` reads it; later with the run's plan

    def load_state(self, *, now: float, may_create: bool) -> None:
        """Set `state` to what the ledger says about the audience. Drop temporary tables that earlier runs have left.

        `now`: in Unix seconds. `may_create`: whether to create a missing ledger.
        """
        table = self.jobs.list_tables_and_drop_leftovers(now=now).get(self.name)
        if table is None:
            self.state = LedgerPlans(number=int(now * 1000))
            if not may_create:
                return
            statement = f"""\
CREATE TABLE IF NOT EXISTS {self._quoted_table} ({COLUMN_DEFINITIONS})
WITH (bucketed_on = array['audience_id'], bucket_count = 512)"""
            # The job may fail while another run makes the table, and does nothing once it is there.
            create = partial(self.jobs.run, "create the ledger", statement)
            retry(create, [_TABLE_CREATION_RETRY_WAIT], on=JobError, sleep=self.jobs.td.sleep)
        else:
            require_ledger_columns(table.columns, f"{self.jobs.database}.{self.name}")
        query = f"""\
SELECT greatest(cast(to_unixtime(now()) * 1000 AS bigint), coalesce(max(plan), 0) + {_LEAST_PLAN_NUMBER_GAP}) AS number,
  coalesce(max(plan), 0) AS seen,
  coalesce(max(CASE WHEN op IN {_SETTLED_EVENTS} THEN plan END), 0) AS settled,
  coalesce(max(CASE WHEN op IN {_VOIDING_EVENTS} THEN plan END), 0) AS base,
  coalesce(max_by(resent, CASE WHEN op IN {_VOIDING_EVENTS} THEN plan END), 0) AS adopted,
  coalesce(max(CASE WHEN op = 'compacted' THEN plan END), 0) AS compacted,
  coalesce(max(CASE WHEN op = 'replacing' THEN plan END), 0) AS replacing,
  coalesce(array_join(array_agg({_PLAN_KEY}) FILTER (WHERE op IN ('settled', 'replaced')), ','), '') AS sent,
  coalesce(min(plan), 0) AS oldest,
  coalesce(max_by(ad_account_id, CASE WHEN op IN {_SETTLED_EVENTS} THEN plan END), '') AS ad_account_id,
  coalesce(max_by(customer_list_id, CASE WHEN op IN {_SETTLED_EVENTS} THEN plan END), '') AS customer_list_id
{self._from_audience_rows}"""
        (row,) = self.jobs.read_rows_as_dicts("read the state of the ledger", query)
        self.state = LedgerPlans(**{**row, "sent": row["sent"].split(",")})

    def build_valid_rows_clause(self) -> str:
        """Return the FROM and WHERE clauses for the audience's rows with a digest that no newer row makes void."""
        # `member` rows of an unfinished compaction must not count. Its other rows repeat what older rows say.
        return f"""{self._from_audience_rows}
    AND digest IS NOT NULL AND plan BETWEEN {self.state.base} AND {self.state.seen}
    AND (op IN ('join', 'leave', 'refused', 'out', 'unsure') OR plan = {self.state.compacted})"""

    def build_new_rows_query(self) -> str:
        """Return the query for the `op`, `digest` and `figure` of rows written since `state` was read, by any run.

        In rows of another run, which belong to a newer plan or make the rows in `state` void, `op` is NULL.
        """
        state = self.state
        return f"""\
SELECT CASE WHEN session = '{self.jobs.token}' THEN op END AS op, digest, figure
{self._from_audience_rows} AND time >= {state.number // 1000 - _TIME_SLACK_SECONDS}
  AND (plan > {state.seen} OR (op IN {_VOIDING_EVENTS} AND plan > {state.base}))"""

    def find_newer_plan(self) -> int | None:
        """Return the number of the newest plan that another run made after it had read this run's plan, or None."""
        plan = self.state.number
        query = (
            f"SELECT max(CASE WHEN digest IS NULL AND joined >= {plan} THEN plan END) AS newest\n"
            f"{self._from_audience_rows} AND time >= {plan // 1000 - _TIME_SLACK_SECONDS}"
        )
        (row,) = self.jobs.read_rows_as_dicts("read the newest plan", query)
        newest: int | None = row["newest"]
        return newest

    def insert_plan(self, changes_select: str, figures: MirrorFigures, *, customer_list_id: str) -> None:
        """Insert this run's plan. `changes_select`: a SELECT of its `op` (join or leave), `digest` and `figure`."""
        number = self.state.number
        rows = f"SELECT op, digest, CASE op WHEN 'join' THEN {number} END AS joined, figure FROM ({changes_select})"
        proof = self._build_event_row_select(
            REPLACEMENT if figures.mode == REPLACE_MODE else "planned",
            plan=number,
            plan_seen=self.state.seen,
            row_count=figures.to_send_count,
            resent=figures.resent,
            customer_list_id=customer_list_id,
        )
        plan = f"{_build_digest_rows_select(rows, plan=number)}\nUNION ALL {proof}"
        self._insert_from_select("write the plan into the ledger", plan)

    def settle_and_count_refused(
        self, figures: MirrorFigures, *, customer_list_id: str, refused: Sequence[bytes], keeps_unsure_leavers: bool
    ) -> int:
        """Record that this run's plan is on Pinterest, and update `state`.

        Returns how many of the people whom Pinterest refused to add (`refused`, their digests) are no members.
        `keeps_unsure_leavers`: whether leavers whom no settled plan has joined may be in the audience still.
        """
        state = self.state
        replaces = figures.mode == REPLACE_MODE
        ended = {state.number: "replaced" if replaces else "settled"}
        refused_count = 0
        if refused or keeps_unsure_leavers:
            ended[state.number + 1] = "settled"
        if refused:
            self.insert_refused_digests(refused, is_plan_settled=True)
            of_refusals = self._build_plan_condition(of_refusals=True)
            count_query = f"SELECT count(digest) AS people {self._from_audience_rows} AND {of_refusals}"
            (row,) = self.jobs.read_rows_as_dicts("count them", count_query)
            refused_count = row["people"]
        if keeps_unsure_leavers:
            self._insert_op_for_digests(
                "note who may be in the audience still", "'unsure'", "op = 'leave' AND figure = 1"
            )
        events = [
            self._build_event_row_select(event, plan=plan, customer_list_id=customer_list_id)
            for plan, event in ended.items()
        ]
        self._insert_from_select("settle the plan", "\nUNION ALL ".join(events))
        self.state = replace(
            state,
            seen=max(ended),
            base=state.number if replaces else state.base,
            adopted=0 if replaces else state.adopted,
            sent=(*state.sent, *(f"{plan} {self.jobs.token}" for plan in ended)),
            customer_list_id=customer_list_id,
        )
        return refused_count

    def insert_refused_digests(self, digests: Sequence[bytes], *, is_plan_settled: bool) -> None:
        """Insert rows about people of this run's plan whom Pinterest refused to add, except members.

        In a plan that failed, those whom an earlier plan may have added are unsure without a row.
        """
        op = "CASE figure WHEN 2 THEN 'unsure' ELSE 'refused' END" if is_plan_settled else "'out'"
        noted = "coalesce(figure, 2) = 2" if is_plan_settled else "figure IS NULL"
        for start in range(0, len(digests), _MOST_DIGESTS_PER_STATEMENT):
            text = ",".join(digest.hex() for digest in digests[start : start + _MOST_DIGESTS_PER_STATEMENT])
            refused = f"digest IN (SELECT value FROM UNNEST(split('{text}', ',')) AS refused (value))"
            where = f"op = 'join' AND {noted} AND {refused}"
            self._insert_op_for_digests("note whom Pinterest refused to add", op, where)

    def _insert_op_for_digests(self, purpose: str, op_sql: str, where: str) -> None:
        """Insert rows with another `op` about the digests of this run's plan for which `where` holds.

        They have the next plan number, to win over those of the plan.
        """
        rows = (
            f"SELECT {op_sql} AS op, digest, cast(NULL AS bigint) AS joined, cast(NULL AS bigint) AS figure\n"
            f"{self._from_audience_rows} AND {self._build_plan_condition()} AND {where}"
        )
        self._insert_from_select(purpose, _build_digest_rows_select(rows, plan=self.state.number + 1))

    def _build_plan_condition(self, *, of_refusals: bool = False) -> str:
        """Return a condition for the rows of this run's plan, or of the refusals of its records."""
        number = self.state.number
        earliest = number // 1000 - _TIME_SLACK_SECONDS
        plan = number + 1 if of_refusals else number
        return f"plan = {plan} AND session = '{self.jobs.token}' AND time >= {earliest}"

    def _insert_from_select(self, purpose: str, select: str) -> None:
        """Insert the rows of `select`, which has all columns but audience_id, session and time."""
        statement = f"""\
INSERT INTO {self._quoted_table}
  (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)
SELECT {quote_literal(self.jobs.audience_id)},
  plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id,
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
SELECT number AS plan, op, digest, CASE WHEN digest IS NULL THEN newest END AS joined,
  cast(NULL AS bigint) AS figure, {_DIGEST_ROW_EVENT_COLUMNS}
FROM (
  SELECT op, digest {from_sent_rows} AND digest IS NOT NULL
  UNION ALL SELECT CASE count(digest) WHEN 0 THEN 'replacing' ELSE 'overtaken' END, NULL {from_sent_rows}
) CROSS JOIN (
  SELECT max(plan) AS newest,
    greatest(cast(to_unixtime(now()) * 1000 AS bigint), max(plan) + {_LEAST_PLAN_NUMBER_GAP}) AS number
  {self._from_audience_rows}
)"""
        self._insert_from_select("note what was sent during a newer plan", rows)

    def compact_if_due(
        self, *, member_count: int, valid_row_count: int, oldest_leaver_plan: int, refused_leavers_select: str
    ) -> None:
        """Replace all rows by one for each member or refused digest, if a `_COMPACT…` limit is reached.

        Void rows are always deleted. Every plan must be settled. A failure is only logged. `valid_row_count`: the rows
        with a digest that no newer row voids. `oldest_leaver_plan`: the oldest plan of a digest that is neither in the
        query nor in the audience, 0 for none. `refused_leavers_select`: a SELECT of such digests that Pinterest has
        refused.
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
SELECT CASE state WHEN 'in' THEN 'member' WHEN 'refused' THEN state ELSE 'unsure' END AS op, digest,
  cast(NULL AS bigint) AS joined, cast(NULL AS bigint) AS figure
FROM (
  SELECT digest, max_by(state, plan) AS state
  FROM (SELECT digest, plan, {build_row_state_sql(state.sent)} {self.build_valid_rows_clause()})
  GROUP BY digest)
WHERE state <> 'out' AND digest NOT IN ({refused_leavers_select})"""
                select = _build_digest_rows_select(rows, plan=number)
                self._insert_from_select("write a row for each member into the ledger", select)
                count_query = f"""\
SELECT count(*) AS members {self._from_audience_rows} AND plan = {number} AND session = '{self.jobs.token}'
  AND op = 'member' AND time >= {number // 1000 - _TIME_SLACK_SECONDS}"""
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
                    resent=int(state.may_have_unknown_people),
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
        resent: int | str = "NULL",
    ) -> str:
        return f"""\
SELECT cast({plan} AS bigint) AS plan, '{event}' AS op, cast(NULL AS varchar) AS digest,
  cast({plan_seen} AS bigint) AS joined, cast({row_count} AS bigint) AS figure, cast({resent} AS bigint) AS resent,
  {quote_literal(self.ad_account_id)} AS ad_account_id, {quote_literal(customer_list_id)} AS customer_list_id"""

    @property
    def _quoted_table(self) -> str:
        return f"{quote_name(self.jobs.database)}.{quote_name(self.name)}"

    @property
    def _from_audience_rows(self) -> str:
        return f"FROM {self._quoted_table} WHERE audience_id = {quote_literal(self.jobs.audience_id)}"


def build_row_state_sql(settled_plans: Sequence[str]) -> str:
    """Return SQL for the `state` that a row about a digest gives it. `settled_plans`: as in `LedgerPlans.sent`.

    It is "in" (the audience), "out", "refused", "unsure", or, by a plan that is not settled, "joining" or "leaving".
    """
    settled = ", ".join(map(quote_literal, settled_plans))
    return f"""CASE
        WHEN op IN ('refused', 'out', 'unsure') THEN op
        WHEN op = 'member' THEN 'in'
        WHEN op IN ('join', 'leave') AND {_PLAN_KEY} IN ({settled}) THEN CASE op WHEN 'join' THEN 'in' ELSE 'out' END
        WHEN op = 'leave' THEN 'leaving'
        ELSE 'joining' END AS state"""


def require_ledger_columns(columns: Collection[str], table: str) -> None:
    """Raise MirrorError if these `columns` lack one of a ledger's. `table`: the name, for the message."""
    if missing := sorted({column.split()[0] for column in COLUMN_DEFINITIONS.split(",")} - {"time", *columns}):
        raise MirrorError(
            f"the table {table} is not a mirror's ledger: it has no column {' and no '.join(missing)}",
            sent=NOTHING_SENT,
            advice="Name a ledger or, for a new mirror, a table that does not exist yet",
        )


def _build_digest_rows_select(select: str, *, plan: int) -> str:
    """Return a SELECT of a plan's rows. `select` gives their `op`, `digest`, `joined` and `figure`."""
    return (
        f"SELECT cast({plan} AS bigint) AS plan, op, digest, joined, figure, {_DIGEST_ROW_EVENT_COLUMNS} "
        f"FROM ({select})"
    )
