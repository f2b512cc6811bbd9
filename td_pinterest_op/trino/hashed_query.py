"""Build the statements with which the warehouse checks and hashes a query's identifiers, and run them.

No plain identifier then leaves the warehouse. Every statement reads the query once. `c0`, `c1`, … are its columns, by
position, and `a0` is what `build_hashing_sql` makes of a value in `c0`: its digest, or the reason for its rejection.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.records.columns import IdentifierColumn, get_column_position
from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.treasure_data.job import Job, JobOrQuery, find_first_comments, run_or_await_job
from td_pinterest_op.treasure_data.quoting import quote_literal, quote_name
from td_pinterest_op.treasure_data.result import JobRows, open_job_rows
from td_pinterest_op.treasure_data.td_api import TreasureData
from td_pinterest_op.treasure_data.user_sql import HASHING_ENGINES, require_one_statement
from td_pinterest_op.trino.hashing_sql import (
    build_control_draw_sql,
    build_hashing_sql,
    build_lower_sql,
    build_trim_sql,
)

CONTROL_MODULUS = 10_000  # a person's number modulo this decides about the control group


@dataclass(frozen=True, kw_only=True)
class UserQuery:
    """A user's query, a single SELECT, with its columns."""

    text: str
    names: Sequence[str]
    columns: Sequence[IdentifierColumn]


def require_hashable(source: JobOrQuery, settings: ExportSettings) -> None:
    """Raise SettingsError if the warehouse must hash the identifiers of `source`, but cannot."""
    if settings.hash_in == "operator" and not settings.action.needs_query:
        return
    if source.job_id is not None or source.engine not in HASHING_ENGINES:
        raise SettingsError(
            "a mirror and hash_in: warehouse need `query` and its database in place of a job (`job_id` or the last job)"
            f", and the engine {' or '.join(HASHING_ENGINES)}",
            key="query",
        )


def describe_query(
    td: TreasureData, source: JobOrQuery, find_columns: Callable[[Job], Sequence[IdentifierColumn]]
) -> UserQuery:
    """Ask the warehouse for the columns of the query in `source`, without rows, and return the query with them.

    `find_columns`: returns the identifier columns of a result. Raises what it and `run_or_await_job` raise.
    """
    job = run_or_await_job(td, source.replace_query(build_empty_select(source.query), adopts=False))
    return UserQuery(text=source.query, names=job.names, columns=find_columns(job))


def open_hashed_rows(
    td: TreasureData,
    source: JobOrQuery,
    query: UserQuery,
    *,
    control: ControlGroup | None = None,
    on_job_id: Callable[[str], None],
) -> JobRows:
    """Run the query of `source` (see `run_or_await_job`), and return its rows as `build_hashing_statement` says."""
    hashing = source.replace_query(build_hashing_statement(query, control=control), adopts=True)
    rows = open_job_rows(td, hashing, on_job_id=on_job_id)
    rows.job = replace(rows.job, is_hashed_by_warehouse=True)
    return rows


def build_empty_select(query: str) -> str:
    """Return a SELECT of the columns of `query`, without rows, preceded by comments."""
    select = f"SELECT * FROM (\n{require_one_statement(query)}\n) AS given LIMIT 0"
    return prepend_comments(select, "td_pinterest_op: read the columns of the query", query=query)


def build_hashing_statement(query: UserQuery, *, control: ControlGroup | None) -> str:
    """Return the statement with which the warehouse hashes a query's identifiers (setting `hash_in: warehouse`).

    It selects the query's rows, with what `build_hashing_sql` makes of an identifier, and with what
    `build_control_draw_sql` makes of the control group's key.
    """
    selected = {column.position: f"a{column.position}" for column in query.columns}
    if control and control.by:
        position = get_column_position(control.by, query.names)
        selected[position] = build_control_draw_sql(build_column_text_sql(position), quote_literal(control.salt))
    return build_select_from_hashed("td_pinterest_op: identifiers as digests or reasons", query, selected)


def build_select_from_hashed(comment: str, query: UserQuery, expressions: Mapping[int, str]) -> str:
    """Return a SELECT of `expressions` from the rows of `build_hashing_select`, preceded by comments.

    `comment`: what the statement is for. `expressions`: SQL by the position of the query's column of the same name.
    """
    columns = ",\n  ".join(
        f"{expressions[position]} AS {quote_name(query.names[position])}" for position in sorted(expressions)
    )
    statement = f"SELECT\n  {columns}\nFROM (\n{build_hashing_select(query)}\n)"
    return prepend_comments(statement, comment, query=query.text)


def prepend_comments(statement: str, comment: str, *, query: str) -> str:
    """Return `statement` after a line with `comment` and the first comments of the user's `query`."""
    first = find_first_comments(query).strip()
    return "\n".join(["-- " + comment, *([first] if first else []), statement])


def build_hashing_select(query: UserQuery) -> str:
    """Return a SELECT of a query's columns (c0, c1, …), and of its digests or rejection reasons (a0, …)."""
    texts = ""
    lower = ""
    answers = ""
    for column in query.columns:
        position = column.position
        if column.is_array:
            of_each = build_hashing_sql(column.type, text_sql="text", lowered_sql=build_lower_sql("text"))
            elements = f"transform(CAST(c{position} AS array(varchar)), value -> {build_trim_sql('value')})"
            answer = f"transform({elements}, text -> {of_each})"
        else:
            texts += f",\n  {build_trim_sql(build_column_text_sql(position))} AS t{position}"
            lower += f", {build_lower_sql(f't{position}')} AS l{position}"
            answer = build_hashing_sql(column.type, text_sql=f"t{position}", lowered_sql=f"l{position}")
        answers += f", {answer} AS a{position}"
    source = build_numbered_columns_select(query)
    return f"SELECT *{answers}\nFROM (SELECT *{lower}\nFROM (SELECT *{texts}\nFROM (\n{source}\n)))"


def build_numbered_columns_select(query: UserQuery) -> str:
    """Return a SELECT of a query's rows, with the columns renamed by position (c0, c1, …)."""
    positions = ", ".join(f"c{position}" for position in range(len(query.names)))
    return f"SELECT * FROM (\n{require_one_statement(query.text)}\n) AS given ({positions})"


def build_column_text_sql(position: int) -> str:
    """Return the SQL that casts the query's column at `position` to text."""
    return f"CAST(c{position} AS varchar)"
