"""Types of settings that hold several values: a list or a mapping, as its own type or as text."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from td_pinterest_op.identifiers.types import KEYS_ONLY, LISTED, TYPES, join_with_or
from td_pinterest_op.settings import text as setting_text
from td_pinterest_op.settings.types import (
    AD_ACCOUNT_ID,
    AUDIENCE_ID,
    TEXT,
    SettingType,
    Show,
    WrongValueError,
    choice,
    describe,
    is_left_out,
    parse_number,
    suggest,
)

_MOST_PERCENT = 50  # in a control group
_MAXIMUM_FAULTS_SHOWN = 10
_MAXIMUM_ITEMS = 1000  # a workflow has no more tasks, and each item is one request at least

# AudienceStatus of Pinterest's API 5.28; REMOVED is the operator's own word for an audience that is gone.
STATUSES = (
    "INITIALIZING",
    "READY",
    "TOO_SMALL",
    "ELIGIBLE",
    "PERSONAS_INELIGIBLE_SIZE",
    "PERSONAS_INITIALIZING",
    "REMOVED",
)

_IDENTIFIERS = choice({name: name for name in TYPES})
_STATUS = choice({status.lower(): status for status in STATUSES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A control group: `percent` of the people, chosen by `salt` and the key in column `by` (None: the digest)."""

    percent: Decimal  # 0.01 to 50, at most two decimals
    salt: str
    by: str | None = None  # in lower case, as columns are compared

    @property
    def share_of_ten_thousand(self) -> int:
        """The group's share of 10,000: people whose number modulo 10,000 is below it are in the group."""
        return int(self.percent * 100)


def _read_columns(value: object, show: Show) -> Mapping[str, str]:
    """Return the type of identifier of each column. Raises WrongValueError with all faults."""
    columns: dict[str, str] = {}
    faults: list[str] = []
    for column, identifier in read_mapping(value).items():
        name = column.strip().lower() if isinstance(column, str) else ""
        with _collect_fault(faults, f"column {show(column)}: "):
            kind = _IDENTIFIERS.read(identifier, show)
            if not name:
                faults.append(f"{show(column)} is not a column's name")
            elif name in columns:
                faults.append(f"column {show(column)} is given twice (case does not matter)")
            columns[name] = kind
    _raise_if_any(faults)
    return columns


def _build_id_list_type(of: SettingType) -> SettingType:
    """Return the setting type of a list of ids: a tuple without repeats, in the order given; also of a single id."""

    def read_ids(value: object, show: Show) -> tuple[str, ...]:
        """Return a tuple of ids without repeats. Raises WrongValueError for any other value."""
        ids = tuple(dict.fromkeys(_read_items(of, value, show)))
        if not ids:
            raise WrongValueError(f"{describe(value)} contains no id")
        return ids

    allowed = f"a list, or a comma-separated string, of 1 to {_MAXIMUM_ITEMS} ids ({of.allowed})"
    return SettingType(read=read_ids, allowed=allowed, is_id=True)


def _read_items(of: SettingType, value: object, show: Show) -> list[str]:
    """Return the items of a list, each read as the type `of`. Raises WrongValueError with all faults."""
    values: list[str] = []
    faults: list[str] = []
    for position, item in enumerate(read_list_items(value), start=1):
        with _collect_fault(faults, f"number {position}: "):
            values.append(of.read(item, show))
    _raise_if_any(faults)
    return values


def _read_percent(value: object, show: Show) -> Decimal:
    """Return a percentage from 0.01 on, with two decimals at most. Raises WrongValueError for any other value."""
    percent = parse_number(value)
    if percent is None or not 0 < percent <= _MOST_PERCENT or percent != round(percent, 2):
        raise WrongValueError(f"{show(value)} is not a number from 0.01 to {_MOST_PERCENT} with two decimals at most")
    return round(percent, 2)


_PARTS: Mapping[str, Callable[[object, Show], Any]] = {
    "percent": _read_percent,
    # With its spaces: a query that computes the same group has them as well.
    "salt": lambda value, show: TEXT.read(value, show) and value,
    "by": lambda value, show: TEXT.read(value, show).lower(),
}


def _read_control(value: object, show: Show) -> Control:
    """Return the control group that a mapping describes. Raises WrongValueError with all faults."""
    values: dict[str, Any] = {}
    parts = {key: part for key, part in read_mapping(value).items() if not is_left_out(part)}
    faults = [f"{name} is missing" for name in ("percent", "salt") if name not in parts]
    if "by" not in parts and read_mapping(value).get("by") is not None:
        # A template that rendered to nothing must not choose another group, that of the digests.
        faults.append("by is blank: name a column, or leave it out")
    for key, part in parts.items():
        name = str(key)
        if name not in _PARTS:
            faults.append(f"{show(key)} is unknown{suggest(name, _PARTS)}")
            continue
        with _collect_fault(faults, f"{name}: "):
            values[name] = _PARTS[name](part, show)
    _raise_if_any(faults)
    return Control(**values)


def read_list_items(value: object) -> Sequence[object]:
    """Return a value as a list of items; JSON or YAML text, or text with commas, is parsed. Raises WrongValueError."""
    if isinstance(value, str):
        is_list = value.lstrip().startswith(("[", "- "))
        value = _load_text(value) if is_list else [item.strip() for item in value.split(",") if item.strip()]
    elif isinstance(value, (int, float)):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise WrongValueError(f"{describe(value)} is not a list")
    if len(value) > _MAXIMUM_ITEMS:
        raise WrongValueError(f"a list of {len(value)} items is too long")
    return value


def read_mapping(value: object) -> Mapping[object, object]:
    """Return a value as a mapping; JSON or YAML text is parsed. Raises WrongValueError for any other value."""
    read = _load_text(value) if isinstance(value, str) else value
    if not isinstance(read, Mapping):
        raise WrongValueError(f"{describe(value)} is not a mapping")
    return read


def _load_text(text: str) -> object:
    """Return the value of JSON or YAML text. Raises WrongValueError for any other text."""
    try:
        return setting_text.load(text)
    except setting_text.UnreadableTextError as error:
        raise WrongValueError(f"{describe(text)} {error}") from None


@contextlib.contextmanager
def _collect_fault(faults: list[str], where: str = "") -> Iterator[None]:
    """Add the message of a WrongValueError from the block to `faults`."""
    try:
        yield
    except WrongValueError as error:
        faults.append(f"{where}{error}")


def _raise_if_any(faults: Sequence[str]) -> None:
    """Raise WrongValueError with the first faults, if there are any."""
    if faults:
        rest = len(faults) - _MAXIMUM_FAULTS_SHOWN
        raise WrongValueError(", ".join(faults[:_MAXIMUM_FAULTS_SHOWN]) + (f", and {rest} more" if rest > 0 else ""))


COLUMNS = SettingType(
    read=_read_columns,
    allowed=f"a mapping from the query's column name to {join_with_or(LISTED)}; with records: rows also "
    + ", ".join(KEYS_ONLY),
)
STATUS_SET = SettingType(
    read=lambda value, show: frozenset(_read_items(_STATUS, value, show)),
    allowed=f"a list, or a comma-separated string, of {', '.join(STATUSES)}",
)
AUDIENCE_IDS = _build_id_list_type(AUDIENCE_ID)
AD_ACCOUNT_IDS = _build_id_list_type(AD_ACCOUNT_ID)
CONTROL = SettingType(
    read=_read_control,
    allowed=f"a mapping of percent (more than 0, up to {_MOST_PERCENT}, two decimals at most), salt (text) and, if "
    "wanted, by (a column's name)",
)
