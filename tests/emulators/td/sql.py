"""Queries in Trino's or Hive's SQL, as statements that DuckDB runs, with Treasure Data's additions."""

import logging
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.errors import SqlglotError

# sqlglot warns of statements that it does not know; the job fails with an error of its own.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_NOW = sqlglot.parse_one("to_timestamp(getvariable('td_now'))", read="duckdb")
_PLAIN = (exp.Drop, exp.Alter, exp.Delete)


class QueryFailedError(Exception):
    """The query cannot be run; the message is the engine's."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement in DuckDB's SQL; `source` is the SELECT in it, and `table` what an INSERT writes to.

    `columns` are those that an INSERT names, in lower case.
    `declared`: name and type of the columns that a CREATE TABLE or ALTER TABLE declares.
    """

    kind: str
    sql: str = ""
    source: str = ""
    table: str = ""
    columns: tuple[str, ...] = ()
    declared: tuple[tuple[str, str], ...] = ()


@lru_cache(maxsize=1_000)
def statements(query: str, *, dialect: str) -> tuple[Statement, ...]:
    """Return the statements of a query, separated by semicolons. Raises QueryFailedError for an invalid one."""
    try:
        parsed = [tree for tree in sqlglot.parse(query, read=dialect) if tree is not None]
        if not parsed:
            raise QueryFailedError("line 1:1: mismatched input '<EOF>'")
        return tuple(map(_statement, parsed))
    except SqlglotError as error:
        raise QueryFailedError(_message(error)) from error


def _statement(tree: exp.Expr) -> Statement:
    if isinstance(tree, (exp.Query, exp.Values)):
        return Statement(kind="select", sql=_duckdb(_with_names(tree)))
    if isinstance(tree, exp.Insert):
        is_named = isinstance(tree.this, exp.Schema)
        return Statement(
            kind="insert",
            source=_duckdb(tree.expression),
            table=_duckdb(tree.this.this if is_named else tree.this),
            columns=tuple(column.name.lower() for column in tree.this.expressions) if is_named else (),
        )
    if isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.expression, exp.Query):
        head = exp.Create(this=tree.this, kind="TABLE", exists=tree.args.get("exists"))
        return Statement(kind="create", source=_duckdb(tree.expression), sql=_duckdb(head))
    if isinstance(tree, exp.Delete) and not tree.args.get("where"):
        raise QueryFailedError("DELETE needs a WHERE clause")
    if isinstance(tree, exp.Create):
        _add_time(tree)
    if isinstance(tree, (exp.Create, *_PLAIN)):
        declared = tuple(
            (column.name, column.args["kind"].sql(dialect="trino")) for column in tree.find_all(exp.ColumnDef)
        )
        return Statement(kind="plain", sql=_duckdb(tree), declared=declared)
    raise QueryFailedError(f"line 1:1: mismatched input '{tree.sql().split(' ')[0]}'")


def _add_time(tree: exp.Create) -> None:
    """Every table has a `time`."""
    columns = tree.this.expressions if isinstance(tree.this, exp.Schema) else []
    if columns and "time" not in {column.name.lower() for column in columns}:
        tree.this.append(
            "expressions", exp.ColumnDef(this=exp.to_identifier("time"), kind=exp.DataType.build("bigint"))
        )


def _with_names(tree: exp.Expr) -> exp.Expr:
    """Columns that the query does not name are `_col0`, `_col1`, … by their place, as in Trino."""
    if isinstance(tree, exp.Select):
        for place, column in enumerate(tree.expressions):
            if not isinstance(column, (exp.Alias, exp.Column, exp.Dot, exp.Star)):
                tree.expressions[place].replace(exp.alias_(column.copy(), f"_col{place}"))
    return tree


def _duckdb(tree: exp.Expr) -> str:
    """The SQL of a tree that is not used again: a copy of it takes as long as its SQL."""
    tree = tree.transform(_translate, copy=False)
    return tree.sql(dialect="duckdb", copy=False, comments=False, unsupported_level=ErrorLevel.IGNORE)


def _translate(tree: exp.Expr) -> exp.Expr:
    if isinstance(tree, exp.CurrentTimestamp):
        return _NOW.copy()  # the time of the emulator's own clock
    # Trino's max_by and min_by return NULL if that is the value in the chosen row.
    if isinstance(tree, exp.ArgMax):
        return exp.func("arg_max_null", tree.this, tree.expression)
    if isinstance(tree, exp.ArgMin):
        return exp.func("arg_min_null", tree.this, tree.expression)
    # The fields of a row have no names.
    if isinstance(tree, exp.Struct) and not any(isinstance(field, exp.PropertyEQ) for field in tree.expressions):
        fields = enumerate(tree.expressions)
        named = [exp.PropertyEQ(this=exp.to_identifier(f"f{place}"), expression=field) for place, field in fields]
        return exp.Struct(expressions=named)
    # Trino makes a column of each field of a row in an array.
    if isinstance(tree, exp.Unnest) and not tree.args.get("offset") and len(tree.alias_column_names) > 1:
        (rows,) = tree.expressions
        select = f"SELECT UNNEST({rows.sql(dialect='duckdb')}, max_depth := 2)"
        return exp.Lateral(this=exp.Subquery(this=sqlglot.parse_one(select, read="duckdb")), alias=tree.args["alias"])
    # DuckDB takes every number but 0 for true.
    if isinstance(tree, exp.Column) and _is_condition(tree):
        return exp.func("td_condition", tree)
    return tree


def _is_condition(column: exp.Column) -> bool:
    place: exp.Expr = column
    while isinstance(place.parent, exp.Paren):
        place = place.parent
    conditions = (exp.Where, exp.Having, exp.Connector, exp.Not, exp.CountIf)
    return isinstance(place.parent, conditions) or (isinstance(place.parent, exp.If) and place.arg_key == "this")


def _message(error: SqlglotError) -> str:
    # The parser underlines the place with terminal codes; Trino gives line and column.
    for fault in getattr(error, "errors", []):
        return f"line {fault['line']}:{fault['col']}: {fault['description']}"
    return str(error).splitlines()[0]


FUNCTIONS = """
CREATE MACRO main.td_condition(c) AS CASE WHEN typeof(c) = 'BOOLEAN' THEN c
  ELSE error('line 1:1: a condition must evaluate to a boolean: actual type ' || lower(typeof(c))) END;
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
CREATE MACRO main.td_length(n, unit) AS CASE unit
  WHEN 's' THEN to_seconds(n) WHEN 'm' THEN to_minutes(n) WHEN 'h' THEN to_hours(n)
  WHEN 'd' THEN to_days(n) WHEN 'w' THEN to_days(7 * n) WHEN 'M' THEN to_months(n) ELSE error('unknown unit') END;
CREATE MACRO main.td_zone(tz) AS if(tz = 'JST', 'Asia/Tokyo', tz);
CREATE MACRO main.td_moved(t, span, tz) AS td_unix(t, tz) + epoch(td_length(span[:-2]::INTEGER, span[-1]))::BIGINT;
CREATE MACRO main.td_time_add(t, span, tz) AS td_moved(t, span, tz), (t, span) AS td_moved(t, span, 'UTC');
CREATE MACRO main.td_scheduled_time() AS getvariable('td_scheduled_time')::BIGINT;
-- -7d: the seven days before today; -7d/now: and today until the scheduled time; -7d/2026-01-31: those before that day.
CREATE MACRO main.td_reference(span, tz) AS
  coalesce(td_unix(nullif(nullif(split_part(span, '/', 2), ''), 'now'), tz), td_scheduled_time());
CREATE MACRO main.td_unit(span) AS regexp_extract(span, '^[+-]?\\d+([smhdwM])', 1);
CREATE MACRO main.td_begin(span, tz) AS date_trunc(
  CASE td_unit(span) WHEN 's' THEN 'second' WHEN 'm' THEN 'minute' WHEN 'h' THEN 'hour'
    WHEN 'd' THEN 'day' WHEN 'w' THEN 'week' WHEN 'M' THEN 'month' ELSE error('unknown interval') END,
  timezone(td_zone(tz), to_timestamp(td_reference(span, tz))));
CREATE MACRO main.td_between(t, span, tz) AS (
  t >= epoch(timezone(td_zone(tz),
    td_begin(span, tz) + td_length(regexp_extract(span, '^([+-]?\\d+)', 1)::INTEGER, td_unit(span))))
  AND t < if(span LIKE '%/now', td_scheduled_time(), epoch(timezone(td_zone(tz), td_begin(span, tz)))));
CREATE MACRO main.from_base(digits, base) AS if(base = 16, ('0x' || digits)::BIGINT, error('only base 16'));
CREATE MACRO main.td_interval(t, span, tz) AS td_between(t, span, tz), (t, span) AS td_between(t, span, 'UTC');
"""
