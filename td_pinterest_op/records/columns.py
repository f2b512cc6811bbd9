"""The columns of a result that hold identifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.types import EMAIL, LISTED, TYPES, IdentifierType, join_with_or
from td_pinterest_op.redaction.format import sanitize
from td_pinterest_op.treasure_data.job import Job

# varchar(32), char(64), string: Trino's and Hive's types for text; array(varchar), array<string>.
_TEXT = re.compile(r"(array\s*[(<]\s*)?(varchar|char|string)\b", re.IGNORECASE)
# What a control group may be chosen by.
_KEY = re.compile(r"(varchar|char|string|bigint|integer|int|smallint|tinyint|long)\b", re.IGNORECASE)
# Columns that a message names, of each sort.
_MAXIMUM_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the result that holds identifiers; `position` is counted from 0. `is_array`: several in a row.

    `is_judged`: see `Job`.
    """

    name: str
    type: IdentifierType
    position: int
    is_array: bool = False
    is_judged: bool = False


def row_columns(job: Job, columns: Mapping[str, str], *, by: str | None = None) -> Sequence[Column]:
    """The columns of a result that hold keys of a record; `columns` maps lower-case names to the names of types.

    Raises JobError, as `identifier_columns` and for two columns of one key, since a record has each key once.
    """
    known = identifier_columns(job, columns, types=TYPES, by=by)
    of_key: dict[str, list[str]] = {}
    for column in known:
        of_key.setdefault(column.type.key, []).append(column.name)
    twice = [f"{' and '.join(names)} both hold {key}" for key, names in of_key.items() if len(names) > 1]
    if twice:
        raise JobError(
            f"{job.label} cannot be exported with records: rows, where a record has each key once: {'; '.join(twice)}"
        )
    return known


def identifier_columns(
    job: Job,
    columns: Mapping[str, str],
    *,
    types: Mapping[str, IdentifierType] = LISTED,
    by: str | None = None,
    ignores_others: bool = False,
) -> Sequence[Column]:
    """The columns of a result, which `types` knows by their lower-case names; `columns` maps other names to those.

    The column `by` is left out: its values are no identifiers. Raises JobError, which names every problem: columns
    that are not known, unless it `ignores_others`, columns that are named and missing, columns that are not text (`by`:
    nor whole numbers).
    """
    known = dict(types) | {name: types[type_] for name, type_ in columns.items()}
    known.pop(by or "", None)
    names = {name.lower() for name, _ in job.schema}
    problems = [
        f'there is no column "{sanitize(name)}", which `{setting}` names'
        for setting, name in [*(("columns", name) for name in columns), *([("control", by)] if by else [])]
        if name not in names
    ]
    unknown = (name for name, _ in job.schema if name.lower() not in {*known, by} and not ignores_others)
    problems += [
        f'column "{sanitize(name)}" is no identifier: leave it out of {job.origin.name}, or name it in `columns`'
        for name in islice(unknown, _MAXIMUM_SHOWN)
    ]
    problems += [
        f'column "{sanitize(name)}" is of type {sanitize(sql_type)}: {_cure(sql_type)}'
        for name, sql_type in job.schema
        if (name.lower() in known and not _TEXT.match(sql_type)) or (name.lower() == by and not _KEY.match(sql_type))
    ][:_MAXIMUM_SHOWN]
    if known.keys().isdisjoint(names):
        problems.append(f"there is no column {join_with_or(types)}")
    if problems:
        shown = [f"{sanitize(name)} {sanitize(sql_type)}" for name, sql_type in job.schema[:_MAXIMUM_SHOWN]]
        more = [f"and {len(job.schema) - _MAXIMUM_SHOWN} more"] if len(job.schema) > _MAXIMUM_SHOWN else []
        raise JobError(f"{job.label} (columns: {', '.join(shown + more)}) cannot be exported: {'; '.join(problems)}")
    return [
        Column(
            name=name,
            type=known[name.lower()],
            position=position,
            is_array=sql_type.lower().startswith("array"),
            is_judged=job.is_judged,
        )
        for position, (name, sql_type) in enumerate(job.schema)
        if name.lower() in known
    ]


def position_of(job: Job, name: str) -> int:
    """Where the column with this lower-case name is, counted from 0."""
    return [name.lower() for name, _ in job.schema].index(name)


def _cure(sql_type: str) -> str:
    # A cast of bytes would take them for UTF-8; what a query holds as bytes is a digest.
    return "wrap it in to_hex(…)" if sql_type.lower().startswith("varbinary") else "cast it to varchar"


def list_type(columns: Sequence[Column]) -> str:
    """The type of a customer list made for these columns: that of their identifiers, EMAIL for several types."""
    types = {column.type.list_type for column in columns}
    return (types.pop() if len(types) == 1 else None) or cast("str", EMAIL.list_type)
