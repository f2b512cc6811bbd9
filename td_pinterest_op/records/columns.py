"""The columns of a result that hold identifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from td_pinterest_op.errors import JobError
from td_pinterest_op.records.identifiers import IdentifierType
from td_pinterest_op.treasure_data.job import Job

# varchar(32), char(64), string: Trino's and Hive's types for text.
_TEXT = re.compile(r"(varchar|char|string)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the result that holds identifiers; `position` is counted from 0."""

    name: str
    kind: IdentifierType
    position: int


def identifier_columns(job: Job, columns: Mapping[str, str]) -> Sequence[Column]:
    """The identifier columns of a result; `columns` maps lower-case names to `email`, `maid` or `idfa`.

    Raises JobError, which names all that is wrong: columns that are none, that are missing, or not of a string type.
    """
    kinds = {kind.value: kind for kind in IdentifierType} | {
        name: IdentifierType(kind) for name, kind in columns.items()
    }
    found = [(position, name, kinds.get(name.lower()), type_) for position, (name, type_) in enumerate(job.schema)]
    problems = [
        f'there is no column "{name}", which `columns` names'
        for name in columns
        if name not in {column.lower() for column, _ in job.schema}
    ]
    problems += [
        f'column "{name}" is no identifier: leave it out of the query, or name it in `columns`'
        for _, name, kind, _ in found
        if kind is None
    ]
    problems += [
        f'column "{name}" is of type {type_}: cast it to varchar'
        for _, name, kind, type_ in found
        if kind and not _TEXT.match(type_)
    ]
    if not any(kind for _, _, kind, _ in found):
        problems.append("there is no column email, maid or idfa")
    if problems:
        names = ", ".join(f"{name} {type_}" for name, type_ in job.schema)
        raise JobError(f"the result of job {job.id} (columns: {names}) cannot be exported: {'; '.join(problems)}")
    return [Column(name=name, kind=kind, position=position) for position, name, kind, _ in found if kind]


def list_type(columns: Sequence[Column]) -> str:
    """The type of a customer list made for these columns: that of their kind, EMAIL for several kinds."""
    kinds = {column.kind for column in columns}
    return kinds.pop().name if len(kinds) == 1 else IdentifierType.EMAIL.name
