"""Types of settings that hold several values: a list or a mapping, as its own type or as JSON or YAML text."""

import contextlib
import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, ROW_ONLY_TYPE_NAMES, TYPES, join_with_or
from td_pinterest_op.settings.types import (
    AD_ACCOUNT_ID_TYPE,
    AUDIENCE_ID_TYPE,
    TABLE_TYPE,
    TEXT_TYPE,
    SettingType,
    WrongValueError,
    build_suggestion_text,
    build_word_type,
    describe_type,
    describe_value,
    parse_number,
)

_MOST_CONTROL_PERCENT = 50
_CONTROL_KEYS = ("percent", "salt", "by")

# AudienceStatus of Pinterest's API 5.28; REMOVED is the operator's own word for an audience that is gone.
_ALLOWED_AUDIENCE_STATUSES = (
    *("INITIALIZING", "READY", "TOO_SMALL", "ELIGIBLE"),
    *("PERSONAS_INELIGIBLE_SIZE", "PERSONAS_INITIALIZING", "REMOVED"),
)

_IDENTIFIER_NAME_TYPE = build_word_type(*TYPES)
_AUDIENCE_STATUS_TYPE = build_word_type(*_ALLOWED_AUDIENCE_STATUSES)


@dataclass(frozen=True, kw_only=True)
class ControlGroup:
    """A control group."""

    percent: Decimal  # 0.01 to 50, at most two decimals
    salt: str  # groups with other salts have other people
    by: str | None = None  # the column that is hashed with the salt, in lower case; None: the identifier

    @property
    def share_in_ten_thousandths(self) -> int:
        """People whose hash modulo 10,000 is below it are in the group."""
        return int(self.percent * 100)


class _StrictYamlLoader(yaml.BaseLoader):
    """Loads YAML with each scalar but null as a string, as digdag's templates give them."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Raise WrongValueError for an alias: a short text could grow without bounds."""
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            raise WrongValueError(f"contains a YAML alias{_format_position(alias.start_mark)}; write the value itself")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Raise WrongValueError if a key is given twice: one of the two would have no effect."""
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise WrongValueError("contains the same key twice")
        return mapping


_StrictYamlLoader.add_implicit_resolver("null", re.compile("(?:~|[Nn]ull|NULL)$"), ["~", "n", "N"])
_StrictYamlLoader.add_constructor("null", lambda *_: None)


def parse_json_or_yaml(text: str) -> object:
    """Return the value of JSON text, or else of YAML text, in which each scalar but null is a string.

    Raises WrongValueError, which does not quote the text: it could contain a credential.
    """
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text, object_pairs_hook=_build_dict_of_unique_keys)
    try:
        return yaml.load(text, Loader=_StrictYamlLoader)  # noqa: S506 - it makes strings, None, lists and mappings only
    except WrongValueError as error:
        fault = str(error)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        position = _format_position(getattr(error, "problem_mark", None) or getattr(error, "context_mark", None))
        hint = "; it contains tabs, which YAML does not allow as indentation" if "\t" in text else ""
        fault = f"is neither valid JSON nor valid YAML{position}{hint}"
    # Raised here, so that no traceback carries PyYAML's own error, which quotes the text.
    raise WrongValueError(f"{describe_type(text)} {fault}")


def _format_position(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"


def _build_dict_of_unique_keys(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    if len(mapping := dict(pairs)) < len(pairs):
        raise ValueError
    return mapping


def parse_list(value: object) -> Sequence[object]:
    """Return the items of a list, or of JSON, YAML or comma-separated text. Raises WrongValueError for others."""
    if isinstance(value, str):
        is_list = value.lstrip().startswith(("[", "- ", "{"))
        value = parse_json_or_yaml(value) if is_list else [item.strip() for item in value.split(",") if item.strip()]
    elif isinstance(value, (int, float)):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise WrongValueError(f"must be a list, not {describe_type(value)}")
    return value


def parse_mapping(value: object) -> Mapping[object, object]:
    """Return a mapping, given as such or as JSON or YAML text. Raises WrongValueError for any other value."""
    mapping = parse_json_or_yaml(value) if isinstance(value, str) else value
    if not isinstance(mapping, Mapping):
        raise WrongValueError(f"must be a mapping, not {describe_type(value)}")
    return mapping


def _parse_with_label(label: str, part_type: SettingType, value: object) -> Any:
    try:
        return part_type.parse(value)
    except WrongValueError as error:
        raise WrongValueError(f"{label}: {error}") from None


def _parse_items(item_type: SettingType, value: object) -> list[str]:
    items = enumerate(parse_list(value), start=1)
    return [_parse_with_label(f"number {position}", item_type, item) for position, item in items]


def _build_list_type(item_type: SettingType) -> SettingType:
    def parse_list_of_items(value: object) -> tuple[Any, ...]:
        items = tuple(dict.fromkeys(_parse_items(item_type, value)))
        if not items:
            raise WrongValueError("must not be empty")
        return items

    allowed = f"a list, or a comma-separated string (each: {item_type.allowed})"
    return SettingType(parse=parse_list_of_items, allowed=allowed, is_id=item_type.is_id)


def _parse_types_by_column(value: object) -> Mapping[str, str]:
    columns: dict[str, str] = {}
    for column, identifier_type in parse_mapping(value).items():
        label = f"column {describe_value(column)}"
        name = _parse_with_label(label, TEXT_TYPE, column).lower()
        if name in columns:
            raise WrongValueError(f"{label}: the column is named twice (upper and lower case are equal)")
        columns[name] = _parse_with_label(label, _IDENTIFIER_NAME_TYPE, identifier_type)
    return columns


def _parse_control(value: object) -> ControlGroup:
    parts = parse_mapping(value)
    for name in parts:
        if name not in _CONTROL_KEYS:
            raise WrongValueError(f"{describe_value(name)} is unknown{build_suggestion_text(str(name), _CONTROL_KEYS)}")
    given = parts.get("percent")
    percent = parse_number(given)
    if percent is None or not 0 < percent <= _MOST_CONTROL_PERCENT or percent != round(percent, 2):
        numbers = f"a number from 0.01 to {_MOST_CONTROL_PERCENT} with at most two decimals"
        raise WrongValueError(f"percent: must be {numbers}, not {describe_value(given)}")
    salt = parts.get("salt")
    _parse_with_label("salt", TEXT_TYPE, salt)
    by = parts.get("by")
    # The salt with its spaces: a query that computes the same group has them as well. A blank `by` is an error: a
    # template that rendered to nothing must not choose the group of the digests.
    return ControlGroup(
        percent=round(percent, 2),
        salt=str(salt),
        by=None if by is None else _parse_with_label("by", TEXT_TYPE, by).lower(),
    )


LIST_TYPE = SettingType(parse=parse_list, allowed="a list, each entry of which begins with a dash")
MAPPING_TYPE = SettingType(parse=parse_mapping, allowed="a mapping, or a mapping as a JSON or YAML string")
COLUMN_NAMES_TYPE = SettingType(
    parse=lambda value: tuple(dict.fromkeys(map(str.lower, _parse_items(TEXT_TYPE, value)))),
    allowed="a list, or a comma-separated string, of columns of the query",
)
COLUMNS_TYPE = SettingType(
    parse=_parse_types_by_column,
    allowed=f"a mapping from the query's column name to {join_with_or(CUSTOMER_LIST_TYPES)}; with records: rows also "
    + ", ".join(ROW_ONLY_TYPE_NAMES),
)
STATUSES_TYPE = SettingType(
    parse=lambda value: frozenset(_parse_items(_AUDIENCE_STATUS_TYPE, value)),
    allowed=f"a list, or a comma-separated string, of {', '.join(_ALLOWED_AUDIENCE_STATUSES)}",
)
AUDIENCE_IDS_TYPE = _build_list_type(AUDIENCE_ID_TYPE)
AD_ACCOUNT_IDS_TYPE = _build_list_type(AD_ACCOUNT_ID_TYPE)
TABLES_TYPE = _build_list_type(TABLE_TYPE)
CONTROL_TYPE = SettingType(
    parse=_parse_control,
    allowed=f"a mapping of percent (more than 0, up to {_MOST_CONTROL_PERCENT}, two decimals at most), salt (text) "
    "and, if wanted, by (a column's name)",
)
