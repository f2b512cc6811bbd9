"""Statements made from a user's query for people, and for the queries that this project ships."""

from collections.abc import Sequence

from td_pinterest_op.identifiers.hashing_sql import build_control_number_sql, quote_literal, quote_name
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import Column, find_position
from td_pinterest_op.records.hashed_query import (
    NUMBERS,
    Query,
    add_comment,
    build_hashing_select,
    build_selecting_statement,
    build_source_select,
    cast_to_text,
)

_DIGEST_CHARACTERS = 64  # of a SHA-256 in hex


def build_hashed_statement(query: Query) -> str:
    """Return SQL that selects the query's rows with digests in place of identifiers (NULL for a rejected value)."""
    selected = {place: f"c{place}" for place in range(len(query.names))}
    for column in query.columns:
        of_array = f"filter(a{column.position}, each -> length(each) = {_DIGEST_CHARACTERS})"
        selected[column.position] = of_array if column.is_array else _build_digest_sql(column)
    comment = "The query with digests in place of identifiers, NULL where one is rejected."
    return build_selecting_statement(comment, query, selected)


def build_rejected_statement(query: Query, *, keys: Sequence[str]) -> str:
    """Return SQL that selects a query's rejected values, each with the `keys` of its row, its column and the reason.

    A row without any identifier is listed once. If a key is named `reason` or `identifier`, the statement's own column
    of that name has the prefix `rejected_`.
    """
    identifier, reason, answers = (_find_free_name(name, keys) for name in ("identifier", "reason", "answers"))
    named = [f"c{find_position(key, query.names)} AS {quote_name(key)}" for key in keys]
    nothing = " AND ".join(f"NOT {_build_presence_sql(column)}" for column in query.columns)
    columns = ", ".join(f"({place}, {quote_literal(column.name)})" for place, column in enumerate(query.columns))
    cases = " ".join(f"WHEN {place} THEN {_build_array_sql(column)}" for place, column in enumerate(query.columns))
    keys_alone = ", ".join(quote_name(key) for key in keys)
    statement = f"""\
SELECT {keys_alone}, {identifier}, {reason}
FROM (
  SELECT {", ".join(named)}, CASE WHEN {nothing} THEN '' ELSE identifier END AS {identifier}, CASE
    WHEN {nothing} THEN CASE place WHEN 0 THEN ARRAY['{Reason.NULL.value}'] END
    ELSE CASE place {cases} END END AS {answers}
  FROM (
{build_hashing_select(query)}
  ) CROSS JOIN (VALUES {columns}) AS columns (place, identifier)
) CROSS JOIN UNNEST({answers}) AS answers_of ({reason})
WHERE length({reason}) < {_DIGEST_CHARACTERS}
ORDER BY {reason}, {keys_alone}"""
    comment = "The keys of people, with the column and the reason of each value that is rejected."
    return add_comment(statement, comment, query=query.text)


def build_arms_statement(query: Query, *, by: str | None, salt: str, share: str) -> str:
    """Return SQL that assigns each person of a query to an arm: `control` (withheld by an export) or `sent`.

    `by`: the column with a person's key. If None, the key is the digest in the query's only column of identifiers.
    `salt` and `share` are SQL expressions. The control group is `share` of 10,000 people (NUMBERS).
    """
    key = cast_to_text(find_position(by, query.names)) if by else _build_digest_sql(query.columns[0])
    source = build_source_select(query) if by else build_hashing_select(query)
    statement = f"""\
SELECT key, CASE
    WHEN {build_control_number_sql("key", salt)} % {NUMBERS}
      < {share} THEN 'control'
    ELSE 'sent' END AS arm
FROM (SELECT {key} AS key FROM (
{source}
))
WHERE key IS NOT NULL
GROUP BY key"""
    comment = "The arm of each person: `control` for those whom `control` of an export withholds, else `sent`."
    return add_comment(statement, comment, query=query.text)


def _find_free_name(name: str, keys: Sequence[str]) -> str:
    """Return `name`, with the prefix `rejected_` until it differs from all `keys` in any letter case."""
    return _find_free_name(f"rejected_{name}", keys) if name in map(str.lower, keys) else name


def _build_digest_sql(column: Column) -> str:
    """Return an SQL expression for the column's digest, which is NULL for a rejected value."""
    return f"CASE WHEN length(a{column.position}) = {_DIGEST_CHARACTERS} THEN a{column.position} END"


def _build_array_sql(column: Column) -> str:
    """Return an SQL expression for an array of a row's digests in the column, where reasons replace rejected values."""
    return f"a{column.position}" if column.is_array else f"ARRAY[a{column.position}]"


def _build_presence_sql(column: Column) -> str:
    """Return an SQL condition that is true for a row with a value other than NULL in the column."""
    place = column.position
    return (
        f"coalesce(cardinality(filter(a{place}, each -> each IS NOT NULL)) > 0, false)"
        if column.is_array
        else f"(c{place} IS NOT NULL)"
    )
