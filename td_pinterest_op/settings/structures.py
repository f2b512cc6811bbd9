"""Types of settings that hold several values: a list or a mapping, as its own type or as text."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from td_pinterest_op.identifiers.types import LIST_TYPES, ROW_ONLY_NAMES, TYPES, join_with_or
from td_pinterest_op.settings.text import parse_text
from td_pinterest_op.settings.types import (
    AD_ACCOUNT_ID,
    AUDIENCE_ID,
    TEXT,
    SettingType,
    Show,
    WrongValueError,
    build_choice_type,
    build_word_type,
    describe_type,
    is_left_out,
    parse_number,
    suggest_word,
)

_V = TypeVar("_V")

_MOST_PERCENT = 50  # in a control group
_MAXIMUM_FAULTS_SHOWN = 10
_MAXIMUM_ITEMS = 1000  # a workflow has no more tasks, and each item is one request at least

# AudienceStatus of Pinterest's API 5.28; REMOVED is the operator's own word for an audience that is gone.
_STATUSES = (
    *("INITIALIZING", "READY", "TOO_SMALL", "ELIGIBLE"),
    *("PERSONAS_INELIGIBLE_SIZE", "PERSONAS_INITIALIZING", "REMOVED"),
)

_IDENTIFIER_TYPE = build_word_type(*TYPES)
_STATUS = build_choice_type({status.lower(): status for status in _STATUSES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A control group: `percent` of the people, by a hash of `salt` and column `by` (None: the identifier's digest)."""

    percent: Decimal  # 0.01 to 50, at most two decimals
    salt: str
    by: str | None = None  # in lower case, as columns are compared

    @property
    def share_of_ten_thousand(self) -> int:
        """The group's size in ten-thousandths. People whose hash modulo 10,000 is below it are in the group."""
        return int(self.percent * 100)


def read_list_items(value: object) -> Sequence[object]:
    """Return a value as a list of items; JSON or YAML text, or text with commas, is parsed. Raises WrongValueError."""
    if isinstance(value, str):
        is_list = value.lstrip().startswith(("[", "- "))
        value = parse_text(value) if is_list else [item.strip() for item in value.split(",") if item.strip()]
    elif isinstance(value, (int, float)):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise WrongValueError(f"must be a list, not {describe_type(value)}")
    if len(value) > _MAXIMUM_ITEMS:
        raise WrongValueError(f"the list has {len(value):,} items, more than the maximum of {_MAXIMUM_ITEMS:,}")
    return value


def read_mapping(value: object) -> Mapping[object, object]:
    """Return a value as a mapping; JSON or YAML text is parsed. Raises WrongValueError for any other value."""
    mapping = parse_text(value) if isinstance(value, str) else value
    if not isinstance(mapping, Mapping):
        raise WrongValueError(f"must be a mapping, not {describe_type(value)}")
    return mapping


def _read_each(readers: Iterable[tuple[str, Callable[[], _V]]], faults: Sequence[str] = ()) -> list[_V]:
    """Call each reader and return the values. Raises WrongValueError with `faults` and the readers' labelled faults."""
    values, faults = [], list(faults)
    for label, read in readers:
        try:
            values.append(read())
        except WrongValueError as error:
            faults.append(f"{label}{error}")
    if faults:
        rest = len(faults) - _MAXIMUM_FAULTS_SHOWN
        raise WrongValueError(", ".join(faults[:_MAXIMUM_FAULTS_SHOWN]) + (f", and {rest} more" if rest > 0 else ""))
    return values


def _read_items(item_type: SettingType, value: object, show: Show) -> list[str]:
    items = enumerate(read_list_items(value), start=1)
    return _read_each((f"number {position}: ", partial(item_type.read, item, show)) for position, item in items)


def _build_id_list_type(id_type: SettingType) -> SettingType:
    """Return the setting type of a list of ids or a single id, read as a tuple without repeats, in the order given."""

    def read_ids(value: object, show: Show) -> tuple[str, ...]:
        ids = tuple(dict.fromkeys(_read_items(id_type, value, show)))
        if not ids:
            raise WrongValueError("must contain at least one id")
        return ids

    allowed = f"a list, or a comma-separated string, of 1 to {_MAXIMUM_ITEMS} ids ({id_type.allowed})"
    return SettingType(read=read_ids, allowed=allowed, is_id=True)


def _read_columns(value: object, show: Show) -> Mapping[str, str]:
    """Return the identifier type of each column, by the column's name in lower case. Raises WrongValueError."""
    columns: dict[str, str] = {}

    def read_column(column: object, identifier_type: object) -> None:
        name = column.strip().lower() if isinstance(column, str) else ""
        if not name:
            raise WrongValueError("the name of a column must be a string that is not blank")
        if name in columns:
            raise WrongValueError("the column is named twice (upper and lower case are equal)")
        columns[name] = _IDENTIFIER_TYPE.read(identifier_type, show)

    pairs = read_mapping(value).items()
    _read_each((f"column {show(column)}: ", partial(read_column, column, kind)) for column, kind in pairs)
    return columns


def _read_percent(value: object, show: Show) -> Decimal:
    percent = parse_number(value)
    if percent is None or not 0 < percent <= _MOST_PERCENT or percent != round(percent, 2):
        raise WrongValueError(
            f"must be a number from 0.01 to {_MOST_PERCENT} with at most two decimals, not {show(value)}"
        )
    return round(percent, 2)


_CONTROL_PARTS: Mapping[object, Callable[[object, Show], Any]] = {
    "percent": _read_percent,
    # With its spaces: a query that computes the same group has them as well.
    "salt": lambda value, show: TEXT.read(value, show) and value,
    "by": lambda value, show: TEXT.read(value, show).lower(),
}


def _read_control(value: object, show: Show) -> Control:
    mapping = read_mapping(value)
    parts = {name: part for name, part in mapping.items() if not is_left_out(part)}
    faults = [f"{name} is missing" for name in ("percent", "salt") if name not in parts]
    if "by" not in parts and mapping.get("by") is not None:
        # A template that rendered to nothing must not choose another group, that of the digests.
        faults.append("by is blank: name a column, or leave it out")
    unknown = [name for name in parts if name not in _CONTROL_PARTS]
    faults += [f"{show(name)} is unknown{suggest_word(str(name), map(str, _CONTROL_PARTS))}" for name in unknown]
    known = [name for name in _CONTROL_PARTS if name in parts]
    readers = ((f"{name}: ", partial(_CONTROL_PARTS[name], parts[name], show)) for name in known)
    return Control(**dict(zip(map(str, known), _read_each(readers, faults), strict=True)))


COLUMNS = SettingType(
    read=_read_columns,
    allowed=f"a mapping from the query's column name to {join_with_or(LIST_TYPES)}; with records: rows also "
    + ", ".join(ROW_ONLY_NAMES),
)
STATUS_SET = SettingType(
    read=lambda value, show: frozenset(_read_items(_STATUS, value, show)),
    allowed=f"a list, or a comma-separated string, of {', '.join(_STATUSES)}",
)
AUDIENCE_IDS = _build_id_list_type(AUDIENCE_ID)
AD_ACCOUNT_IDS = _build_id_list_type(AD_ACCOUNT_ID)
CONTROL = SettingType(
    read=_read_control,
    allowed=f"a mapping of percent (more than 0, up to {_MOST_PERCENT}, two decimals at most), salt (text) and, if "
    "wanted, by (a column's name)",
)
