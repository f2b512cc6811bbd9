"""The columns of a result that hold identifiers."""

import logging
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.identifier_types import EMAIL, LIST_TYPES, TYPES, IdentifierType, join_with_or
from td_pinterest_op.redaction.secret import sanitize
from td_pinterest_op.treasure_data.job import Job

log = logging.getLogger(__name__)

# varchar(32), char(64), string: Trino's and Hive's types for text; array(varchar), array<string>.
_TEXT = re.compile(r"(array\s*[(<]\s*)?(varchar|char|string)\b", re.IGNORECASE)
# Types of a column that can choose a control group.
_KEY = re.compile(r"(varchar|char|string|bigint|integer|int|smallint|tinyint|long)\b", re.IGNORECASE)
_MAXIMUM_SHOWN = 20  # columns or problems, in a message
_NEVER_SENT = (
    'column "{}" chooses the control group, and is never sent: to send it too, select it a second time under another '
    "name, and name that one as `by` in `control`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a query's result that contains identifiers."""

    name: str
    type: IdentifierType
    position: int  # from 0
    is_array: bool = False  # a row may have several values
    is_hashed_by_warehouse: bool = False  # see `Job`


def find_row_columns(job: Job, columns: Mapping[str, str], *, control_column: str | None = None) -> Sequence[Column]:
    """Return the identifier columns for `records: rows`, in the order of TYPES.

    Raises JobError if two columns share a key, as maid and idfa do.
    """
    found = find_identifier_columns(job, columns, types=TYPES, control_column=control_column)
    by_key = {type_.key: [each.name for each in found if each.type.key == type_.key] for type_ in TYPES.values()}
    if duplicates := [f"{' and '.join(names)} are both {key}" for key, names in by_key.items() if len(names) > 1]:
        raise JobError(
            f"{job.label} cannot be exported with records: rows, because a record may have each key only once, but "
            f"{'; '.join(duplicates)}. Select one column for each key"
        )
    order = list(TYPES)
    return sorted(found, key=lambda column: order.index(column.type.name))


def find_identifier_columns(
    job: Job,
    columns: Mapping[str, str],
    *,
    types: Mapping[str, IdentifierType] = LIST_TYPES,
    control_column: str | None = None,
    ignores_other_columns: bool = False,
) -> Sequence[Column]:
    """Return the identifier columns of a job's result: those named like a type, or that `columns` maps to a type.

    `columns` maps other lower-case names to types. `control_column`, which assigns the control group, is not returned.
    Raises JobError, which names every column that is missing, not text, or (unless `ignores_other_columns`) unknown.
    """
    type_by_name = {**types, **{name: types[type_] for name, type_ in columns.items()}}
    names = {name.lower() for name, _ in job.schema}
    never_sent = [_NEVER_SENT.format(sanitize(name)) for name in names & {control_column} & type_by_name.keys()]
    type_by_name.pop(control_column or "", None)
    found = _describe_problems(job, columns, type_by_name, control_column, ignores_other_columns=ignores_other_columns)
    problems = list(islice(found, _MAXIMUM_SHOWN))
    if type_by_name.keys().isdisjoint(names):
        problems += never_sent or [f"there is no column {join_with_or(types)}"]
    if problems:
        shown = [f"{sanitize(name)} {sanitize(sql_type)}" for name, sql_type in job.schema[:_MAXIMUM_SHOWN]]
        more = [f"and {len(job.schema) - _MAXIMUM_SHOWN} more"] if len(job.schema) > _MAXIMUM_SHOWN else []
        raise JobError(f"{job.label} (columns: {', '.join(shown + more)}) cannot be exported: {'; '.join(problems)}")
    for warning in () if job.is_hashed_by_warehouse else never_sent:  # the columns of such a job were checked before
        log.warning("%s", warning)
    return [
        Column(
            name=name,
            type=type_by_name[name.lower()],
            position=position,
            is_array=sql_type.lower().startswith("array"),
            is_hashed_by_warehouse=job.is_hashed_by_warehouse,
        )
        for position, (name, sql_type) in enumerate(job.schema)
        if name.lower() in type_by_name
    ]


def _describe_problems(
    job: Job, columns: Iterable[str], usable: Container[str], control_column: str | None, *, ignores_other_columns: bool
) -> Iterator[str]:
    """Yield a message for each column that a setting names but the job lacks, and for each that cannot be exported."""
    names = [name.lower() for name, _ in job.schema]
    setting_by_name = dict.fromkeys(columns, "columns") | ({control_column: "control"} if control_column else {})
    for name, setting in setting_by_name.items():
        if name not in names:
            yield f'there is no column "{sanitize(name)}", which `{setting}` names'
        elif setting == "control" and names.count(name) > 1:
            yield f'several columns are named "{sanitize(name)}", which `control` names: select one'
    for name, sql_type in job.schema:
        if name.lower() in usable or name.lower() == control_column:
            if not (_KEY if name.lower() == control_column else _TEXT).match(sql_type):
                # A cast of bytes would take them for UTF-8; what a query holds as bytes is a digest.
                cure = "wrap it in to_hex(…)" if sql_type.lower().startswith("varbinary") else "cast it to varchar"
                yield f'column "{sanitize(name)}" is of type {sanitize(sql_type)}: {cure}'
        elif not ignores_other_columns:
            cure = f"leave it out of {job.source_nouns.name}, or name it in `columns`"
            yield f'column "{sanitize(name)}" is not an identifier: {cure}'


def find_position(name: str, names: Iterable[str]) -> int:
    """Return the position, from 0, of a column name in `names`, in any letter case. Raises ValueError if missing."""
    return [each.lower() for each in names].index(name.lower())


def is_single(columns: Sequence[Column]) -> bool:
    """Return whether each row has a single identifier: there is one column, and it is not an array."""
    return len(columns) == 1 and not columns[0].is_array


def choose_list_type(columns: Sequence[Column]) -> str:
    """Return the type of a customer list for the identifiers in these columns, EMAIL if they have several types."""
    types = {column.type.list_type for column in columns}
    return (types.pop() if len(types) == 1 else "") or EMAIL.list_type
