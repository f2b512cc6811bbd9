"""The types that a setting can have: a value as digdag hands it over → a value of our own, or what is wrong with it.

Each value may come as its own type or as a string. A message shows a wrong value only where that helps (numbers, words
from a list) and where it cannot be a person or a credential.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from td_pinterest_op.settings import text as setting_text

Show = Callable[[object], str]

_LONGEST_SHOWN = 40
_LONGEST_GUESSED = 64  # no key or word of ours is longer, and difflib takes its time
_MOST_FAULTS_OF_ONE_SETTING = 10
_NOT_TO_BE_SHOWN = re.compile(
    r"@"  # an e-mail address
    r"|secret|bearer|pin[ar][._]"  # a credential, or where one is kept
    r"|\b(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b"  # a digest
    r"|[0-9a-f]{8}-[0-9a-f]{4}-"  # a device id
    r"|(?=[a-z]*[0-9])[a-z0-9]{20}",  # a token
    re.IGNORECASE,
)
_WHOLE = re.compile(r"([+-]?[0-9]{1,24})(?:\.0{1,24})?")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,24}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_ID = re.compile(r"[0-9]{1,18}")
_CREDENTIAL = re.compile(r"[!-~]+")
_LARGEST_EXACT = 2**53  # above it a double skips whole numbers


class WrongValueError(ValueError):
    """A setting's value cannot be used; the message says why, fit for a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingType:
    """A type of setting: how a value of it is read, and what is allowed, in words.

    `read(value, show)` returns the value or raises `WrongValueError`; `show` turns a value into text for its message.
    """

    read: Callable[[object, Show], object]
    allowed: str


def is_left_out(value: object) -> bool:
    """Null and blank text count as left out: digdag fills a missing value in as an empty string."""
    return value is None or (isinstance(value, str) and not value.strip())


def has_lost_digits(value: object) -> bool:
    """Whether a number is too large to have come through digdag's templates unchanged."""
    return isinstance(value, (int, float)) and abs(value) > _LARGEST_EXACT


def closest(word: str, words: Iterable[str]) -> str:
    """ "; did you mean …?" with the nearest of `words`, or nothing."""
    if len(word) > _LONGEST_GUESSED:
        return ""
    near = difflib.get_close_matches(_folded(word), list(words), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def shown(value: object, *, hidden: Collection[str] = ()) -> str:
    """`value` for a message: as it is when short and harmless, else only its type and size.

    Args:
        hidden: the credentials of this run; nothing that contains one of them is shown.
    """
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to write out very large ones
        return "a very large number"
    if not isinstance(value, (str, int, float)) or len(str(value)) > _LONGEST_SHOWN:
        return described(value)
    text = str(value)
    if _NOT_TO_BE_SHOWN.search(text) or any(credential in text for credential in hidden):
        return described(value)
    return ascii(value) if isinstance(value, str) else text.lower()


def described(value: object) -> str:
    """`value` for a message, without showing anything of it: its type, and its size if it is text."""
    if isinstance(value, str):
        return f"a string of {len(value)} character{'' if len(value) == 1 else 's'}"
    words: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a boolean"),
        ((int, float), "a number"),
        (Mapping, "a mapping"),
        ((list, tuple), "a list"),
        (type(None), "nothing"),
    )
    return next((word for types, word in words if isinstance(value, types)), f"a value of type {type(value).__name__}")


def whole_number(least: int, most: int) -> SettingType:
    """int from `least` to `most`."""

    def read(value: object, show: Show) -> int:
        number = _whole(value)
        if number is None:
            raise WrongValueError(f"{show(value)} is not a whole number")
        if not least <= number <= most:
            raise WrongValueError(f"{show(value)} is {'less' if number < least else 'more'} than allowed")
        return number

    return SettingType(read=read, allowed=f"a whole number from {least} to {most}")


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _LARGEST_EXACT else None
    match = _WHOLE.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(match[1]) if match else None


def choice(words: Mapping[str, object], *, aliases: Mapping[str, object] | None = None) -> SettingType:
    """One of the values of `words`, by its name; case never matters, and spaces, hyphens and underscores are alike."""
    known = {**words, **(aliases or {})}

    def read(value: object, show: Show) -> object:
        name = _folded(value) if isinstance(value, str) else ""
        if name not in known:
            near = closest(name, known) if len(words) > 1 else ""
            raise WrongValueError(f"{show(value)} is not known{near}")
        return known[name]

    return SettingType(read=read, allowed=", ".join(words))


def _folded(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip()).lower()


def _read_boolean(value: object, show: Show) -> bool:
    words = {"true": True, "false": False}
    word = value.strip().lower() if isinstance(value, str) else ""
    if isinstance(value, bool):
        return value
    if word not in words:
        raise WrongValueError(f"{show(value)} is neither true nor false")
    return words[word]


def _read_ratio(value: object, show: Show) -> float:
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value) if -1 <= value <= 2 else math.inf  # a huge int does not fit a float
    elif isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        number = float(value)
    if not 0 <= number <= 1:
        raise WrongValueError(f"{show(value)} is not a number from 0 to 1")
    return number


def _read_id(value: object, _: Show) -> str:
    text = value.strip() if isinstance(value, str) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 10**18 and value == int(value):
        text = str(int(value))
    if text is None or not _ID.fullmatch(text):
        raise WrongValueError(f"{described(value)} is not an id")
    return text


def _read_credential(value: object, _: Show) -> str:
    if not isinstance(value, str):
        raise WrongValueError(f"{described(value)} is not text")
    if not _CREDENTIAL.fullmatch(value.strip()):
        raise WrongValueError("it contains spaces, control characters or characters that are not ASCII")
    return value.strip()


def _read_numeric_credential(value: object, show: Show) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**30
    return _read_credential(str(value) if is_number else value, show)


def _read_text(value: object, _: Show) -> str:
    if not isinstance(value, str):
        raise WrongValueError(f"{described(value)} is not text")
    categories = {unicodedata.category(character) for character in value.strip()}
    if categories & {"Cc", "Cs", "Zl", "Zp"}:
        raise WrongValueError("it contains line breaks, control characters or broken characters")
    if all(category[0] in "CZM" for category in categories):
        raise WrongValueError("it contains nothing that could be seen")
    return value.strip()


_IDENTIFIERS = choice({name: name for name in ("email", "maid", "idfa")})


def _read_columns(value: object, show: Show) -> Mapping[str, str]:
    mapping = _mapping(value)
    columns: dict[str, str] = {}
    faults = []
    for column, identifier in mapping.items():
        name = column.strip().lower() if isinstance(column, str) else ""
        try:
            kind = str(_IDENTIFIERS.read(identifier, show))
        except WrongValueError as error:
            faults.append(f"column {show(column)}: {error}")
            continue
        if not name:
            faults.append(f"{show(column)} is not a column's name")
        elif name in columns:
            faults.append(f"column {show(column)} is given twice (case does not matter)")
        columns[name] = kind
    if faults:
        rest = len(faults) - _MOST_FAULTS_OF_ONE_SETTING
        raise WrongValueError(
            ", ".join(faults[:_MOST_FAULTS_OF_ONE_SETTING]) + (f", and {rest} more" if rest > 0 else "")
        )
    return MappingProxyType(columns)


def _mapping(value: object) -> Mapping[object, object]:
    fault = "is not a mapping"
    if isinstance(value, str):
        try:
            value = setting_text.load(value)
        except setting_text.UnreadableTextError as error:
            fault = str(error)
    if not isinstance(value, Mapping):
        raise WrongValueError(f"{described(value)} {fault}")
    return value


BOOLEAN = SettingType(read=_read_boolean, allowed="true or false, in any case (not yes, no, 1 or 0)")
RATIO = SettingType(read=_read_ratio, allowed="a number from 0 to 1, such as 0.05")
ID = SettingType(read=_read_id, allowed="digits, at most 18, best in quotes")
TEXT = SettingType(read=_read_text, allowed="text on one line; a number in quotes")
CREDENTIAL = SettingType(read=_read_credential, allowed="text, as Pinterest shows it, or ${secret:…}")
NUMERIC_CREDENTIAL = SettingType(read=_read_numeric_credential, allowed=CREDENTIAL.allowed)
COLUMNS = SettingType(read=_read_columns, allowed="a mapping from the query's column name to email, maid or idfa")
