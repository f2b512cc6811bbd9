"""The rows of a query whose identifiers the warehouse hashes: no plain identifier leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.sql import Query, answers_statement, columns_statement, one_statement
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Job, Source, job_of
from td_pinterest_op.treasure_data.result import Rows, job_rows

ENGINES = ("presto", "trino")
"""Those whose SQL hashes."""


def check_source(source: Source | Rows, *, name: str, who: str) -> None:
    """Raise SettingsError unless the warehouse can hash what a source gives, as `who` needs it.

    `name`: the parameter of the task that has the query.
    """
    if isinstance(source, Rows) or source.job_id is not None:
        origin = "come from a file" if isinstance(source, Rows) else f"are those of job {source.job_id}"
        raise SettingsError(
            f"{who} needs a query, and the rows {origin}: give the task `query` and its `database`, and no job_id",
            key="query",
        )
    if source.engine not in ENGINES:
        raise SettingsError(
            f"{who} needs the engine {' or '.join(ENGINES)}, and that of `{name}` is {source.engine}", key="engine"
        )
    one_statement(source.query)


def hashed_rows(
    td: TreasureData,
    source: Source,
    *,
    choose: Callable[[Job], Sequence[Column]],
    control: Control | None = None,
    note: Callable[[str], None],
) -> Rows:
    """Return the rows of a query as `job_rows` does, with identifiers as digests or reasons.

    `choose` returns the columns that hold identifiers, given a job with the columns of the query. Raises as `job_of`
    and `choose` do.
    """
    described = job_of(td, source.with_fresh_query(columns_statement(source.query)))
    names = [name for name, _ in described.schema]
    query = Query(text=source.query, names=names, columns=choose(described))
    rows = job_rows(td, source.with_query(answers_statement(query, control=control)), note=note)
    return replace(rows, job=replace(rows.job, is_judged=True))
