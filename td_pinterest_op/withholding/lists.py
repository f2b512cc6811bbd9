"""Read the lists of a task: the queries of people who opted out, and of those who consent."""

import contextlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from td_pinterest_op.errors import ExportError, JobError, LimitError
from td_pinterest_op.identifiers.types import LIST_TYPES, TYPES, UNSURE
from td_pinterest_op.records.columns import Column, find_identifier_columns
from td_pinterest_op.records.hashed_rows import open_rows
from td_pinterest_op.records.plan import check_value_kind, format_reasons
from td_pinterest_op.records.read import AllIdentifiersReader, ReaderSettings
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.redaction.format import format_count
from td_pinterest_op.settings.table import HashIn, RecordsFormat, Settings
from td_pinterest_op.stats import CONSENT, SUPPRESS, Stats
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Job, Source
from td_pinterest_op.treasure_data.result import Rows
from td_pinterest_op.withholding.people import Lists

log = logging.getLogger(__name__)


@contextlib.contextmanager
def open_lists(td: TreasureData, sources: Mapping[str, Source], settings: Settings, stats: Stats) -> Iterator[Lists]:
    """Read the lists of opt-outs and of consents, and yield them. `stats` gets the ids of their jobs.

    Raises LimitError as `check_list` does, JobError, TreasureDataError and OSError; the message names the list.
    """
    with contextlib.ExitStack() as stack:
        spools = {name: stack.enter_context(contextlib.closing(Spool())) for name in sources}
        columns: dict[str, Sequence[Column]] = {}
        invalid: dict[str, Counter[str]] = {}
        for name, source in sources.items():
            with add_query_to_errors(name):
                rows = open_rows(
                    td,
                    source,
                    hash_in=settings.hash_in,
                    choose=partial(find_list_columns, settings=settings),
                    note=partial(stats.list_jobs.__setitem__, name),
                )
                columns[name], of_list = read_list(rows, settings, spools[name])
                check_value_kind(settings.expect_values, plain=of_list.plain_values, hashed=of_list.hashed_values)
            invalid[name] = of_list.invalid_by_reason
            check_list(name, spools[name].unique_count, of_list, settings)
        warn_of_invalid_values(invalid)
        yield Lists(suppressed=spools.get(SUPPRESS), consented=spools.get(CONSENT), columns=columns)


@contextlib.contextmanager
def add_query_to_errors(name: str) -> Iterator[None]:
    """Let errors that leave the `with` block name the query of the list `name`."""
    try:
        yield
    except ExportError as error:
        raise error.extend(f" [the query of `{name}`]") from None


def select_columns(columns: Mapping[str, str], *, own: Collection[str], others: Collection[str]) -> Mapping[str, str]:
    """Return the setting `columns` for a query with the columns `own`, without the names that only `others` have.

    A name that no query has is kept, since it is an error. All names are in lower case.
    """
    return {name: type_ for name, type_ in columns.items() if name in own or name not in others}


def require_shared_types(people: Sequence[Column], lists: Mapping[str, Sequence[Column]]) -> None:
    """Raise JobError if a list could match nobody: it has no type of identifier in common with the people."""
    own = {column.type.name for column in people}
    for name, columns in lists.items():
        types = {column.type.name for column in columns}
        if own.isdisjoint(types):
            raise JobError(
                f"`{name}` selects {' and '.join(sorted(types))}, but the people's query selects "
                f"{' and '.join(sorted(own))}: without a common type of identifier, the list would match nobody. "
                "Nothing was sent. Select a common type in both queries"
            )


def find_list_columns(job: Job, settings: Settings) -> Sequence[Column]:
    """Return a list's identifier columns, which need not be all of the people's columns. Raises JobError."""
    own = {name.lower() for name, _ in job.schema}
    columns = select_columns(settings.columns, own=own, others=settings.columns)
    return find_identifier_columns(job, columns, types=TYPES if settings.records is RecordsFormat.ROWS else LIST_TYPES)


def read_list(rows: Rows, settings: Settings, spool: Spool) -> tuple[Sequence[Column], Stats]:
    """Read a list into the spool, and return its columns and figures. Raises JobError, TreasureDataError, OSError."""
    columns = find_list_columns(rows.job, settings)
    of_list = Stats(action="", ad_account_id="", dry_run=True)
    reading = ReaderSettings(columns=columns, default_country=settings.default_country)
    AllIdentifiersReader(spool, reading, of_list).read(rows.blocks, progress=lambda _: None)
    return columns, of_list


def check_list(name: str, people: int, of_list: Stats, settings: Settings) -> None:
    """Raise LimitError for a list without people, and for opt-outs that the warehouse cannot hash.

    An opt-out list may be empty where the settings allow it. `of_list`: the list's figures.
    """
    log.info("%s: %s", name, format_count(people, "identifier"))
    if name == SUPPRESS and (unsure := of_list.invalid_by_reason[UNSURE]):
        raise LimitError(
            f"`{name}` contains {unsure:,} addresses that the warehouse cannot hash, so these people would not be "
            "found. Nothing was sent. Replace each of these addresses with the SHA-256 of its lowercase form"
            + (", or set hash_in: operator" if settings.hash_in is HashIn.WAREHOUSE else "")
        )
    may_be_empty = name == SUPPRESS and not of_list.read
    if people or (may_be_empty and settings.allow_empty_suppress):
        return
    problem = f"contains no identifier ({format_reasons(of_list.invalid_by_reason)})" if of_list.read else "has no rows"
    cure = ", or set allow_empty_suppress: true if it is correct that nobody has opted out" if may_be_empty else ""
    raise LimitError(f"`{name}` {problem}. Nothing was sent. Correct its query{cure}")


def warn_of_invalid_values(invalid: Mapping[str, Counter[str]]) -> None:
    """Log a warning with the number of invalid values in each list, by reason."""
    by_list = "; ".join(f"{name}: {format_reasons(reasons)}" for name, reasons in invalid.items() if reasons)
    if by_list:
        log.warning("these lists contain values that are not valid identifiers, which were ignored: %s", by_list)
