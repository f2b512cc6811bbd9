"""The queries of a task that name the people to withhold, and those who consent → their digests."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from td_pinterest_op.errors import ExportError, LimitError
from td_pinterest_op.identifiers.types import LISTED, TYPES, UNSURE
from td_pinterest_op.records.columns import Column, identifier_columns
from td_pinterest_op.records.hashed_rows import hashed_rows
from td_pinterest_op.records.read import AllIdentifiers
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.redaction.format import counted
from td_pinterest_op.settings.parse import Settings
from td_pinterest_op.settings.table import HashIn, RecordsFormat
from td_pinterest_op.stats import CONSENT, SUPPRESS, Stats
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Job, Source
from td_pinterest_op.treasure_data.result import Rows, job_rows
from td_pinterest_op.withholding.people import Lists

log = logging.getLogger(__name__)


@contextlib.contextmanager
def opening(td: TreasureData, sources: Mapping[str, Source], settings: Settings, stats: Stats) -> Iterator[Lists]:
    """The lists of `sources`, by `suppress` and `consent`, until the end of the block; `stats` gets their jobs.

    Raises LimitError for a list without people (an opt-out list may be empty where the settings say so), JobError,
    TreasureDataError and OSError; the message names the list.
    """
    with contextlib.ExitStack() as stack:
        spools = {name: stack.enter_context(Spool()) for name in sources}
        of_no_use: dict[str, Counter[str]] = {}
        for name, source in sources.items():
            try:
                rows = _open(td, source, settings, note=partial(stats.list_jobs.__setitem__, name))
                of_no_use[name] = _read(rows, settings, spools[name])
            except ExportError as error:
                raise error.extended(f" [the query of `{name}`]") from None
            _check(name, spools[name].unique, of_no_use[name], settings)
        _warn(of_no_use)
        yield Lists(suppressed=spools.get(SUPPRESS), consented=spools.get(CONSENT))


def _open(td: TreasureData, source: Source, settings: Settings, *, note: Callable[[str], None]) -> Rows:
    if settings.hash_in is HashIn.WAREHOUSE:
        return hashed_rows(td, source, choose=partial(_columns, settings=settings), note=note)
    return job_rows(td, source, note=note)


def _columns(job: Job, settings: Settings) -> Sequence[Column]:
    """The columns of a list that hold identifiers. Raises JobError."""
    types = TYPES if settings.records is RecordsFormat.ROWS else LISTED
    names = {name.lower() for name, _ in job.schema}
    # A list need not have all the columns that the people's query has.
    columns = {name: type_ for name, type_ in settings.columns.items() if name in names}
    return identifier_columns(job, columns, types=types)


def _read(rows: Rows, settings: Settings, spool: Spool) -> Counter[str]:
    """Fills the spool; returns how many values are no identifiers, by reason. Raises JobError, TreasureDataError."""
    of_list = Stats(action="", ad_account_id="", dry_run=True)
    preparation = AllIdentifiers(
        spool,
        columns=_columns(rows.job, settings),
        stats=of_list,
        default_country=settings.default_country,
    )
    preparation.read(rows.blocks, progress=lambda _: None)
    return of_list.invalid_by_reason


def _check(name: str, people: int, of_no_use: Counter[str], settings: Settings) -> None:
    log.info("%s: %s", name, counted(people, "identifier"))
    if name == SUPPRESS and (unsure := of_no_use[UNSURE]):
        raise LimitError(
            f"`{name}` holds addresses that are unsure ({unsure:,}): the warehouse cannot hash them, and would not "
            "find these people. Nothing was sent. Put the SHA-256 of such an address in lower case in its place, or "
            "set hash_in: operator"
        )
    if people or (name == SUPPRESS and settings.allow_empty_suppress):
        return
    problem = f"holds no identifier ({_reasons(of_no_use)})" if of_no_use else "has no rows"
    cure = "set allow_empty_suppress: true if it is right that nobody has opted out" if name == SUPPRESS else ""
    raise LimitError(f"`{name}` {problem}. Nothing was sent. Correct its query" + (f", or {cure}" if cure else ""))


def _warn(of_no_use: Mapping[str, Counter[str]]) -> None:
    told = "; ".join(f"{name}: {_reasons(reasons)}" for name, reasons in of_no_use.items() if reasons)
    if told:
        log.warning("values in these lists are no identifiers, and match nobody: %s", told)


def _reasons(of_no_use: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in of_no_use.most_common())
