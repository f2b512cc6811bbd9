"""The setting `control`: which share of the people is withheld, and how they are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from td_pinterest_op.settings.structures import mapping, noting, raise_if_any
from td_pinterest_op.settings.types import TEXT, SettingType, Show, WrongValueError, closest, is_left_out, number_of

_MOST_PERCENT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A control group: `percent` of the people, by the key in the column `by` (None: the digest) and the `salt`."""

    percent: Decimal  # 0.01 to 50, at most two decimals
    salt: str
    by: str | None = None  # in lower case, as columns are compared

    @property
    def of_ten_thousand(self) -> int:
        """A person whose number modulo 10,000 is below this is in the group."""
        return int(self.percent * 100)


def _read_percent(value: object, show: Show) -> Decimal:
    percent = number_of(value)
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
    values: dict[str, Any] = {}
    given = {key: part for key, part in mapping(value).items() if not is_left_out(part)}
    faults = [f"{name} is missing" for name in ("percent", "salt") if name not in given]
    if "by" not in given and mapping(value).get("by") is not None:
        # A template that rendered to nothing must not choose another group, that of the digests.
        faults.append("by is blank: name a column, or leave it out")
    for key, part in given.items():
        name = str(key)
        if name not in _PARTS:
            faults.append(f"{show(key)} is unknown{closest(name, _PARTS)}")
            continue
        with noting(faults, f"{name}: "):
            values[name] = _PARTS[name](part, show)
    raise_if_any(faults)
    return Control(**values)


CONTROL = SettingType(
    read=_read_control,
    allowed=f"a mapping of percent (more than 0, up to {_MOST_PERCENT}, two decimals at most), salt (text) and, if "
    "wanted, by (a column's name)",
)
