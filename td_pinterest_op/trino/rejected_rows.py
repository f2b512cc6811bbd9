"""List the values that a run rejected, by the keys of their rows, in a table of the warehouse (setting `rejected`)."""

# To add a column: test it in tests/e2e/test_rejected_rows.py, name it below, and in docs/troubleshooting.md and
# CHANGELOG.md. Those of a run are filled in by task_runtime/outcome.py.
import logging
from collections.abc import Sequence

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.identifier_types import ROW_ONLY_TYPE_NAMES
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import get_column_position
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.outcome import build_run_columns
from td_pinterest_op.task_runtime.services import Services
from td_pinterest_op.treasure_data.job import JobOrQuery, run_statement_job
from td_pinterest_op.treasure_data.quoting import quote_literal, quote_name
from td_pinterest_op.treasure_data.result import read_small_result
from td_pinterest_op.treasure_data.tables import OperatorTable
from td_pinterest_op.treasure_data.user_sql import HASHING_ENGINES
from td_pinterest_op.trino.hashed_query import (
    UserQuery,
    build_column_text_sql,
    build_hashing_select,
    prepend_comments,
)
from td_pinterest_op.trino.hashing_sql import build_lower_sql

log = logging.getLogger(__name__)

# The table's columns before the keys. Every table has a `time`, too.
_RUN_COLUMNS = ("session_time", "session_uuid", "attempt_id", "task", "ad_account_id", "audience_id")
# The table's columns after the keys: the name of the value's column, why the value is rejected, and how many of the
# row's keys are null since they hold an identifier.
_REJECTED_VALUE_COLUMNS = {"identifier": "varchar", "reason": "varchar", "hidden_keys": "bigint"}
RESERVED_COLUMNS = {"time", *_RUN_COLUMNS, *_REJECTED_VALUE_COLUMNS}
# This pattern finds e-mail addresses (also in URLs), phone numbers and digests. A device id looks like many customer
# ids, so only a comparison with the identifiers of its row finds it.
_HIDDEN_KEY_PATTERN = r"@|%40|\A\s*\+\s*[0-9]|[0-9A-Fa-f]{64}"
# A comparison of a key with an identifier ignores punctuation, blanks and signs.
_SEPARATOR_PATTERN = r"[^\p{L}\p{N}]"
# An identifier of fewer characters may be inside a key by chance, so that only an equal key is hidden.
_SHORTEST_IDENTIFIER_INSIDE_KEY = 8


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
        columns={"time": "bigint", **dict.fromkeys([*_RUN_COLUMNS, *names], "varchar"), **_REJECTED_VALUE_COLUMNS},
        identifying_columns=RESERVED_COLUMNS - {"time"},
        description="table of rejected rows",
    )
    run = build_run_columns(services.task, now=services.timing.now())
    run |= {"ad_account_id": stats.ad_account_id, "audience_id": stats.audience_id}
    texts_by_column = {name: f"nullif({quote_literal(str(run[name] or ''))}, '')" for name in _RUN_COLUMNS}
    written = f"{quote_name(table.database)}.{quote_name(table.table)}"

    def build_source() -> JobOrQuery:
        if not source.query or source.engine not in HASHING_ENGINES:
            raise JobError(f"it needs `query`, and the engine {' or '.join(HASHING_ENGINES)}")
        if missing := [key for key in keys if key not in map(str.lower, query.names)]:
            raise JobError(f"the query has no column {' and no '.join(missing)}, which rejected_keys names")
        if types := {column.type.name for column in query.columns} & {*ROW_ONLY_TYPE_NAMES}:
            raise JobError(f"the warehouse cannot judge the values of {' and '.join(sorted(types))}")
        select = build_rejected_select(query, keys=keys, control_key=settings.control.by if settings.control else None)
        if settings.hash_in == "operator" and not settings.action.needs_query:
            select += f" AND reason <> '{Reason.UNSURE.value}'"  # the operator can hash such addresses
        selected = [str(run["time"]), *texts_by_column.values(), *map(quote_name, names), *_REJECTED_VALUE_COLUMNS]
        statement = f"""\
INSERT INTO {written} ({", ".join(map(quote_name, table.columns))})
SELECT {", ".join(selected)} FROM (
{select}
)"""
        statement = prepend_comments(statement, "td_pinterest_op: the rejected rows of this run", query=query.text)
        return source.replace_query(statement, adopts=False, purpose=table.description)

    def build_count_source() -> JobOrQuery:
        conditions = [f"coalesce({name}, '') = {quote_literal(str(run[name] or ''))}" for name in _RUN_COLUMNS]
        statement = f"""\
-- td_pinterest_op: the hidden keys among the rejected rows of this run
SELECT coalesce(sum(hidden_keys), 0) AS hidden_keys FROM {written}
WHERE time = {run["time"]} AND {" AND ".join(conditions)}"""
        return source.replace_query(statement, adopts=False, purpose=table.description)

    if table.try_execute(run_statement_job, build_source) is None:
        return
    for row in table.try_execute(read_small_result, build_count_source) or ():
        if row["hidden_keys"]:
            log.warning(
                "%s of rejected rows hold an identifier or a digest, and are null in %s.%s: name a column in "
                "rejected_keys that holds none, such as a customer id",
                format_count(row["hidden_keys"], "key"),
                table.database,
                table.table,
            )


def build_rejected_select(query: UserQuery, *, keys: Sequence[str], control_key: str | None = None) -> str:
    """Return a SELECT of a query's rejected values, each with the `keys` of its row, its column and the reason.

    Keys are texts. One that holds an identifier or a digest is null, and counted in the last column, `hidden_keys`. A
    row without an identifier, or without a value in the column `control_key`, is listed once, without a column.
    """
    absences = []
    answers = []
    identifiers = []
    for column in query.columns:
        position = column.position
        if column.is_array:
            absences.append(f"coalesce(cardinality(filter(a{position}, each -> each IS NOT NULL)), 0) = 0")
            answers.append(f"transform(a{position}, each -> ROW({quote_literal(column.name)}, each))")
            identifiers.append(f"transform(CAST(c{position} AS array(varchar)), each -> {build_lower_sql('each')})")
        else:
            absences.append(f"c{position} IS NULL")
            answers.append(f"ARRAY[ROW({quote_literal(column.name)}, a{position})]")
            identifiers.append(f"ARRAY[l{position}]")
    reasons_of_row = {" AND ".join(absences): Reason.NULL}
    if control_key:
        without_key = f"c{get_column_position(control_key, query.names)} IS NULL"
        reasons_of_row = {without_key: Reason.NO_CONTROL_KEY, **reasons_of_row}
    cases = "".join(
        f"\n    WHEN {condition} THEN ARRAY[ROW('', '{reason.value}')]" for condition, reason in reasons_of_row.items()
    )
    positions = [get_column_position(key, query.names) for key in keys]
    texts = "".join(f",\n    {build_column_text_sql(position)} AS k{position}" for position in positions)
    names = [quote_name(name) for name in _choose_key_column_names(keys)]
    shown = [
        f"CASE WHEN {_build_is_hidden_sql(f'k{position}')} THEN NULL ELSE k{position} END AS {name}"
        for position, name in zip(positions, names, strict=True)
    ]
    hidden = [
        f"CASE WHEN k{position} IS NOT NULL AND {name} IS NULL THEN 1 ELSE 0 END"
        for position, name in zip(positions, names, strict=True)
    ]
    return f"""\
SELECT {", ".join(names)}, identifier, reason, {" + ".join(hidden)} AS hidden_keys
FROM (
  SELECT {", ".join(f"k{position}" for position in positions)}, {", ".join(shown)}, CASE{cases}
    ELSE {" || ".join(answers)} END AS answers
  FROM (
    SELECT *, transform({" || ".join(identifiers)}, each -> {_build_comparable_sql("each")}) AS identifiers{texts}
    FROM (
{build_hashing_select(query)}
  ))
) CROSS JOIN UNNEST(answers) AS answers_of_row (identifier, reason)
WHERE length(reason) < 64"""


def _build_comparable_sql(lowered: str) -> str:
    """Return SQL for the letters and digits of the SQL expression `lowered`, a text in lower case."""
    return f"regexp_replace({lowered}, '{_SEPARATOR_PATTERN}', '')"


def _build_is_hidden_sql(key: str) -> str:
    """Return SQL for whether a key's text, the SQL expression `key`, may be or hold an identifier of its row."""
    comparable = _build_comparable_sql(build_lower_sql(key))
    of_row = (
        f"each <> '' AND (each = {comparable} OR "
        f"(length(each) >= {_SHORTEST_IDENTIFIER_INSIDE_KEY} AND strpos({comparable}, each) > 0))"
    )
    return f"regexp_like({key}, '{_HIDDEN_KEY_PATTERN}') OR cardinality(filter(identifiers, each -> {of_row})) > 0"


def _choose_key_column_names(keys: Sequence[str]) -> list[str]:
    """Return a column name for each of the `keys`: its own, after `key_` if the table has that name."""
    names: list[str] = []
    for name in keys:
        while name.lower() in (*RESERVED_COLUMNS, *names):
            name = f"key_{name}"
        names.append(name)
    return names
