"""Run a mirror in the warehouse: from the people of the query to a settled plan and a compact ledger."""

import contextlib
import logging
from binascii import unhexlify
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

from td_pinterest_op.errors import ExportError, JobError, LimitError, StoppedError
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.mirroring.ledger import JOIN, LEAVE, PROOFS, Ledger, LedgerState, marker_select
from td_pinterest_op.mirroring.plan import REPLACE, changes_select, choose_mode, figures_query, plan_statement
from td_pinterest_op.mirroring.stage import Stage
from td_pinterest_op.records.columns import Column, choose_list_type
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.records.rows import SINGLE_DIGEST
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.records.sql import Query, build_columns_statement
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import MirrorFigures, Stats
from td_pinterest_op.treasure_data.job import Job, Source
from td_pinterest_op.withholding import sql as withholding
from td_pinterest_op.withholding.lists import (
    check_list,
    find_list_columns,
    name_query_in_errors,
    warn_of_invalid_values,
)
from td_pinterest_op.withholding.preparation import find_people_columns

log = logging.getLogger(__name__)

# The ledger is compacted at this many rows for each member, with a margin, or at this many plans, as queries name each.
_ROWS, _MARGIN, _PLANS = 3, 100, 1000


@dataclass(kw_only=True)
class MirrorRun:
    """The steps of a mirror run that take place in the warehouse. They fill `stats`.

    `lists`: the queries of the task's lists. `columns`: those of the query with identifiers.
    `leavers`: members who are no longer in the query, also if everybody is replaced.
    Methods raise JobError and TreasureDataError, and LimitError where it is documented.
    """

    stage: Stage
    ledger: Ledger
    settings: Settings
    lists: Mapping[str, Source]
    stats: Stats
    state: LedgerState = field(init=False)
    figures: MirrorFigures = field(init=False)
    leavers: int = 0
    columns: Sequence[Column] = ()
    _has_ledger: bool = False
    _changes: str = ""
    _resent_to: str = ""
    _entries: int = 0
    _files: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def close(self) -> None:
        """Free memory, delete temporary files, and drop the run's temporary tables."""
        self._files.close()
        self.stage.drop_tables(self.stage.tables)

    def read_state(self, *, now: float) -> None:
        """Read the audience's state from the ledger. Creates the ledger's table if it is missing (not in a dry run)."""
        self._has_ledger = self.ledger.name in self.stage.drop_unused_tables(now=now)
        if not self._has_ledger and not self.settings.dry_run:
            try:
                self.stage.run("create the ledger", self.ledger.create_statement())
            except JobError:
                # Another run may have created it at the same moment.
                if self.ledger.name not in self.stage.drop_unused_tables(now=now):
                    raise
            self._has_ledger = True
        self.state = LedgerState(number=int(now * 1000))
        if self._has_ledger:
            (row,) = self.stage.read_records("read the state of the ledger", self.ledger.state_query())
            self.state = LedgerState.from_row(row)

    def compare_with_ledger(self) -> None:
        """Hash the people of the query, compare them with the ledger, and count the changes.

        Raises LimitError as `check_list` does.
        """
        lists = {name: self._read_list_query(name, source) for name, source in self.lists.items()}
        of_lists = {name: query.columns for name, query in lists.items()}
        query = self._read_query(
            "query", self.stage.source, lambda job: find_people_columns(job, self.settings, of_lists)
        )
        self.columns = query.columns
        ledger = self.ledger if self._has_ledger else None
        people = self._select_people(query, self._hash_lists(lists))
        changes = changes_select(people, ledger=ledger, state=self.state, settings=self.settings)
        self._changes, job_id = self.stage.create_table("changes", "compare the people with the ledger", changes)
        self.stats.job_id = self.stats.job_id or job_id
        query_of_figures = figures_query(self._changes, state=self.state, settings=self.settings)
        (row,) = self.stage.read_records("count who joins and who leaves", query_of_figures)
        self._store_figures(row)

    def write_plan(self, customer_list_id: str) -> Mapping[str, PreparedRecords]:
        """Write the plan into the ledger, read it back, and return its records to add (JOIN) and to remove (LEAVE).

        Raises LimitError if another run has made a plan meanwhile, or if the plan is not complete.
        """
        plan = plan_statement(
            self._changes,
            ledger=self.ledger,
            state=self.state,
            settings=self.settings,
            resent_to=self._resent_to,
            figure=self.stats.to_send_count,
            resent=self.figures.resent,
            ad_account_id=self.settings.ad_account_id,
            customer_list_id=customer_list_id,
        )
        self.stage.run("write the plan into the ledger", plan)
        rows = self.stage.read_rows("read the plan back", self.ledger.new_rows_query(self.state))
        spools = {op: self._files.enter_context(contextlib.closing(Spool())) for op in (JOIN, LEAVE)}
        proofs, others = [], 0
        for ops, digests, numbers in rows.blocks:
            for op, spool in spools.items():
                code = op.encode()
                spool.add([*map(unhexlify, compress(digests, [each == code for each in ops]))])
            proofs += [number for op, number in zip(ops, numbers, strict=True) if op in PROOFS]
            others += ops.count(None)
        for spool in spools.values():
            spool.finish()
        self._check_plan(sum(spool.unique_count for spool in spools.values()), proofs=proofs, others=others)
        list_type = choose_list_type(self.columns)
        return {op: PreparedRecords({SINGLE_DIGEST: spool}, list_type) for op, spool in spools.items()}

    def settle_plan(self, customer_list_id: str) -> None:
        """Mark the plan in the ledger as settled, once all of it has been sent to Pinterest."""
        state, replaces, number = self.state, self.figures.mode == REPLACE, self.state.number
        account = self.settings.ad_account_id
        op = "replaced" if replaces else "settled"
        mark = marker_select(op, plan=number, ad_account_id=account, customer_list_id=customer_list_id)
        self.stage.run("settle the plan", self.ledger.insert_statement(mark))
        written = self.stats.to_send_count
        self.state = replace(
            state,
            seen=number,
            settled=number,
            base=number if replaces else state.base,
            adopted=0 if replaces else state.adopted,
            sent=(*state.sent, number),
            entries=state.entries + written + 2,
            ad_account_id=account,
            customer_list_id=customer_list_id,
        )
        self._entries = written if replaces else self._entries + written

    def compact_ledger(self) -> None:
        """Replace the ledger's changes with a row for each member if there are many, and delete replaced rows.

        Every plan must be settled. A failure is only a warning: the next run tries again. A compaction is the ledger's
        state after a settled plan, and has the next number: rows that are written meanwhile have a higher one and count
        as well. It is valid when it is complete; two at once write the same. A run that dies before leaves rows that no
        query reads.
        """
        entries, members = self._entries, self.figures.people
        try:
            if entries > _ROWS * members + _MARGIN or len(self.state.sent) > _PLANS:
                self._write_members(members)
                entries = members
            if self.state.base and self.state.entries > entries + members + _MARGIN:
                self.stage.run("delete void rows from the ledger", self.ledger.delete_statement(self.state.base))
        except StoppedError:
            raise
        except ExportError as error:
            log.warning("the ledger could not be compacted; the next run tries again: %s", error)

    def _write_members(self, members: int) -> None:
        """Write a ledger row for each member, and make these rows valid if there are as many as `members`."""
        state, ledger, number = self.state, self.ledger, self.state.seen + 1
        self.stage.run("write a row for each member into the ledger", ledger.members_statement(state, number=number))
        (row,) = self.stage.read_records("count them", ledger.count_members_query(number))
        if row["digests"] != members:
            log.warning("the ledger could not be compacted: %s rows were written, not %s", row["digests"], members)
            return
        mark = marker_select(
            "compacted",
            plan=number,
            figure=members,
            resent=int(state.is_adopted),
            ad_account_id=state.ad_account_id,
            customer_list_id=state.customer_list_id,
        )
        self.stage.run("let them replace the older rows", ledger.insert_statement(mark))
        self.state = replace(state, base=number)

    def _read_query(self, name: str, source: Source, choose: Callable[[Job], Sequence[Column]]) -> Query:
        """Return the query of a source with its columns. Given its job, `choose` returns those with identifiers."""
        job = self.stage.read_rows(f"read the columns of `{name}`", build_columns_statement(source.query)).job
        return Query(text=source.query, names=[column for column, _ in job.schema], columns=choose(job))

    def _read_list_query(self, name: str, source: Source) -> Query:
        """Return the query of an opt-out or consent list with its columns. An error names the list."""
        with name_query_in_errors(name):
            return self._read_query(name, source, lambda job: find_list_columns(job, self.settings))

    def _hash_lists(self, lists: Mapping[str, Query]) -> Mapping[str, str]:
        """Hash the opt-out and consent lists into tables of the warehouse, and return the table of each list by name.

        Raises LimitError as `check_list` does.
        """
        tables = {}
        for name, query in lists.items():
            with name_query_in_errors(name):
                made = self.stage.create_table(name, f"hash the list `{name}`", withholding.list_select(query))
            tables[name], self.stats.list_jobs[name] = made
        counts = self.stage.read_records("count the lists", withholding.list_counts_select(tables)) if tables else ()
        of_lists = {row["list"]: _read_list_stats(row) for row in counts}
        for name, of_list in of_lists.items():
            check_list(name, of_list, self.settings)
        warn_of_invalid_values(of_lists)
        return tables

    def _select_people(self, query: Query, tables: Mapping[str, str]) -> str:
        """Return the SELECT of people's digests, without those withheld. For most queries it reads a new table."""
        control = self.settings.control
        if not withholding.needs_table(query, tables=tables, control=control):
            return withholding.values_select(query)
        select = withholding.people_select(query, tables=tables, control=control)
        table, self.stats.job_id = self.stage.create_table("digests", "hash the people, without those withheld", select)
        return f"SELECT * FROM {table}"

    def _store_figures(self, row: Mapping[str, Any]) -> None:
        """Store the counts in a row of `figures_query` in this run and its statistics."""
        stats, mode = self.stats, choose_mode(self.state, self.settings)
        replaces = mode == REPLACE
        stats.columns = len(self.columns) + sum(column.is_array for column in self.columns)
        stats.read, stats.invalid_rows, stats.hashed_values = row["row_count"], row["invalid_rows"], row["hashed"]
        stats.invalid_by_reason = Counter(withholding.parse_amounts(row["rejected"]))
        stats.valid = row["given"] - stats.invalid_count
        stats.withheld = Counter(withholding.parse_amounts(row["withheld"]))
        stats.unique = row["people"] + stats.withheld.total()
        stats.duplicate = stats.valid - stats.unique
        stats.plain_values = stats.valid - stats.hashed_values
        self.leavers, self._resent_to, self._entries = row["leave"], row["resent_to"], row["entries"]
        stats.mirror = self.figures = MirrorFigures(
            mode=mode,
            people=row["people"],
            members=row["members"],
            joined=row["people"] if replaces else row["join"],
            resent=0 if replaces else row["resent"],
            left=0 if replaces else row["leave"],
            unsure=stats.invalid_by_reason[Reason.UNSURE.value],
        )

    def _check_plan(self, written: int, *, proofs: Sequence[int], others: int) -> None:
        """Raise LimitError if the plan in the ledger is incomplete, or if another run has made a plan as well.

        `written`: the number of its digests. `proofs`: that number in its rows of proof. `others`: rows of other runs.
        """
        if others:
            raise LimitError(
                f"another run has made a newer plan for audience {self.ledger.audience_id}. Nothing was sent. Run this "
                "task again"
            )
        to_send = self.stats.to_send_count
        if [*proofs] != [to_send] or written != to_send:
            raise LimitError(
                f"the plan in the ledger differs from what was computed ({written:,} records, not {to_send:,}): an "
                "INSERT was interrupted. Nothing was sent. Run this task again"
            )


def _read_list_stats(row: Mapping[str, Any]) -> Stats:
    """Return the statistics of an opt-out or consent list from a row of `list_counts_select`."""
    invalid = Counter(withholding.parse_amounts(row["reasons"]))
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
