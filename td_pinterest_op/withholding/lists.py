"""Read the lists of a task: the queries of people who opted out, and of those who consent."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from td_pinterest_op.errors import LimitError, extend_errors
from td_pinterest_op.identifiers.types import LIST_TYPES, TYPES, UNSURE
from td_pinterest_op.records.columns import Column, find_identifier_columns
from td_pinterest_op.records.hashed_rows import open_rows
from td_pinterest_op.records.plan import check_value_kind, format_reasons
from td_pinterest_op.records.read import AllIdentifiersReader, ReaderSettings
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.redaction.format import format_count
from td_pinterest_op.settings.table import Settings
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
    spools: dict[str, Spool] = {}
    columns: dict[str, Sequence[Column]] = {}
    of_lists: dict[str, Stats] = {}
    with contextlib.ExitStack() as stack:
        for name, source in sources.items():
            spools[name] = stack.enter_context(contextlib.closing(Spool()))
            with name_query_in_errors(name):
                rows = open_rows(
                    td,
                    source,
                    hash_in=settings.hash_in,
                    choose=partial(find_list_columns, settings=settings),
                    note=partial(stats.list_jobs.__setitem__, name),
                )
                columns[name], of_lists[name] = read_list(rows, settings, spools[name])
            check_list(name, of_lists[name], settings)
        warn_of_invalid_values(of_lists)
        yield Lists(suppressed=spools.get(SUPPRESS), consented=spools.get(CONSENT), columns=columns)


def name_query_in_errors(name: str) -> contextlib.AbstractContextManager[None]:
    """Let errors that leave the `with` block name the query of the list `name`."""
    return extend_errors(f" [the query of `{name}`]")


def find_list_columns(job: Job, settings: Settings) -> Sequence[Column]:
    """Return a list's identifier columns, which need not be all of the people's columns. Raises JobError."""
    own = {name.lower() for name, _ in job.schema}
    columns = {name: type_ for name, type_ in settings.columns.items() if name in own}
    return find_identifier_columns(job, columns, types=TYPES if settings.records == "rows" else LIST_TYPES)


def read_list(rows: Rows, settings: Settings, spool: Spool) -> tuple[Sequence[Column], Stats]:
    """Read a list into a spool, and return its columns and statistics. Raises as `open_lists` does."""
    columns = find_list_columns(rows.job, settings)
    of_list = Stats(action="", ad_account_id="", dry_run=True)
    reading = ReaderSettings(columns=columns, default_country=settings.default_country)
    AllIdentifiersReader(spool, reading, of_list).read(rows.blocks, progress=lambda _: None)
    return columns, of_list


def check_list(name: str, of_list: Stats, settings: Settings) -> None:
    """Raise LimitError if a list has no identifiers, values of the wrong kind, or opt-outs that cannot be hashed.

    An opt-out list may be empty if the settings allow that. `of_list`: the list's statistics.
    """
    with name_query_in_errors(name):
        check_value_kind(settings.expect_values, plain=of_list.plain_values, hashed=of_list.hashed_values)
    log.info("%s: %s", name, format_count(of_list.unique, "identifier"))
    if name == SUPPRESS and (unsure := of_list.invalid_by_reason[UNSURE]):
        raise LimitError(
            f"`{name}` contains {unsure:,} addresses that the warehouse cannot hash, so these people would not be "
            "found. Nothing was sent. Replace each of these addresses with the SHA-256 of its lowercase form"
            + (", or set hash_in: operator" if settings.hash_in == "warehouse" else "")
        )
    may_be_empty = name == SUPPRESS and not of_list.read
    if of_list.unique or (may_be_empty and settings.allow_empty_suppress):
        return
    problem = f"contains no identifier ({format_reasons(of_list.invalid_by_reason)})" if of_list.read else "has no rows"
    cure = ", or set allow_empty_suppress: true if it is correct that nobody has opted out" if may_be_empty else ""
    raise LimitError(f"`{name}` {problem}. Nothing was sent. Correct its query{cure}")


def warn_of_invalid_values(of_lists: Mapping[str, Stats]) -> None:
    """Log a warning with the number of invalid values in each list, by reason."""
    reasons = {name: format_reasons(of_list.invalid_by_reason) for name, of_list in of_lists.items()}
    by_list = "; ".join(f"{name}: {text}" for name, text in reasons.items() if text)
    if by_list:
        log.warning("these lists contain values that are not valid identifiers, which were ignored: %s", by_list)
