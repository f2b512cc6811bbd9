"""One run of a mirror in the warehouse: from the people of the query to a settled plan."""

from __future__ import annotations

import contextlib
from binascii import unhexlify
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

from td_pinterest_op.errors import ExportError, LimitError
from td_pinterest_op.identifiers.types import UNSURE
from td_pinterest_op.mirroring.compaction import compact
from td_pinterest_op.mirroring.ledger import JOIN, LEAVE, PROOFS, Ledger, State
from td_pinterest_op.mirroring.plan import REPLACE, Comparison, Figures, choose_mode
from td_pinterest_op.mirroring.stage import Stage
from td_pinterest_op.records.columns import Column, identifier_columns, list_type
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.records.sql import Query, columns_statement
from td_pinterest_op.settings.parse import Settings
from td_pinterest_op.stats import MirrorFigures, Stats
from td_pinterest_op.treasure_data.job import Job, Source
from td_pinterest_op.withholding import sql as withholding
from td_pinterest_op.withholding.lists import check_list, list_columns, warn_of_invalid
from td_pinterest_op.withholding.preparation import check_control


@dataclass(kw_only=True)
class MirrorRun:
    """A run, step by step; `stats` gets its figures. `lists` are the task's.

    Methods raise JobError and TreasureDataError, and LimitError as they say.
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
        """Free memory, files and the tables of the run."""
        self._files.close()
        self.stage.drop()

    @property
    def mode(self) -> str:
        """Whether everybody is replaced."""
        return choose_mode(self.state, self.settings)

    @property
    def list_type(self) -> str:
        """The type of a customer list made for the people."""
        return list_type(self._columns)

    def read_state(self, *, now: float) -> None:
        """Read what the ledger says; it is made if there is none, but for a dry run."""
        exists = self.ledger.name in self.stage.clean_up(now=now)
        if not exists and not self.settings.dry_run:
            self.stage.run("make the ledger", self.ledger.create())
            exists = True
        self.state = State(number=int(now * 1000))
        if exists:
            (row,) = self.stage.records("read what the ledger says", self.ledger.state())
            self.state = State.of_row(row)
        self._comparison = Comparison(
            ledger=self.ledger if exists else None,
            state=self.state,
            mode=self.mode,
            resend_days=self.settings.resend_days,
        )

    def compare(self) -> None:
        """Hash the people, and compare them with the ledger. Raises LimitError for a list that cannot be right."""
        query = self._described("query", self.stage.source, self._people_columns)
        self._columns = query.columns
        people, comparison = self._people(query, self._read_lists()), self._comparison
        self._changes, job_id = self.stage.create(
            "changes", "compare the people with the ledger", comparison.changes(people)
        )
        self.stats.job_id = self.stats.job_id or job_id
        (row,) = self.stage.records("count who joins and who leaves", comparison.figures(self._changes))
        self.figures = Figures.of_row(row)
        self._fill_stats()

    def write_plan(self, customer_list_id: str) -> Mapping[str, Prepared]:
        """Write the plan into the ledger; returns its people by op, as the ledger has them.

        Raises LimitError if another run has made a plan meanwhile, or if the plan is not whole.
        """
        figures, to_send = self.figures, self.stats.to_send
        plan = replace(self._comparison, ledger=self.ledger).plan(
            self._changes,
            resent_to=figures.resent_to,
            figure=to_send,
            resent=figures.resent,
            ad_account_id=self.settings.ad_account_id,
            customer_list_id=customer_list_id,
        )
        self.stage.run("write the plan into the ledger", plan)
        rows = self.stage.rows("read the plan back", self.ledger.written(self.state))
        spools = {op: self._files.enter_context(Spool()) for op in (JOIN, LEAVE)}
        proofs, others = [], 0
        for ops, digests, numbers in rows.blocks:
            for op, spool in spools.items():
                spool.add([*map(unhexlify, compress(digests, map(op.encode().__eq__, ops)))])
            proofs += [number for op, number in zip(ops, numbers, strict=True) if op in PROOFS]
            others += ops.count(None)
        return self._checked(spools, proofs=proofs, others=others)

    def settle(self, customer_list_id: str) -> None:
        """Mark the plan as done, once all of it is on Pinterest."""
        state, replaces = self.state, self.mode == REPLACE
        account, number = self.settings.ad_account_id, state.number
        op = "replaced" if replaces else "settled"
        mark = self.ledger.mark(op, plan=number, ad_account_id=account, customer_list_id=customer_list_id)
        self.stage.run("settle the plan", mark)
        written = self.stats.to_send
        self.state = replace(
            state,
            seen=number,
            settled=number,
            base=number if replaces else state.base,
            sent=(*state.sent, number),
            entries=state.entries + written + 2,
            ad_account_id=account,
            customer_list_id=customer_list_id,
        )
        self.figures = replace(self.figures, entries=written if replaces else self.figures.entries + written)

    def compact(self) -> None:
        """Make the ledger small, if that is due: with every change settled, its members are the people."""
        compact(self.stage, self.ledger, self.state, entries=self.figures.entries, members=self.figures.people)

    def _described(self, name: str, source: Source, choose: Callable[[Job], Sequence[Column]]) -> Query:
        job = self.stage.job(f"ask for the columns of `{name}`", columns_statement(source.query))
        return Query(text=source.query, names=[column for column, _ in job.schema], columns=choose(job))

    def _people_columns(self, job: Job) -> Sequence[Column]:
        control = self.settings.control
        columns = identifier_columns(job, self.settings.columns, by=control.by if control else None)
        check_control(job, columns, control)
        return columns

    def _read_lists(self) -> Mapping[str, str]:
        """Tables of the lists' digests, by their names. Raises LimitError for one that cannot be right."""
        tables = {}
        for name, source in self.lists.items():
            try:
                query = self._described(name, source, lambda job: list_columns(job, self.settings))
                select = withholding.listed(query)
                tables[name], self.stats.list_jobs[name] = self.stage.create(name, f"hash the list `{name}`", select)
            except ExportError as error:
                raise error.extended(f" [the query of `{name}`]") from None
        if tables:
            counts = self.stage.records("count the lists", withholding.list_counts(tables))
            rejected = {row["list"]: withholding.read_counts(row["reasons"]) for row in counts}
            for row in counts:
                check_list(row["list"], row["identifiers"], rejected[row["list"]], self.settings)
            warn_of_invalid(rejected)
        return tables

    def _people(self, query: Query, tables: Mapping[str, str]) -> str:
        """SQL of whom the run may send."""
        control = self.settings.control
        if not withholding.needs_table(query, tables=tables, control=control):
            return withholding.values(query)
        select = withholding.people(query, tables=tables, control=control)
        table, self.stats.job_id = self.stage.create("digests", "hash the people, without those withheld", select)
        return f"SELECT * FROM {table}"

    def _fill_stats(self) -> None:
        stats, figures, replaces = self.stats, self.figures, self.mode == REPLACE
        stats.columns = len(self._columns) + sum(column.is_array for column in self._columns)
        stats.read, stats.invalid_rows = figures.row_count, figures.invalid_rows
        stats.invalid_by_reason = Counter(figures.rejected)
        stats.valid = figures.given - stats.invalid
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

    def _checked(self, spools: Mapping[str, Spool], *, proofs: Sequence[int], others: int) -> Mapping[str, Prepared]:
        for spool in spools.values():
            spool.finish()
        if others:
            raise LimitError(
                f"another run has made a plan for audience {self.ledger.audience_id} meanwhile. Nothing was sent. Run "
                "this task again"
            )
        written, to_send = sum(spool.unique for spool in spools.values()), self.stats.to_send
        if [*proofs] != [to_send] or written != to_send:
            raise LimitError(
                f"the plan in the ledger is not what was computed ({written:,} records, not {to_send:,}): an INSERT "
                "broke off. Nothing was sent. Run this task again"
            )
        return {
            op: Prepared(unique=spool.unique, list_type=self.list_type, spool=spool) for op, spool in spools.items()
        }
