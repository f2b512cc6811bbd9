"""Queries in Trino's or Hive's SQL, as statements that DuckDB runs, with what Treasure Data adds to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.errors import SqlglotError

# It warns of statements that it does not know; a job that fails says so itself.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_PLAIN = (exp.Drop, exp.Alter, exp.Delete)


class QueryFailedError(Exception):
    """The query cannot be run; the message is the engine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement in DuckDB's SQL; `source` is the SELECT in it, and `table` what an INSERT or CREATE writes to."""

    kind: str
    sql: str = ""
    source: str = ""
    table: str = ""
    overwrite: bool = False


def statements(query: str, *, dialect: str) -> Iterator[Statement]:
    """The statements of a query, separated by semicolons. Raises QueryFailedError for what does not parse."""
    try:
        parsed = [tree for tree in sqlglot.parse(query, read=dialect) if tree is not None]
        if not parsed:
            raise QueryFailedError("line 1:1: mismatched input '<EOF>'")
        yield from [_statement(tree) for tree in parsed]
    except SqlglotError as error:
        raise QueryFailedError(_message(error)) from error


def _statement(tree: exp.Expr) -> Statement:
    if isinstance(tree, (exp.Query, exp.Values)):
        return Statement(kind="select", sql=_duckdb(_with_names(tree)))
    if isinstance(tree, exp.Insert) and isinstance(tree.this, exp.Table):
        overwrite = bool(tree.args.get("overwrite"))
        return Statement(kind="insert", source=_duckdb(tree.expression), table=_duckdb(tree.this), overwrite=overwrite)
    if isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.expression, exp.Query):
        head = exp.Create(this=tree.this, kind="TABLE", exists=tree.args.get("exists"))
        return Statement(kind="create", source=_duckdb(tree.expression), sql=_duckdb(head))
    if isinstance(tree, (exp.Insert, exp.Create, *_PLAIN)):
        return Statement(kind="plain", sql=_duckdb(tree))
    raise QueryFailedError(f"line 1:1: mismatched input '{tree.sql().split(' ')[0]}'")


def _with_names(tree: exp.Expr) -> exp.Expr:
    """Columns that the query does not name are `_col0`, `_col1`, … by their place, as in Trino."""
    if isinstance(tree, exp.Select):
        for place, column in enumerate(tree.expressions):
            if not isinstance(column, (exp.Alias, exp.Column, exp.Dot, exp.Star)):
                tree.expressions[place].replace(exp.alias_(column.copy(), f"_col{place}"))
    return tree


def _duckdb(tree: exp.Expr) -> str:
    return tree.sql(dialect="duckdb", comments=False, unsupported_level=ErrorLevel.IGNORE)


def _message(error: SqlglotError) -> str:
    # The parser underlines the place with terminal codes; Trino gives line and column.
    for found in getattr(error, "errors", []):
        return f"line {found['line']}:{found['col']}: {found['description']}"
    return str(error).splitlines()[0]


FUNCTIONS = """
CREATE MACRO main.td_time_text(t, f) AS CASE f
  WHEN 'y!' THEN strftime(t, '%Y') WHEN 'M!' THEN strftime(t, '%Y-%m') WHEN 'd!' THEN strftime(t, '%Y-%m-%d')
  WHEN 'h!' THEN strftime(t, '%Y-%m-%d %H') WHEN 'm!' THEN strftime(t, '%Y-%m-%d %H:%M')
  WHEN 's!' THEN strftime(t, '%Y-%m-%d %H:%M:%S') END;
CREATE MACRO main.td_unix(t, tz) AS coalesce(
  try_cast(t AS BIGINT),
  epoch(coalesce(try_cast(regexp_extract(t::VARCHAR, '.*(Z|[+-]\\d\\d:?\\d\\d)$') AS TIMESTAMPTZ),
                 timezone(if(tz = 'JST', 'Asia/Tokyo', tz), try_cast(t AS TIMESTAMP))))::BIGINT);
CREATE MACRO main.td_time_range
  (t, a, b, tz) AS (t >= coalesce(td_unix(a, tz), t) AND t < coalesce(td_unix(b, tz), t + 1)),
  (t, a, b) AS (t >= coalesce(td_unix(a, 'UTC'), t) AND t < coalesce(td_unix(b, 'UTC'), t + 1)),
  (t, a) AS t >= coalesce(td_unix(a, 'UTC'), t);
CREATE MACRO main.td_time_string
  (t, f, tz) AS td_time_text(timezone(if(tz = 'JST', 'Asia/Tokyo', tz), to_timestamp(t)), f),
  (t, f) AS td_time_text(timezone('UTC', to_timestamp(t)), f);
CREATE MACRO main.td_scheduled_time() AS getvariable('td_scheduled_time')::BIGINT;
"""
