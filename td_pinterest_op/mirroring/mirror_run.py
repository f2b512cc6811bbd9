"""The steps of a mirror run that take place in the warehouse. The folder's docstring has the whole run."""

import contextlib
from binascii import unhexlify
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from td_pinterest_op.errors import (
    NOTHING_SENT,
    MirrorError,
)
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.mirroring.checks import replaces_everybody
from td_pinterest_op.mirroring.compaction import compact_if_due
from td_pinterest_op.mirroring.comparison import build_change_counts_query, build_changes_select
from td_pinterest_op.mirroring.ledger import (
    DIFFERENCE_MODE,
    JOINERS,
    LEAVERS,
    PLAN_EVENTS,
    REPLACE_MODE,
    Ledger,
)
from td_pinterest_op.mirroring.mirror_jobs import MirrorJobs
from td_pinterest_op.records.columns import choose_customer_list_type, find_people_columns, has_single_identifier_rows
from td_pinterest_op.records.prepared import SINGLE_DIGEST_LAYOUT, PreparedRecords
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.stats import MirrorFigures, Stats
from td_pinterest_op.treasure_data.job import JobOrQuery
from td_pinterest_op.trino import withholding_sql
from td_pinterest_op.trino.hashed_query import UserQuery, describe_query
from td_pinterest_op.withholding.lists import fetch_list_columns, name_list_in_errors, require_usable_lists


@dataclass(kw_only=True)
class MirrorWarehouseSteps:
    """The steps, in the order of the methods. Their counts are stored in `stats`.

    Methods raise JobError, TreasureDataError and MirrorError.
    """

    ledger: Ledger
    settings: ExportSettings
    lists: Mapping[str, JobOrQuery]  # the queries of the opt-out and consent lists, by name
    stats: Stats
    counts: Mapping[str, Any] = field(default_factory=dict)  # of `build_change_counts_query`, once they are counted
    figures: MirrorFigures = field(default_factory=MirrorFigures)  # made of these counts
    _list_queries: Mapping[str, UserQuery] = field(default_factory=dict)  # once their columns are known
    _changes_table: str = ""  # has the rows of `build_changes_select`
    _list_type: str = ""  # that of a customer list for the query's identifiers
    # By how many the members differ from the query's people, as Pinterest has refused records.
    _refused_change: int = 0
    _files: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def jobs(self) -> MirrorJobs:
        """The ledger's jobs."""
        return self.ledger.jobs

    def close(self) -> None:
        """Delete temporary files, and drop the run's temporary tables."""
        self._files.close()
        self.jobs.drop_tables(self.jobs.tables)

    @property
    def _replaces_everybody(self) -> bool:
        return replaces_everybody(self.ledger.state, self.settings)

    def describe_queries(self) -> UserQuery:
        """Ask the warehouse for the columns of the lists and of the people's query. Return the people's."""
        td = self.jobs.td
        self._list_queries = fetch_list_columns(td, self.lists, self.settings)
        list_columns = {name: query.columns for name, query in self._list_queries.items()}
        find_columns = partial(find_people_columns, settings=self.settings, list_columns=list_columns)
        people = describe_query(td, self.jobs.source, find_columns)
        self._list_type = choose_customer_list_type(people.columns)
        # A column of arrays counts twice: a row may have several values.
        self.stats.columns = len(people.columns) + sum(column.is_array for column in people.columns)
        return people

    def hash_and_withhold(self, people: UserQuery) -> str | None:
        """Hash the lists, and then the people, into a table of those who are not withheld. Return the table's name.

        Returns None, and does nothing, if nobody can be withheld and each row has a single identifier: the comparison
        then hashes the people. Otherwise, one statement for both would need the memory of both.
        """
        control = self.settings.control
        if not self._list_queries and not control and has_single_identifier_rows(people.columns):
            return None
        # As late as possible: an opt-out after this counts only in the next run.
        list_tables = {}
        for name, query in self._list_queries.items():
            select = f"{withholding_sql.build_list_digests_select(query)}{withholding_sql.BLANK_ROW_SQL}, 0, 0"
            with name_list_in_errors(name):
                list_tables[name], self.stats.list_jobs[name] = self.jobs.create_temporary_table(
                    name, f"hash the list `{name}`", select, embedded_query=self.lists[name]
                )
        select = withholding_sql.build_withholding_select(people, list_tables=list_tables, control=control)
        select += f"{withholding_sql.BLANK_ROW_SQL}, 0, 0, 0, 0, 0"
        table, self.stats.job_id = self.jobs.create_temporary_table(
            "digests", "hash the people, without those withheld", select, embedded_query=self.jobs.source
        )
        # Only now, although the dearest statement was for nothing if a list cannot be used: counting the lists before
        # would lengthen the time in which an opt-out comes too late.
        if list_tables:
            self._require_usable_lists(list_tables)
        return table

    def _require_usable_lists(self, list_tables: Mapping[str, str]) -> None:
        counts_select = withholding_sql.build_list_statistics_select(list_tables)
        list_stats = {}
        for row in self.jobs.read_rows_as_dicts("count the lists", counts_select):
            invalid = Counter(withholding_sql.parse_reason_counts(row["reasons"]))
            list_stats[row["list"]] = Stats(
                read=row["valid"] + invalid.total(),
                unique=row["identifiers"],
                invalid_by_reason=invalid,
                plain_values=row["valid"] - row["hashed"],
                hashed_values=row["hashed"],
            )
        require_usable_lists(list_stats, self.settings)

    def compare_with_ledger(self, people: UserQuery, digests_table: str | None) -> None:
        """Write the change of each digest into a temporary table. `digests_table`: see `hash_and_withhold`."""
        if digests_table:
            select = f"SELECT * FROM {digests_table}"
            embedded_query = None
        else:
            select = withholding_sql.build_all_digests_select(people)
            embedded_query = self.jobs.source
        changes = build_changes_select(
            select,
            ledger=self.ledger,
            replaces_everybody=self._replaces_everybody,
            resend_days=self.settings.resend_days,
        )
        self._changes_table, job_id = self.jobs.create_temporary_table(
            "changes", "compare the people with the ledger", changes, embedded_query=embedded_query
        )
        self.stats.job_id = self.stats.job_id or job_id

    def count_changes(self) -> None:
        """Store the counts of people and changes in `counts`, `figures` and `stats`.

        Raises MirrorError if the ledger's digests cannot be read.
        """
        (self.counts,) = self.jobs.read_rows_as_dicts(
            "count who joins and who leaves", build_change_counts_query(self._changes_table)
        )
        replaces = self._replaces_everybody
        counts = self.counts
        stats = self.stats
        stats.read = counts["row_count"]
        stats.invalid_rows = counts["invalid_rows"]
        stats.hashed_values = counts["hashed"]
        stats.invalid_by_reason = Counter(withholding_sql.parse_reason_counts(counts["rejected"]))
        stats.valid = counts["given"] - stats.invalid_value_count
        stats.withheld = Counter(withholding_sql.parse_reason_counts(counts["withheld"]))
        stats.unique = counts["people"] + stats.withheld.total()
        stats.duplicate = stats.valid - stats.unique
        stats.plain_values = stats.valid - stats.hashed_values
        self.figures = MirrorFigures(
            mode=REPLACE_MODE if replaces else DIFFERENCE_MODE,
            people=counts["people"],
            members=counts["members"],
            joined=counts["people"] if replaces else counts["join"],
            resent=counts["resent"],
            left=0 if replaces else counts["leave"],
            unsure=stats.invalid_by_reason[Reason.UNSURE.value],
        )
        stats.mirror = self.figures
        unreadable = counts["unreadable"]
        if unreadable and not replaces:
            raise MirrorError(
                f"{unreadable:,} rows of the ledger have something else than 64 hex digits as the digest",
                sent=NOTHING_SENT,
                advice="If a policy masks columns, let the user of td.apikey view those of the ledger. Otherwise set "
                "rebuild: true for one run",
            )

    def write_plan(self, customer_list_id: str) -> None:
        """Write the changes into the ledger as a plan, which is sent to this list."""
        changed = "'join', 'stay'" if self.figures.mode == REPLACE_MODE else "'join', 'due', 'leave'"
        changes = f"""\
SELECT CASE op WHEN 'leave' THEN 'leave' ELSE 'join' END AS op, digest
  FROM {self._changes_table} WHERE op IN ({changed})"""
        self.ledger.insert_plan(changes, self.figures, customer_list_id=customer_list_id)

    def read_plan(self) -> Mapping[str, PreparedRecords]:
        """Read the plan back. Return the records to add and to remove, by JOINERS and LEAVERS.

        Raises MirrorError if another run has made a plan or compacted the ledger meanwhile, or if the plan is not
        complete.
        """
        spools = {op: self._files.enter_context(contextlib.closing(Spool())) for op in (JOINERS, LEAVERS)}
        announced: list[int] = []
        for ops, digests, row_counts in self.jobs.read_rows("read the plan back", self.ledger.build_new_rows_query()):
            if None in ops:
                raise MirrorError(
                    f"another run has made a newer plan for audience {self.jobs.audience_id}, or has compacted its "
                    "ledger",
                    sent=NOTHING_SENT,
                    advice="Run this task again",
                    subjects=[("audience", self.jobs.audience_id)],
                )
            announced += [count for op, count in zip(ops, row_counts, strict=True) if op in PLAN_EVENTS]
            for name, spool in spools.items():
                of_spool = name.encode()
                spool.add([unhexlify(digest) for op, digest in zip(ops, digests, strict=True) if op == of_spool])
        for spool in spools.values():
            spool.finish()
        written = sum(spool.unique_count for spool in spools.values())
        expected = self.figures.to_send_count
        if announced != [expected] or written != expected:
            raise MirrorError(
                f"the plan in the ledger differs from what was computed ({written:,} records, not {expected:,}): an "
                "INSERT was interrupted",
                sent=NOTHING_SENT,
                advice="Run this task again",
            )
        return {op: PreparedRecords({SINGLE_DIGEST_LAYOUT: spool}, self._list_type) for op, spool in spools.items()}

    def note_refused(self, *, joiners: Sequence[bytes], leavers: Sequence[bytes]) -> None:
        """Record in the ledger that these digests of the plan are void, as Pinterest refused them.

        Each person stays what the newest settled plan before this one has made of them.
        """
        refused = [*joiners, *leavers]
        if not refused:
            return
        # The list of a replace begins without people.
        state = "'out'" if self.figures.mode == REPLACE_MODE else "CASE was_member WHEN 1 THEN 'in' ELSE 'out' END"
        states = f"SELECT {state} AS op, digest FROM {self._changes_table} WHERE digest IS NOT NULL"
        self.ledger.insert_refused(refused, states)
        noted, kept = self.ledger.count_refused()
        if noted != len(refused):
            raise MirrorError(
                f"the ledger has {noted:,} of {len(refused):,} refused records: an INSERT was interrupted"
            )
        self._refused_change = kept - len(joiners)

    def settle_plan(self, customer_list_id: str) -> None:
        """Record in the ledger that Pinterest has answered the whole plan. `customer_list_id`: the audience's list."""
        replaces = self.figures.mode == REPLACE_MODE
        self.ledger.settle(replaces_everybody=replaces, customer_list_id=customer_list_id)

    def count_members_and_compact(self) -> None:
        """Store the member count in `stats`. Compact the ledger if that is due. Nothing may be left to send."""
        members = self.figures.people + self._refused_change
        self.stats.members = None if self.ledger.state.may_have_unknown_people else members
        rows = self.figures.to_send_count
        oldest_leaver = 0
        if self.figures.mode != REPLACE_MODE:  # else the rows that were compared are void
            rows += self.counts["ledger_rows"]
            oldest_leaver = self.counts["oldest_leaver"]
        compact_if_due(self.ledger, member_count=members, row_count=rows, oldest_leaver_plan=oldest_leaver)
