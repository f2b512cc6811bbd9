"""The rows of a query whose identifiers the warehouse hashes: no plain identifier leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.sql import Query, answers_statement, columns_statement, require_one_statement
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Job, Source, wait_for_job
from td_pinterest_op.treasure_data.result import Rows, open_job_rows

ENGINES = ("presto", "trino")
"""Those whose SQL hashes."""


_SETTING = "hash_in: warehouse"


def check_source(source: object, *, name: str = "query", needed_by: str = _SETTING) -> None:
    """Raise SettingsError unless the warehouse can hash what a source gives.

    `name`: the parameter of the query. `needed_by`: what wants it to.
    """
    key, cure = ("hash_in", ", or set hash_in: operator") if needed_by == _SETTING else ("action", "")
    if not isinstance(source, Source):
        raise SettingsError(f"{needed_by} needs `query`, and the rows come from a file", key=key)
    if source.job_id is not None:
        raise SettingsError(
            f"{needed_by} needs `query`, and the rows are those of job {source.job_id} (`job_id` or the last job): "
            f"give the task the query and its database{cure}",
            key=key,
        )
    if source.engine not in ENGINES:
        raise SettingsError(
            f"{needed_by} needs the engine {' or '.join(ENGINES)}, and {name} has engine: {source.engine}", key=key
        )
    require_one_statement(source.query)


def hashed_rows(
    td: TreasureData,
    source: Source,
    *,
    choose: Callable[[Job], Sequence[Column]],
    control: Control | None = None,
    note: Callable[[str], None],
) -> Rows:
    """Return the rows of a query as `open_job_rows` does, with identifiers as digests or reasons.

    `choose` returns the columns that hold identifiers, given a job with the columns of the query. Raises as
    `wait_for_job` and `choose` do.
    """
    described = wait_for_job(td, source.with_fresh_query(columns_statement(source.query)))
    names = [name for name, _ in described.schema]
    query = Query(text=source.query, names=names, columns=choose(described))
    rows = open_job_rows(td, source.with_query(answers_statement(query, control=control)), note=note)
    return replace(rows, job=replace(rows.job, is_judged=True))
