"""The columns of a result that hold identifiers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from td_pinterest_op.errors import JobError
from td_pinterest_op.printable import printable
from td_pinterest_op.records.identifiers import IdentifierType
from td_pinterest_op.treasure_data.job import Job

# varchar(32), char(64), string: Trino's and Hive's types for text.
_TEXT = re.compile(r"(varchar|char|string)\b", re.IGNORECASE)
# Columns that a message names, of each sort.
_MAXIMUM_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the result that holds identifiers; `position` is counted from 0."""

    name: str
    kind: IdentifierType
    position: int


def identifier_columns(job: Job, columns: Mapping[str, str]) -> Sequence[Column]:
    """The identifier columns of a result; `columns` maps lower-case names to `email`, `maid` or `idfa`.

    Raises JobError as `known_columns` does.
    """
    types = {type_.value: type_.value for type_ in IdentifierType} | dict(columns)
    return [
        Column(name=name, kind=IdentifierType(type_), position=position)
        for name, type_, position in known_columns(job, types, mapped=columns)
    ]


def known_columns(job: Job, types: Mapping[str, str], *, mapped: Collection[str]) -> list[tuple[str, str, int]]:
    """Name, type and position (from 0) of each column of a result; `types` maps lower-case names to types.

    Raises JobError, which names every problem: columns that `types` does not know, columns in `mapped` (the names
    in the setting `columns`) that are missing, columns that are not text.
    """
    found = [(name, types.get(name.lower()), position) for position, (name, _) in enumerate(job.schema)]
    names = {name.lower() for name, _ in job.schema}
    problems = [
        f'there is no column "{printable(name)}", which `columns` names' for name in mapped if name not in names
    ]
    problems += [
        f'column "{printable(name)}" is no identifier: leave it out of the query, or name it in `columns`'
        for name, type_, _ in islice((each for each in found if each[1] is None), _MAXIMUM_SHOWN)
    ]
    problems += [
        f'column "{printable(name)}" is of type {printable(sql_type)}: {_cure(sql_type)}'
        for name, sql_type in job.schema
        if types.get(name.lower()) and not _TEXT.match(sql_type)
    ][:_MAXIMUM_SHOWN]
    if all(type_ is None for _, type_, _ in found):
        *most, last = dict.fromkeys(types.values())
        problems.append(f"there is no column {', '.join(most)} or {last}")
    if problems:
        shown = [f"{printable(name)} {printable(sql_type)}" for name, sql_type in job.schema[:_MAXIMUM_SHOWN]]
        more = [f"and {len(job.schema) - _MAXIMUM_SHOWN} more"] if len(job.schema) > _MAXIMUM_SHOWN else []
        raise JobError(f"{job.label} (columns: {', '.join(shown + more)}) cannot be exported: {'; '.join(problems)}")
    return [(name, type_, position) for name, type_, position in found if type_]


def _cure(sql_type: str) -> str:
    # A cast of bytes would take them for UTF-8; what a query holds as bytes is a digest.
    return "wrap it in to_hex(…)" if sql_type.lower().startswith("varbinary") else "cast it to varchar"


def list_type(columns: Sequence[Column]) -> str:
    """The type of a customer list made for these columns: that of their kind, EMAIL for several kinds."""
    kinds = {column.kind for column in columns}
    return kinds.pop().name if len(kinds) == 1 else IdentifierType.EMAIL.name
