"""The rows of a query whose identifiers the warehouse hashes: no plain identifier leaves it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.sql import Query, build_answers_statement, build_columns_statement, require_one_statement
from td_pinterest_op.settings.setting import ActionSpec
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.settings.table import HashIn
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Job, Source, wait_for_job
from td_pinterest_op.treasure_data.result import Rows, open_job_rows

ENGINES = ("presto", "trino")
"""Those whose SQL hashes."""
HASH_SETTING = "hash_in: warehouse"


def find_hashing_reason(action: ActionSpec | None, hash_in: object) -> str | None:
    """Return what requires hashing in the warehouse: the action's name, HASH_SETTING, or None."""
    if action and action.needs_query:
        return action.name
    return HASH_SETTING if hash_in == "warehouse" else None


def require_hashable(source: object, *, name: str, needed_by: str) -> None:
    """Raise SettingsError unless the warehouse can hash the rows of a source.

    `name`: the parameter of the query. `needed_by`: HASH_SETTING, or the action that needs hashed rows.
    """
    key, cure = ("hash_in", ", or set hash_in: operator") if needed_by == HASH_SETTING else ("action", "")
    if not isinstance(source, Source):
        raise SettingsError(f"{needed_by} needs `query`, but the rows come from a file: export a query{cure}", key=key)
    if source.job_id is not None:
        raise SettingsError(
            f"{needed_by} needs `query`, but the rows are those of a job (`job_id` or the last job): give the task "
            f"the query and its database{cure}",
            key=key,
        )
    if source.engine not in ENGINES:
        raise SettingsError(
            f"{needed_by} needs the engine {' or '.join(ENGINES)}, but {name} has engine: {source.engine}", key=key
        )
    require_one_statement(source.query)


def open_rows(
    td: TreasureData,
    source: Source,
    *,
    hash_in: HashIn,
    choose: Callable[[Job], Sequence[Column]],
    control: Control | None = None,
    note: Callable[[str], None],
) -> Rows:
    """Return the rows of a source, with digests or reasons in place of identifiers if the warehouse hashes them.

    `choose` returns the columns that hold identifiers, given a job with the columns
    of the query. Raises as `wait_for_job` and `choose` do.
    """
    if hash_in == "operator":
        return open_job_rows(td, source, on_job_id=note)
    described = wait_for_job(td, source.with_fresh_query(build_columns_statement(source.query)))
    query = Query(text=source.query, names=[name for name, _ in described.schema], columns=choose(described))
    rows = open_job_rows(td, source.with_query(build_answers_statement(query, control=control)), on_job_id=note)
    return replace(rows, job=replace(rows.job, is_judged=True))
