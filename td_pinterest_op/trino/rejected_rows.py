"""List the values that a run rejected, by the keys of their rows, in a table of the warehouse (setting `rejected`)."""

# To add a column: test it in tests/e2e/test_rejected_rows.py, name it below, and in docs/troubleshooting.md and
# CHANGELOG.md. Those of a run are filled in by task_runtime/outcome.py.
from collections.abc import Sequence

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.identifier_types import ROW_ONLY_TYPE_NAMES
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import get_column_position
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.outcome import build_run_columns
from td_pinterest_op.task_runtime.services import Services
from td_pinterest_op.treasure_data.job import JobOrQuery, run_statement_job
from td_pinterest_op.treasure_data.quoting import quote_literal, quote_name
from td_pinterest_op.treasure_data.tables import OperatorTable
from td_pinterest_op.treasure_data.user_sql import HASHING_ENGINES
from td_pinterest_op.trino.hashed_query import UserQuery, build_hashing_select, prepend_comments

# The columns before the keys. Every table has a `time`, too.
_RUN_COLUMNS = ("session_time", "session_uuid", "attempt_id", "task", "ad_account_id", "audience_id")
# The columns after the keys: the name of the value's column, and why the value is rejected.
_REJECTED_VALUE_COLUMNS = ("identifier", "reason")
RESERVED_COLUMNS = {"time", *_RUN_COLUMNS, *_REJECTED_VALUE_COLUMNS}


def write_rejected_rows(
    settings: ExportSettings, source: JobOrQuery | None, query: UserQuery | None, stats: Stats, services: Services
) -> None:
    """Write a run's rejected values to the table of the setting `rejected`, if there are any.

    The warehouse reads the `query`, that of `source`, once more. It is None if the run has read no rows. A failure is
    only logged as a warning. Raises StoppedError.
    """
    is_any = stats.invalid_value_count or stats.invalid_keys_by_reason
    if not (settings.rejected and source and query and is_any) or settings.dry_run:
        return
    keys = settings.rejected_keys
    names = _choose_key_column_names(keys)
    table = OperatorTable(
        connect=lambda: services.treasure_data,
        database=settings.rejected.database or source.database,
        table=settings.rejected.table,
        columns={"time": "bigint", **dict.fromkeys([*_RUN_COLUMNS, *names, *_REJECTED_VALUE_COLUMNS], "varchar")},
        identifying_columns=RESERVED_COLUMNS - {"time"},
        description="table of rejected rows",
    )

    def build_source() -> JobOrQuery:
        if not source.query or source.engine not in HASHING_ENGINES:
            raise JobError(f"it needs `query`, and the engine {' or '.join(HASHING_ENGINES)}")
        if missing := [key for key in keys if key not in map(str.lower, query.names)]:
            raise JobError(f"the query has no column {' and no '.join(missing)}, which rejected_keys names")
        if types := {column.type.name for column in query.columns} & {*ROW_ONLY_TYPE_NAMES}:
            raise JobError(f"the warehouse cannot judge the values of {' and '.join(sorted(types))}")
        run = build_run_columns(services.task, now=services.timing.now())
        run |= {"ad_account_id": stats.ad_account_id, "audience_id": stats.audience_id}
        texts = [f"nullif({quote_literal(str(run[name] or ''))}, '')" for name in _RUN_COLUMNS]
        texts += [f"CAST({quote_name(name)} AS varchar)" for name in names]
        select = build_rejected_select(query, keys=keys, control_key=settings.control.by if settings.control else None)
        if settings.hash_in == "operator" and not settings.action.needs_query:
            select += f" AND reason <> '{Reason.UNSURE.value}'"  # the operator can hash such addresses
        statement = f"""\
INSERT INTO {quote_name(table.database)}.{quote_name(table.table)} ({", ".join(map(quote_name, table.columns))})
SELECT {", ".join([str(run["time"]), *texts, *_REJECTED_VALUE_COLUMNS])} FROM (
{select}
)"""
        statement = prepend_comments(statement, "td_pinterest_op: the rejected rows of this run", query=query.text)
        return source.with_new_job_for_each_try(statement, purpose=table.description)

    table.try_execute(run_statement_job, build_source)


def build_rejected_select(query: UserQuery, *, keys: Sequence[str], control_key: str | None = None) -> str:
    """Return a SELECT of a query's rejected values, each with the `keys` of its row, its column and the reason.

    A row without an identifier, or without a value in the column `control_key`, is listed once, without a column.
    """
    names = _choose_key_column_names(keys)
    named = [
        f"c{get_column_position(key, query.names)} AS {quote_name(name)}" for key, name in zip(keys, names, strict=True)
    ]
    absences = []
    rows = []
    cases = []
    for number, column in enumerate(query.columns):
        answers = f"a{column.position}"
        absence = f"c{column.position} IS NULL"
        if column.is_array:
            absence = f"coalesce(cardinality(filter({answers}, each -> each IS NOT NULL)), 0) = 0"
        else:
            answers = f"ARRAY[{answers}]"
        absences.append(absence)
        rows.append(f"({number}, {quote_literal(column.name)})")
        cases.append(f"WHEN {number} THEN {answers}")
    of_row = {" AND ".join(absences): Reason.NULL}
    if control_key:
        of_row = {f"c{get_column_position(control_key, query.names)} IS NULL": Reason.NO_CONTROL_KEY, **of_row}
    once = "".join(
        f"\n    WHEN {condition} THEN CASE place WHEN 0 THEN ARRAY['{reason.value}'] END"
        for condition, reason in of_row.items()
    )
    return f"""\
SELECT {", ".join(map(quote_name, names))}, identifier, reason
FROM (
  SELECT {", ".join([*named, ""])}CASE WHEN {" OR ".join(of_row)} THEN '' ELSE identifier END AS identifier, CASE{once}
    ELSE CASE place {" ".join(cases)} END END AS answers
  FROM (
{build_hashing_select(query)}
  ) CROSS JOIN (VALUES {", ".join(rows)}) AS columns (place, identifier)
) CROSS JOIN UNNEST(answers) AS answers_of (reason)
WHERE length(reason) < 64"""


def _choose_key_column_names(keys: Sequence[str]) -> list[str]:
    """Return a column name for each of the `keys`: its own, after `key_` if the table has that name."""
    names: list[str] = []
    for name in keys:
        while name.lower() in (*RESERVED_COLUMNS, *names):
            name = f"key_{name}"
        names.append(name)
    return names
