"""Find the columns of a job's result that contain identifiers, and check that an export can use them."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, EMAIL, TYPES, IdentifierType, join_with_or
from td_pinterest_op.redaction.secret import mask_and_escape
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.treasure_data.job import Job

# Trino's and Hive's types for text: varchar(32), string, array(varchar), array<string>.
_TEXT_TYPE_PATTERN = re.compile(r"(array\s*[(<]\s*)?(varchar|char|string)\b", re.IGNORECASE)
_CONTROL_KEY_TYPE_PATTERN = re.compile(
    r"(varchar|char|string|bigint|integer|int|smallint|tinyint|long)\b", re.IGNORECASE
)
_LONGEST_COLUMN_LIST = 600  # characters in a message
_MOST_LISTED_PROBLEMS = 20


@dataclass(frozen=True, kw_only=True)
class IdentifierColumn:
    """A column of a query's result that contains identifiers."""

    name: str
    type: IdentifierType
    position: int  # in the result, from 0
    is_array: bool = False  # a row may have several values
    is_hashed_by_warehouse: bool = False  # the values are digests or reasons for rejection, not plain
    default_country: str | None = None  # for phone numbers without a country code


def find_people_columns(
    job: Job, settings: ExportSettings, list_columns: Mapping[str, Sequence[IdentifierColumn]]
) -> Sequence[IdentifierColumn]:
    """Return the identifier columns in the result of `job`, which ran the query of the people to send.

    With `records: rows` they are in the order of TYPES. `list_columns`: those of each opt-out and consent list, by its
    name. Raises JobError as `find_identifier_columns` does, and if a list has no type in common with the people, if two
    columns would be the same key of a record (as maid and idfa are), or if no column can choose the control group.
    """
    selected = {name.lower() for name, _ in job.schema}
    selected_by_list = {column.name.lower() for columns in list_columns.values() for column in columns}
    # A name that no query selects stays, and is reported.
    named = {key: type_ for key, type_ in settings.columns.items() if key in selected or key not in selected_by_list}
    control = settings.control
    types = CUSTOMER_LIST_TYPES if settings.records == "identifiers" else TYPES
    columns = find_identifier_columns(
        job,
        named,
        types=types,
        control_column=control.by if control else None,
        default_country=settings.default_country,
        ignored_columns=settings.rejected_keys,
    )
    if settings.records == "rows":
        by_key = {type_.key: [each.name for each in columns if each.type.key == type_.key] for type_ in TYPES.values()}
        if repeated := [f"{' and '.join(names)} are both {key}" for key, names in by_key.items() if len(names) > 1]:
            raise JobError(
                f"{job.label} cannot be exported with records: rows, because a record may have each key only once, but "
                f"{'; '.join(repeated)}. Select one column for each key"
            )
        order = list(TYPES)
        columns.sort(key=lambda column: order.index(column.type.name))
    for name, of_list in list_columns.items():
        list_types = {column.type.name for column in of_list}
        people_types = {column.type.name for column in columns}
        if people_types.isdisjoint(list_types):
            raise JobError(
                f"`{name}` selects {' and '.join(sorted(list_types))}, but the people's query selects "
                f"{' and '.join(sorted(people_types))}: without a common type of identifier, the list would match "
                "nobody. Select a common type in both queries"
            )
    if control and control.by is None and not (has_single_identifier_rows(columns) and columns[0].type.is_hashed):
        raise JobError(
            f"{job.label} has no column that identifies each person for the control group: select a column with a key "
            "of each person, and name that column as `by` in `control`"
        )
    return columns


def find_withholding_list_columns(job: Job, settings: ExportSettings) -> Sequence[IdentifierColumn]:
    """Return the identifier columns of an opt-out or consent list. Raises as `find_identifier_columns` does."""
    selected = {name.lower() for name, _ in job.schema}
    # `columns` may name those of other queries too.
    columns = {name: type_ for name, type_ in settings.columns.items() if name in selected}
    types = TYPES if settings.records == "rows" else CUSTOMER_LIST_TYPES
    return find_identifier_columns(job, columns, types=types, default_country=settings.default_country)


def find_identifier_columns(
    job: Job,
    columns: Mapping[str, str],
    *,
    types: Mapping[str, IdentifierType] = CUSTOMER_LIST_TYPES,
    control_column: str | None = None,
    default_country: str | None = None,
    ignored_columns: Collection[str] = (),
) -> list[IdentifierColumn]:
    """Return the columns of a job's result with the name of an identifier type, or which `columns` maps to a type.

    `columns`: the names of types, by lower-case column name. `types`: those that may be used, by name.
    `control_column`: chooses the control group, is checked, but not returned. Raises JobError if no column is left, or
    if any column is missing, not text, or neither an identifier nor one of the `ignored_columns`, in lower case.
    """
    type_by_name = {**types, **{name: types[type_] for name, type_ in columns.items()}}
    names = [name.lower() for name, _ in job.schema]
    named = {**dict.fromkeys(columns, "columns"), **({control_column: "control"} if control_column else {})}
    problems = [
        f'there is no column "{mask_and_escape(name)}", which `{setting}` names: select it, or correct the name'
        for name, setting in named.items()
        if name not in names
    ]
    never_sent = ""
    if control_column in names and type_by_name.pop(control_column, None) is not None:
        never_sent = " but that of `control`, which is never sent"
    found = []
    foreign = []
    for position, (name, sql_type) in enumerate(job.schema):
        type_ = type_by_name.get(name.lower())
        if type_ or name.lower() == control_column:
            if not (_TEXT_TYPE_PATTERN if type_ else _CONTROL_KEY_TYPE_PATTERN).match(sql_type):
                # A cast of bytes would take them for UTF-8; what a query holds as bytes is a digest.
                cure = "wrap it in to_hex(…)" if sql_type.lower().startswith("varbinary") else "cast it to varchar"
                problems.append(f'column "{mask_and_escape(name)}" is of type {mask_and_escape(sql_type)}: {cure}')
        elif name.lower() not in ignored_columns:
            foreign.append(f'"{mask_and_escape(name)}"')
        if type_:
            found.append(
                IdentifierColumn(
                    name=name,
                    type=type_,
                    position=position,
                    is_array=sql_type.lower().startswith("array"),
                    is_hashed_by_warehouse=job.is_hashed_by_warehouse,
                    default_country=default_country,
                )
            )
    if foreign:
        subject = f"column {foreign[0]} is not an identifier"
        if len(foreign) > 1:
            subject = f"columns {', '.join(foreign[:_MOST_LISTED_PROBLEMS])} are not identifiers"
        problems.append(
            f"{subject} that can be sent: leave {'it' if len(foreign) == 1 else 'them'} out of the query, or name "
            f"{'it' if len(foreign) == 1 else 'them'} in `columns` (phone and external_id need records: rows)"
        )
    if not found:
        problems.insert(0, f"there is no column {join_with_or(types)}{never_sent}")
    if problems:
        shown = mask_and_escape(", ".join(" ".join(column) for column in job.schema), longest=_LONGEST_COLUMN_LIST)
        listed = "; ".join(problems[:_MOST_LISTED_PROBLEMS])
        raise JobError(f"{job.label} (columns: {shown}) cannot be exported: {listed}")
    return found


def get_column_position(name: str, names: Iterable[str]) -> int:
    """Return the position of the column `name` in `names`, in any letter case. Raises ValueError if it is missing."""
    return [each.lower() for each in names].index(name.lower())


def has_single_identifier_rows(columns: Sequence[IdentifierColumn]) -> bool:
    """Return whether there is one column, and it is not an array."""
    return len(columns) == 1 and not columns[0].is_array


def choose_customer_list_type(columns: Sequence[IdentifierColumn]) -> str:
    """Return the type of a customer list for these columns: "EMAIL", "MAID" or "IDFA"; "EMAIL" for several types."""
    types = {column.type.list_type for column in columns}
    return (types.pop() if len(types) == 1 else "") or EMAIL.list_type
