"""Run a mirror in the warehouse: from the people of the query to a settled plan."""

import contextlib
from binascii import unhexlify
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

from td_pinterest_op.errors import JobError, LimitError
from td_pinterest_op.identifiers.types import UNSURE
from td_pinterest_op.mirroring.compaction import compact
from td_pinterest_op.mirroring.ledger import JOIN, LEAVE, PROOFS, Ledger, State
from td_pinterest_op.mirroring.plan import REPLACE, Comparison, Figures, choose_mode
from td_pinterest_op.mirroring.stage import Stage
from td_pinterest_op.records.columns import Column, choose_list_type
from td_pinterest_op.records.plan import check_value_kind
from td_pinterest_op.records.read import PreparedRecords
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.records.sql import Query, build_columns_statement
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import MirrorFigures, Stats
from td_pinterest_op.treasure_data.job import Job, Source
from td_pinterest_op.withholding import sql as withholding
from td_pinterest_op.withholding.lists import add_query_to_errors, check_list, find_list_columns, warn_of_invalid_values
from td_pinterest_op.withholding.preparation import find_people_columns


@dataclass(kw_only=True)
class MirrorRun:
    """The steps of a mirror's run in the warehouse, which fill `stats`. `lists`: the task's lists.

    Methods raise JobError and TreasureDataError, and LimitError where it is documented.
    """

    stage: Stage
    ledger: Ledger
    settings: Settings
    lists: Mapping[str, Source]
    stats: Stats
    state: State = field(init=False)
    figures: Figures = field(init=False)
    _comparison: Comparison = field(init=False)
    _columns: Sequence[Column] = ()
    _changes: str = ""
    _files: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def close(self) -> None:
        """Free memory and files, and drop the run's tables."""
        self._files.close()
        self.stage.drop_tables()

    @property
    def mode(self) -> str:
        """Whether everybody is replaced or only changes are sent: REPLACE or DIFFERENCE."""
        return choose_mode(self.state, self.settings)

    @property
    def list_type(self) -> str:
        """The type of a customer list for these people."""
        return choose_list_type(self._columns)

    def read_state(self, *, now: float) -> None:
        """Read the state of the ledger. Creates its table if it is missing, except in a dry run."""
        exists = self.ledger.name in self.stage.clean_up(now=now)
        if not exists and not self.settings.dry_run:
            self._create_ledger(now=now)
            exists = True
        self.state = State(number=int(now * 1000))
        if exists:
            (row,) = self.stage.read_records("read the state of the ledger", self.ledger.state_query())
            self.state = State.from_row(row)
        self._comparison = Comparison(
            ledger=self.ledger if exists else None,
            state=self.state,
            mode=self.mode,
            resend_days=self.settings.resend_days,
        )

    def _create_ledger(self, *, now: float) -> None:
        try:
            self.stage.run("create the ledger", self.ledger.create_statement())
        except JobError:
            # Another run may have created it at the same moment.
            if self.ledger.name not in self.stage.clean_up(now=now):
                raise

    def compare(self) -> None:
        """Hash the people, and compare them with the ledger. Raises LimitError as `check_list` does."""
        lists = {name: self._read_list_query(name, source) for name, source in self.lists.items()}
        of_lists = {name: query.columns for name, query in lists.items()}
        query = self._read_query(
            "query", self.stage.source, lambda job: find_people_columns(job, self.settings, of_lists)
        )
        self._columns = query.columns
        people, comparison = self._select_people(query, self._hash_lists(lists)), self._comparison
        self._changes, job_id = self.stage.create_table(
            "changes", "compare the people with the ledger", comparison.changes_select(people)
        )
        self.stats.job_id = self.stats.job_id or job_id
        (row,) = self.stage.read_records("count who joins and who leaves", comparison.figures_query(self._changes))
        self.figures = Figures.from_row(row)
        self._fill_stats()

    def write_plan(self, customer_list_id: str) -> Mapping[str, PreparedRecords]:
        """Write the plan into the ledger, and return its records by op, as read back from there.

        Raises LimitError if another run has made a plan meanwhile, or if the plan is not complete.
        """
        figures, to_send = self.figures, self.stats.to_send_count
        plan = replace(self._comparison, ledger=self.ledger).plan_statement(
            self._changes,
            resent_to=figures.resent_to,
            figure=to_send,
            resent=figures.resent,
            ad_account_id=self.settings.ad_account_id,
            customer_list_id=customer_list_id,
        )
        self.stage.run("write the plan into the ledger", plan)
        rows = self.stage.read_rows("read the plan back", self.ledger.written_query(self.state))
        spools = {op: self._files.enter_context(contextlib.closing(Spool())) for op in (JOIN, LEAVE)}
        proofs, others = [], 0
        for ops, digests, numbers in rows.blocks:
            for op, spool in spools.items():
                code = op.encode()
                spool.add([*map(unhexlify, compress(digests, [each == code for each in ops]))])
            proofs += [number for op, number in zip(ops, numbers, strict=True) if op in PROOFS]
            others += ops.count(None)
        return self._check_plan(spools, proofs=proofs, others=others)

    def settle(self, customer_list_id: str) -> None:
        """Mark the plan as settled, once all of it is on Pinterest."""
        state, replaces = self.state, self.mode == REPLACE
        account, number = self.settings.ad_account_id, state.number
        op = "replaced" if replaces else "settled"
        mark = self.ledger.mark_statement(op, plan=number, ad_account_id=account, customer_list_id=customer_list_id)
        self.stage.run("settle the plan", mark)
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
        self.figures = replace(self.figures, entries=written if replaces else self.figures.entries + written)

    def compact(self) -> None:
        """Compact the ledger if that is due. Every change must be settled."""
        compact(self.stage, self.ledger, self.state, entries=self.figures.entries, members=self.figures.people)

    def _read_query(self, name: str, source: Source, choose: Callable[[Job], Sequence[Column]]) -> Query:
        """Return a query with its columns. `choose`: returns those that hold identifiers."""
        job = self.stage.read_columns(f"read the columns of `{name}`", build_columns_statement(source.query))
        return Query(text=source.query, names=[column for column, _ in job.schema], columns=choose(job))

    def _read_list_query(self, name: str, source: Source) -> Query:
        """Return the query of a list. Errors name the list."""
        with add_query_to_errors(name):
            return self._read_query(name, source, lambda job: find_list_columns(job, self.settings))

    def _hash_lists(self, lists: Mapping[str, Query]) -> Mapping[str, str]:
        """Hash the lists in the warehouse, and return their tables by name. Raises LimitError as `check_list`."""
        tables = {}
        for name, query in lists.items():
            with add_query_to_errors(name):
                made = self.stage.create_table(name, f"hash the list `{name}`", withholding.list_select(query))
            tables[name], self.stats.list_jobs[name] = made
        counts = self.stage.read_records("count the lists", withholding.list_counts_select(tables)) if tables else ()
        invalid = {}
        for row in counts:
            name, of_list = row["list"], _read_list_stats(row)
            invalid[name] = of_list.invalid_by_reason
            with add_query_to_errors(name):
                check_value_kind(self.settings.expect_values, plain=of_list.plain_values, hashed=of_list.hashed_values)
            check_list(name, row["identifiers"], of_list, self.settings)
        warn_of_invalid_values(invalid)
        return tables

    def _select_people(self, query: Query, tables: Mapping[str, str]) -> str:
        """Return a SELECT of the people who may be sent."""
        control = self.settings.control
        if not withholding.needs_table(query, tables=tables, control=control):
            return withholding.values_select(query)
        select = withholding.people_select(query, tables=tables, control=control)
        table, self.stats.job_id = self.stage.create_table("digests", "hash the people, without those withheld", select)
        return f"SELECT * FROM {table}"

    def _fill_stats(self) -> None:
        """Copy the figures into the statistics."""
        stats, figures, replaces = self.stats, self.figures, self.mode == REPLACE
        stats.columns = len(self._columns) + sum(column.is_array for column in self._columns)
        stats.read, stats.invalid_rows = figures.row_count, figures.invalid_rows
        stats.invalid_by_reason = Counter(figures.rejected)
        stats.valid = figures.given - stats.invalid_count
        stats.withheld = Counter(figures.withheld)
        stats.unique = figures.people + stats.withheld.total()
        stats.duplicate = stats.valid - stats.unique
        stats.hashed_values = figures.hashed
        stats.plain_values = stats.valid - figures.hashed
        stats.mirror = MirrorFigures(
            mode=self.mode,
            people=figures.people,
            members=figures.members,
            joined=figures.people if replaces else figures.join,
            resent=0 if replaces else figures.resent,
            left=0 if replaces else figures.leave,
            unsure=figures.rejected.get(UNSURE, 0),
        )

    def _check_plan(
        self, spools: Mapping[str, Spool], *, proofs: Sequence[int], others: int
    ) -> Mapping[str, PreparedRecords]:
        """Return the records by op. Raises LimitError if the plan is incomplete, or another run made one too."""
        for spool in spools.values():
            spool.finish()
        if others:
            raise LimitError(
                f"another run has made a newer plan for audience {self.ledger.audience_id}. Nothing was sent. Run this "
                "task again"
            )
        written, to_send = sum(spool.unique_count for spool in spools.values()), self.stats.to_send_count
        if [*proofs] != [to_send] or written != to_send:
            raise LimitError(
                f"the plan in the ledger differs from what was computed ({written:,} records, not {to_send:,}): an "
                "INSERT was interrupted. Nothing was sent. Run this task again"
            )
        return {
            op: PreparedRecords(unique_count=spool.unique_count, list_type=self.list_type, spool=spool)
            for op, spool in spools.items()
        }


def _read_list_stats(row: Mapping[str, Any]) -> Stats:
    """Return the statistics of a list in a row of `list_counts_select`."""
    invalid = Counter(withholding.parse_amounts(row["reasons"]))
    of_list = Stats(action="", ad_account_id="", dry_run=True, invalid_by_reason=invalid)
    of_list.read = row["given"] + invalid.total()
    of_list.plain_values, of_list.hashed_values = row["given"] - row["hashed"], row["hashed"]
    return of_list
