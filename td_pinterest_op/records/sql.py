"""Statements made from a user's query, in which the warehouse checks and hashes its identifiers.

Every statement reads the query once. Its columns are named by their places (`c0`, `c1`, …); `a0` is the answer for the
first one, see `identifiers.sql.answer_sql`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.identifiers.rules import Reason
from td_pinterest_op.identifiers.sql import HASHED_MARK, answer_sql, lower_sql, salted_number_sql, trim_sql
from td_pinterest_op.identifiers.sql_text import quote_literal, quote_name
from td_pinterest_op.records.columns import Column, position_of
from td_pinterest_op.settings.structures import Control

NUMBERS = 10_000
"""A person's number modulo this decides about the control group."""
_DIGEST_CHARACTERS = 64
# Treasure Data takes settings of the engine from comments in front of a query.
_FIRST_COMMENTS = re.compile(r"(?:\s*--[^\n]*(?:\n|\Z))*")
_PIECE = re.compile(r"""'[^']*'|"[^"]*"|--[^\n]*|/\*.*?(?:\*/|\Z)|;|[^'"/;-]+|.""", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A user's query: one SELECT. `names`: of all its columns; `columns`: those that hold identifiers."""

    text: str
    names: Sequence[str]
    columns: Sequence[Column]

    def place(self, name: str) -> int:
        """Return the place of a column. Raises as `position_of` does."""
        return position_of(name, self.names)


def require_one_statement(query: str) -> str:
    """Return a query without a semicolon at its end. Raises SettingsError for several statements."""
    pieces: list[str] = _PIECE.findall(query)
    end = pieces.index(";") if ";" in pieces else len(pieces)
    if any(not piece.isspace() and not piece.startswith((";", "--", "/*")) for piece in pieces[end:]):
        raise SettingsError("the query has several statements, and the warehouse can hash the result of one")
    return "".join(pieces[:end]).strip()


def columns_statement(query: str) -> str:
    """Return a statement without rows that has the columns of a query."""
    source = f"SELECT * FROM (\n{require_one_statement(query)}\n) AS given LIMIT 0"
    return _add_comment(source, "td_pinterest_op: the columns of the query", query=query)


def answers_statement(query: Query, *, control: Control | None) -> str:
    """Return the statement of `hash_in: warehouse`: the rows of the query without plain identifiers.

    An identifier becomes its digest (after HASHED_MARK if it was one), the reason for its rejection, or NULL. The key
    of a control group becomes the person's number.
    """
    selected = {column.position: f"a{column.position}" for column in query.columns}
    if control and control.by:
        place = query.place(control.by)
        selected[place] = salted_number_sql(_as_text(place), quote_literal(control.salt))
    return _select("td_pinterest_op: identifiers as digests or reasons", query, selected, mark=HASHED_MARK)


def hashed_statement(query: Query) -> str:
    """Return the query with digests in place of identifiers, NULL where one is rejected."""
    selected = {place: f"c{place}" for place in range(len(query.names))}
    for column in query.columns:
        of_array = f"filter(a{column.position}, each -> length(each) = {_DIGEST_CHARACTERS})"
        selected[column.position] = of_array if column.is_array else _digest_or_null(column)
    return _select("The query with digests in place of identifiers, NULL where one is rejected.", query, selected)


def rejected_statement(query: Query, *, keys: Sequence[str]) -> str:
    """Return a statement with a row for each rejected value: the user's keys, the column and the reason.

    A row without any identifier is one rejection.
    """
    named = [f"c{query.place(key)} AS {quote_name(key)}" for key in keys]
    nothing = " AND ".join(f"NOT {_has_values(column)}" for column in query.columns)
    columns = ", ".join(f"({place}, {quote_literal(column.name)})" for place, column in enumerate(query.columns))
    cases = " ".join(f"WHEN {place} THEN {_as_array(column)}" for place, column in enumerate(query.columns))
    keys_alone = ", ".join(quote_name(key) for key in keys)
    statement = f"""\
SELECT {keys_alone}, identifier, reason
FROM (
  SELECT {", ".join(named)}, CASE WHEN {nothing} THEN '' ELSE identifier END AS identifier, CASE
    WHEN {nothing} THEN CASE place WHEN 0 THEN ARRAY['{Reason.NULL.value}'] END
    ELSE CASE place {cases} END END AS answers
  FROM (
{answers_select(query)}
  ) CROSS JOIN (VALUES {columns}) AS columns (place, identifier)
) CROSS JOIN UNNEST(answers) AS answers_of (reason)
WHERE length(reason) < {_DIGEST_CHARACTERS}
ORDER BY reason, {keys_alone}"""
    comment = "The keys of people, with the column and the reason of each value that is rejected."
    return _add_comment(statement, comment, query=query.text)


def arms_statement(query: Query, *, by: str | None, salt: str, share: str) -> str:
    """Return a statement of each person's `key` and `arm`: `control`, or `sent`.

    `by`: the column of the key; None: the digest in the only column of identifiers. `salt` and `share` (of NUMBERS) are
    SQL.
    """
    key = _as_text(query.place(by)) if by else _digest_or_null(query.columns[0])
    source = _source(query) if by else answers_select(query)
    statement = f"""\
SELECT key, CASE
    WHEN {salted_number_sql("key", salt)} % {NUMBERS}
      < {share} THEN 'control'
    ELSE 'sent' END AS arm
FROM (SELECT {key} AS key FROM (
{source}
))
WHERE key IS NOT NULL
GROUP BY key"""
    comment = "The arm of each person: `control` for those whom `control` of an export withholds, else `sent`."
    return _add_comment(statement, comment, query=query.text)


def _select(comment: str, query: Query, selected: Mapping[int, str], *, mark: str = "") -> str:
    columns = ",\n  ".join(f"{selected[place]} AS {quote_name(query.names[place])}" for place in sorted(selected))
    return _add_comment(
        f"SELECT\n  {columns}\nFROM (\n{answers_select(query, mark=mark)}\n)", comment, query=query.text
    )


def _add_comment(statement: str, comment: str, *, query: str) -> str:
    first = cast("re.Match[str]", _FIRST_COMMENTS.match(query))[0].strip()
    return f"{first}{first and chr(10)}-- {comment}\n{statement}"


def answers_select(query: Query, *, mark: str = "") -> str:
    """Return a SELECT of the query's columns and of the answers."""
    plain = [column for column in query.columns if not column.is_array]
    texts = "".join(f",\n  {trim_sql(_as_text(column.position))} AS t{column.position}" for column in plain)
    lower = "".join(f", {lower_sql(f't{column.position}')} AS l{column.position}" for column in plain)
    answers = "".join(f", {_answer(column, mark)} AS a{column.position}" for column in query.columns)
    return f"SELECT *{answers}\nFROM (SELECT *{lower}\nFROM (SELECT *{texts}\nFROM (\n{_source(query)}\n)))"


def _source(query: Query) -> str:
    places = ", ".join(f"c{place}" for place in range(len(query.names)))
    return f"SELECT * FROM (\n{require_one_statement(query.text)}\n) AS given ({places})"


def _answer(column: Column, mark: str) -> str:
    place = column.position
    if not column.is_array:
        return answer_sql(column.type, text=f"t{place}", lowered=f"l{place}", mark=mark)
    of_each = answer_sql(column.type, text="text", lowered=lower_sql("text"), mark=mark)
    texts = f"transform(CAST(c{place} AS array(varchar)), value -> {trim_sql('value')})"
    return f"transform({texts}, text -> {of_each})"


def _as_text(place: int) -> str:
    return f"CAST(c{place} AS varchar)"


def _digest_or_null(column: Column) -> str:
    return f"CASE WHEN length(a{column.position}) = {_DIGEST_CHARACTERS} THEN a{column.position} END"


def _as_array(column: Column) -> str:
    return f"a{column.position}" if column.is_array else f"ARRAY[a{column.position}]"


def _has_values(column: Column) -> str:
    """Return SQL: whether a row has a value in the column that is not NULL."""
    place = column.position
    return (
        f"coalesce(cardinality(filter(a{place}, each -> each IS NOT NULL)) > 0, false)"
        if column.is_array
        else f"(c{place} IS NOT NULL)"
    )
