"""Run a mirror in the warehouse: compare the query's people with the ledger, and write the changes as a plan."""

import contextlib
import threading
from binascii import unhexlify
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from typing import Any

from td_pinterest_op.errors import ExportError, LimitError
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.mirroring.comparison import REPLACE, build_changes_select, build_figures_query, choose_mode
from td_pinterest_op.mirroring.ledger import JOIN, LEAVE, PROOFS, Ledger, build_event_row_select, build_plan_rows_select
from td_pinterest_op.mirroring.mirror_jobs import MirrorJobs
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.records.columns import Column, choose_list_type, is_single
from td_pinterest_op.records.hashed_query import Query, build_columns_statement
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.records.rows import SINGLE_DIGEST
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import MirrorFigures, Stats, format_count
from td_pinterest_op.treasure_data.job import Job, Source
from td_pinterest_op.withholding import withholding_sql
from td_pinterest_op.withholding.lists import (
    check_list,
    find_list_columns,
    name_list_in_errors,
    warn_of_invalid_values,
)
from td_pinterest_op.withholding.preparation import find_people_columns

# Seconds for which an answer of the ledger is trusted, unless a request has waited since.
_TRUSTED = 10.0


@dataclass(kw_only=True)
class MirrorRun:
    """The steps of a mirror run that take place in the warehouse. The steps fill `stats`.

    `lists`: the queries of opt-out and consent lists. Methods raise JobError, TreasureDataError and LimitError.
    """

    jobs: MirrorJobs
    ledger: Ledger
    settings: Settings
    lists: Mapping[str, Source]
    stats: Stats
    figures: MirrorFigures = field(init=False)
    _columns: Sequence[Column] = ()
    _changes: str = ""
    counts: Mapping[str, Any] = field(init=False)
    _files: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def close(self) -> None:
        """Free memory, delete temporary files, and drop the run's temporary tables."""
        self._files.close()
        self.jobs.drop_tables(self.jobs.tables)

    def compare_with_ledger(self) -> None:
        """Compare the query's people with the ledger: write who joins and who leaves to a table, and set `figures`.

        Raises LimitError if an opt-out or consent list is not valid.
        """
        # The columns of all queries first: to hash takes long.
        lists = {}
        for name, source in self.lists.items():
            with name_list_in_errors(name):
                lists[name] = self._build_query(name, source, partial(find_list_columns, settings=self.settings))
        list_columns = {name: query.columns for name, query in lists.items()}
        find_columns = partial(find_people_columns, settings=self.settings, list_columns=list_columns)
        query = self._build_query("query", self.jobs.source, find_columns)
        people = self._select_people(query, self._hash_lists(lists))
        changes = build_changes_select(people, ledger=self.ledger, settings=self.settings)
        self._changes, job_id = self.jobs.create_table("changes", "compare the people with the ledger", changes)
        self.stats.job_id = self.stats.job_id or job_id
        counts = build_figures_query(self._changes, state=self.ledger.state, settings=self.settings)
        (self.counts,) = self.jobs.read_records("count who joins and who leaves", counts)
        self._columns = query.columns
        self._store_figures()

    def check_leavers(self) -> None:
        """Raise LimitError if a greater share of the audience's members would leave than `max_leave_ratio` allows."""
        # Members who are no longer in the query, also if everybody is replaced. Changes of a killed run do not count.
        leavers, figures, ratio = self.counts["leavers"], self.figures, self.settings.max_leave_ratio
        if self.ledger.state.settled and leavers / max(figures.members, 1) > ratio:
            raise LimitError(
                f"{leavers:,} of {figures.members:,} members would leave, a greater share than max_leave_ratio "
                f"allows ({ratio}); the query finds {figures.people:,} people. Nothing was sent. "
                "Correct the query, or raise max_leave_ratio for one run"
            )

    def write_plan(self, customer_list_id: str) -> Mapping[str, PreparedRecords]:
        """Write the plan into the ledger, read it back, and return its records to add (JOIN) and to remove (LEAVE).

        Raises LimitError if another run has made a plan meanwhile, or if the plan is not complete.
        """
        state, replaces = self.ledger.state, self.figures.mode == REPLACE
        resent = f"op = 'due' AND turn <= '{self.counts['resent_to']}'"
        changed = "op IN ('join', 'stay')" if replaces else f"op IN ('join', 'leave') OR ({resent})"
        rows = f"""\
SELECT CASE op WHEN 'leave' THEN 'leave' ELSE 'join' END AS op, digest,
    CASE op WHEN 'leave' THEN NULL ELSE {state.number} END AS joined
  FROM {self._changes} WHERE {changed}"""
        counts = {"joined": state.seen, "figure": self.figures.change_count, "resent": self.figures.resent}
        ids = {"ad_account_id": self.settings.ad_account_id, "customer_list_id": customer_list_id}
        proof = build_event_row_select("replacing" if replaces else "planned", plan=state.number, **counts, **ids)
        plan = f"{build_plan_rows_select(rows, plan=state.number)}\nUNION ALL {proof}"
        self.ledger.insert_from_select("write the plan into the ledger", plan)
        records = self._read_plan()
        self.jobs.outcome = ""  # later errors do not say "Nothing was sent"
        return records

    def _read_plan(self) -> Mapping[str, PreparedRecords]:
        """Return this run's plan from the ledger. Raises LimitError if it is incomplete, or another plan is newer."""
        rows = self.jobs.read_rows("read the plan back", self.ledger.build_new_rows_query(self.ledger.state))
        spools = {op: self._files.enter_context(contextlib.closing(Spool())) for op in (JOIN, LEAVE)}
        proofs, others = [], set[bytes | None]()
        for ops, digests, numbers in rows.blocks:
            others |= {None, b""}.intersection(ops)
            for op, spool in spools.items():
                code = op.encode()
                spool.add([*map(unhexlify, compress(digests, [each == code for each in ops]))])
            proofs += [number for op, number in zip(ops, numbers, strict=True) if op in PROOFS]
        if b"" in others:  # once the other try settles its plan, the rows of both count
            self.ledger.record_unsure_people(JOIN, LEAVE)
        if others:
            raise LimitError(
                f"another run has made a newer plan for audience {self.ledger.audience_id}. Nothing was sent. Run this "
                "task again"
            )
        for spool in spools.values():
            spool.finish()
        written, to_send = sum(spool.unique_count for spool in spools.values()), self.figures.change_count
        if proofs != [to_send] or written != to_send:
            raise LimitError(
                f"the plan in the ledger differs from what was computed ({written:,} records, not {to_send:,}): an "
                "INSERT was interrupted. Nothing was sent. Run this task again"
            )
        list_type = choose_list_type(self._columns)
        return {op: PreparedRecords({SINGLE_DIGEST: spool}, list_type) for op, spool in spools.items()}

    def settle_plan(self, customer_list_id: str) -> None:
        """Mark the plan in the ledger as settled, once all of it has been sent to Pinterest, and compact the ledger."""
        self.jobs.outcome = ". The whole plan was sent, but is not settled in the ledger: the next run sends it again"
        state, replaces = self.ledger.state, self.figures.mode == REPLACE
        ids: dict[str, Any] = {"ad_account_id": self.settings.ad_account_id, "customer_list_id": customer_list_id}
        mark = build_event_row_select("replaced" if replaces else "settled", plan=state.number, **ids)
        self.ledger.insert_from_select("settle the plan", mark)
        self.ledger.state = replace(
            state,
            seen=state.number,
            settled=state.number,
            base=state.number if replaces else state.base,
            adopted=0 if replaces else state.adopted,
            sent=(*state.sent, state.number),
            entries=state.entries + self.figures.change_count + 2,
            **ids,
        )
        self.compact_ledger()

    def compact_ledger(self) -> None:
        """Compact a large ledger, and store the member count in `stats`. Only for use once all changes are sent."""
        self.jobs.outcome = ""
        figures, ledger = self.figures, self.ledger
        self.stats.members = None if ledger.state.may_have_unknown_people else figures.people
        entries = 0 if figures.mode == REPLACE else self.counts["entries"]
        ledger.compact_rows(member_count=figures.people, valid_row_count=entries + figures.change_count)

    def _build_query(self, setting_name: str, source: Source, find_columns: Callable[[Job], Sequence[Column]]) -> Query:
        """Return a `Query`: the SQL of `source`, its column names, and its identifier columns (from `find_columns`)."""
        job = self.jobs.read_rows(f"read the columns of `{setting_name}`", build_columns_statement(source.query)).job
        return Query(text=source.query, names=[column for column, _ in job.schema], columns=find_columns(job))

    def _hash_lists(self, lists: Mapping[str, Query]) -> Mapping[str, str]:
        """Hash the opt-out and consent lists into new tables, check them, and return the tables by the lists' names."""
        tables = {}
        for name, query in lists.items():
            with name_list_in_errors(name):
                made = self.jobs.create_table(name, f"hash the list `{name}`", withholding_sql.build_list_select(query))
            tables[name], self.stats.list_jobs[name] = made
        rows = (
            self.jobs.read_records("count the lists", withholding_sql.build_list_counts_select(tables))
            if tables
            else ()
        )
        list_stats = {row["list"]: _read_list_stats(row) for row in rows}
        for name, stats in list_stats.items():
            check_list(name, stats, self.settings)
        warn_of_invalid_values(list_stats)
        return tables

    def _select_people(self, query: Query, list_tables: Mapping[str, str]) -> str:
        """Return a SELECT of the digests to send, if necessary from a table that this method creates first."""
        control = self.settings.control
        if not list_tables and control is None and is_single(query.columns):
            return withholding_sql.build_values_select(query)
        select = withholding_sql.build_people_select(query, list_tables=list_tables, control=control)
        table, self.stats.job_id = self.jobs.create_table("digests", "hash the people, without those withheld", select)
        return f"SELECT * FROM {table}"

    def _store_figures(self) -> None:
        """Store the counted people, values and changes of the run in `figures` and in the statistics."""
        row, stats, mode = self.counts, self.stats, choose_mode(self.ledger.state, self.settings)
        stats.columns = len(self._columns) + sum(column.is_array for column in self._columns)
        stats.read, stats.invalid_rows, stats.hashed_values = row["row_count"], row["invalid_rows"], row["hashed"]
        stats.invalid_by_reason = Counter(withholding_sql.parse_counts(row["rejected"]))
        stats.valid = row["given"] - stats.invalid_count
        stats.withheld = Counter(withholding_sql.parse_counts(row["withheld"]))
        stats.unique = row["people"] + stats.withheld.total()
        stats.duplicate = stats.valid - stats.unique
        stats.plain_values = stats.valid - stats.hashed_values
        stats.mirror = self.figures = MirrorFigures(
            mode=mode,
            people=row["people"],
            members=row["members"],
            joined=row["people"] if mode == REPLACE else row["join"],
            resent=row["resent"],
            left=0 if mode == REPLACE else row["leave"],
            unsure=stats.invalid_by_reason[Reason.UNSURE.value],
        )


def _read_list_stats(row: Mapping[str, Any]) -> Stats:
    """Return the statistics of an opt-out or consent list. `row`: the counts of the list's values, by column name."""
    invalid = Counter(withholding_sql.parse_counts(row["reasons"]))
    return Stats(
        action="",
        ad_account_id="",
        dry_run=True,
        read=row["given"] + invalid.total(),
        unique=row["identifiers"],
        invalid_by_reason=invalid,
        plain_values=row["given"] - row["hashed"],
        hashed_values=row["hashed"],
    )


class PlanGuard:
    """Stops a mirror run from sending its plan once the ledger has a newer plan. To be created right after the plan."""

    def __init__(self, *, run: MirrorRun, client: Client, clock: Callable[[], float]) -> None:
        self._ledger, self._stats, self._client, self._clock = run.ledger, run.stats, client, clock
        self._waits, self._trusted_until = client.rate_limiter.waits, clock() + _TRUSTED
        self._lock = threading.Lock()
        self._changes: list[str] = []
        self._newer: int | None = None
        self._wrote = False

    def require_newest(self) -> None:
        """Raise LimitError if the ledger has a newer plan than this run's."""
        waits, asked_at = self._client.rate_limiter.waits, self._clock()
        self._newer = self._ledger.find_newer_plan()
        if self._newer:
            raise LimitError(f"plan {self._newer} is newer")
        self._waits, self._trusted_until = waits, asked_at + _TRUSTED

    @contextlib.contextmanager
    def watch(self, *changes: str) -> Iterator[None]:
        """Guard a `with` block that sends `changes` (JOIN, LEAVE or REPLACING): its writes fail if a newer plan exists.

        If the block fails and a newer plan exists, the ledger records that these changes are unsettled, and LimitError
        replaces the error.
        """
        self._changes += changes
        try:
            with self._client.check_writes(self._check_before_write):
                yield
        except ExportError as error:
            # There is no time left after a signal.
            if not shutdown.is_requested():
                self._raise_if_superseded(error)
            raise

    def _check_before_write(self) -> None:
        """Require before a write that the plan is the newest, unless the ledger was asked a few seconds ago."""
        with self._lock:
            if self._client.rate_limiter.waits != self._waits or self._clock() > self._trusted_until:
                self.require_newest()
            self._wrote = True

    def _raise_if_superseded(self, error: ExportError) -> None:
        """If a newer plan exists, record in the ledger what may have been sent, and raise LimitError, not `error`."""
        try:
            if self._wrote and (newer := self._ledger.find_newer_plan()):
                self._newer = newer
                self._ledger.record_unsure_people(*self._changes)
        except ExportError as failure:
            error.extend(
                f". If another run has made a newer plan since, the ledger lacks what this run has sent ({failure}): "
                "set rebuild: true for one run"
            )
            return
        if self._newer:
            sent = self._stats.sent + self._stats.in_doubt
            outcome = (
                f"{format_count(sent, 'record')} of this plan had already been sent: the ledger marks these people as "
                "unsettled, and the next run corrects them"
                if sent
                else "Nothing of this plan was sent"
            )
            raise LimitError(
                f"plan {self._ledger.state.number} of audience {self._ledger.audience_id} was superseded: another run "
                f"has since made plan {self._newer}. {outcome}"
            ) from None
