"""Read a task's opt-out and consent lists: the results of queries for people who opted out, or who consent."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from td_pinterest_op.errors import (
    NOTHING_SENT,
    LimitError,
    add_to_errors,
)
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import IdentifierColumn, find_withholding_list_columns
from td_pinterest_op.records.limits import check_expected_value_kind, format_reason_counts
from td_pinterest_op.records.readers import IdentifierRecordReader
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import SUPPRESS_LIST_NAME, ExportSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.treasure_data.job import JobOrQuery
from td_pinterest_op.treasure_data.result import open_job_rows
from td_pinterest_op.treasure_data.td_api import TreasureData
from td_pinterest_op.treasure_data.user_sql import HASHING_ENGINES
from td_pinterest_op.trino.hashed_query import UserQuery, describe_query, open_hashed_rows
from td_pinterest_op.withholding.people import WithholdingListDigests

log = logging.getLogger(__name__)


def fetch_list_columns(
    td: TreasureData, sources: Mapping[str, JobOrQuery], settings: ExportSettings
) -> Mapping[str, UserQuery]:
    """Ask the warehouse for the columns of the opt-out and consent lists, without rows. Return each query with them.

    `sources`: the queries; they and the result are by list name. A list is left out if its query is for Hive, which
    cannot nest a query with a WITH clause. Raises JobError and TreasureDataError, which name the list.
    """
    queries = {}
    for name, source in sources.items():
        if source.engine in HASHING_ENGINES:
            with name_list_in_errors(name):
                log.info("%s: asking for the columns", name)
                queries[name] = describe_query(td, source, partial(find_withholding_list_columns, settings=settings))
    return queries


@contextlib.contextmanager
def open_lists(
    td: TreasureData,
    sources: Mapping[str, JobOrQuery],
    settings: ExportSettings,
    stats: Stats,
    *,
    queries: Mapping[str, UserQuery],
) -> Iterator[WithholdingListDigests]:
    """Read the opt-out and consent lists of a task, check them, and yield their digests.

    To be called once the people's job has ended: nobody who opts out while it runs is sent. `sources`: the queries, by
    list name. `queries`: from `fetch_list_columns`; needed if the warehouse hashes. `stats` gets the ids of the lists'
    jobs. Raises LimitError (see `require_usable_lists`), JobError, TreasureDataError and OSError, which name the list.
    """
    spools: dict[str, Spool] = {}
    columns: dict[str, Sequence[IdentifierColumn]] = {}
    of_lists: dict[str, Stats] = {}
    with contextlib.ExitStack() as stack:
        for name, source in sources.items():
            spools[name] = stack.enter_context(contextlib.closing(Spool()))
            on_job_id = partial(stats.list_jobs.__setitem__, name)
            with name_list_in_errors(name):
                if settings.hash_in == "operator":
                    rows = open_job_rows(td, source, on_job_id=on_job_id)
                else:
                    rows = open_hashed_rows(td, source, queries[name], on_job_id=on_job_id)
                columns[name] = find_withholding_list_columns(rows.job, settings)
                of_lists[name] = Stats()
                IdentifierRecordReader(columns=columns[name], stats=of_lists[name], spool=spools[name]).read(rows)
        require_usable_lists(of_lists, settings)
        yield WithholdingListDigests(spools=spools, columns=columns)


def name_list_in_errors(name: str) -> contextlib.AbstractContextManager[None]:
    """Return a context manager that adds a list's name to the errors that leave its block."""
    return add_to_errors(what=f" [the query of `{name}`]")


def require_usable_lists(list_stats: Mapping[str, Stats], settings: ExportSettings) -> None:
    """Raise LimitError if an opt-out or consent list has no identifiers, or values that make it unusable.

    Such values are plain ones with `expect_values: hashed`, digests with `plain` and, in an opt-out list, addresses
    that only the operator can hash. With `allow_empty_suppress`, an opt-out list may have no rows. `list_stats`: by
    list name. One warning counts invalid values by reason.
    """
    warnings = []
    for name, stats in list_stats.items():
        with name_list_in_errors(name):
            check_expected_value_kind(settings, stats)
        log.info("%s: %s", name, format_count(stats.unique, "identifier"))
        if name == SUPPRESS_LIST_NAME and (unsure := stats.invalid_by_reason[Reason.UNSURE.value]):
            raise LimitError(
                f"`{name}` contains {format_count(unsure, 'address', 'addresses')} that the warehouse cannot hash, so "
                "these people would not be found",
                sent=NOTHING_SENT,
                advice="Replace each such address with the SHA-256 of its lowercase form"
                + ("" if settings.action.needs_query else ", or set hash_in: operator"),
            )
        reasons = format_reason_counts(stats.invalid_by_reason)
        may_be_empty = name == SUPPRESS_LIST_NAME and not stats.read
        if not stats.unique and not (may_be_empty and settings.allow_empty_suppress):
            problem = f"contains no identifier ({reasons})" if stats.read else "has no rows"
            allow = ", or set allow_empty_suppress: true if it is correct that nobody has opted out"
            raise LimitError(
                f"`{name}` {problem}", sent=NOTHING_SENT, advice=f"Correct its query{allow if may_be_empty else ''}"
            )
        if reasons:
            warnings.append(f"{name}: {reasons}")
    if warnings:
        log.warning(
            "the lists contain values that are not valid identifiers; these values were ignored: %s",
            "; ".join(warnings),
        )
