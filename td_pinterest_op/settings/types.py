"""Setting types: how a value from digdag, as its own type or as a string, is checked and converted.

A message shows a wrong value only where that helps (numbers, words of a list) and where the value cannot be a person or
a credential.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from td_pinterest_op.identifiers.phones import can_be_phone_country
from td_pinterest_op.redaction.secret import LONGEST_SECRET, Secret, mask_sensitive_data
from td_pinterest_op.runtime.text import format_count

LOST_DIGITS_WARNING = (
    "digdag may have changed the last digits of these ids (numbers over 2^53, or more than 16 digits that end in "
    "zeros); put them in quotes where they are first written"
)
"""What a warning says before the names of the ids for which `may_have_lost_digits` is true."""

_LONGEST_QUOTED_VALUE = 40
_SENSITIVE_PATTERN = re.compile(
    r"@"  # an e-mail address
    r"|secret|bearer|pin[ar][._]"  # a credential, or where one is kept
    r"|[0-9a-f]{8}-[0-9a-f]{4}-"  # a device id
    r"|(?=[a-z]{0,19}[0-9])[a-z0-9]{20}",  # a token
    re.IGNORECASE,
)
_DECIMAL_PATTERN = re.compile(r"[+-]?(?:[0-9]{1,24}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_DIGITS_PATTERN = re.compile(r"[0-9]+")
_ROUNDED_ID_PATTERN = re.compile(r"[0-9]{16,39}0")
_TABLE_NAME_PATTERN = re.compile(r"(?:(?P<database>[a-z0-9_]{3,128})\.)?(?P<table>[a-z0-9_]{3,128})")
_SECRET_REFERENCE_START = re.compile(r"\$\{\s*secret\s*:")
_LARGEST_EXACT_NUMBER = 2**53  # doubles skip whole numbers above it
_LONGEST_ID = 40  # Pinterest sets no limit (`^\d+$` since API 5.28); ours keeps messages short


class WrongValueError(ValueError):
    """A setting's value cannot be used. The message says why, and may be logged."""


@dataclass(frozen=True, kw_only=True)
class SettingType:
    """A type of setting."""

    parse: Callable[[object], Any]  # returns a value converted, such as an int for text, or raises WrongValueError
    allowed: str  # which values are allowed, in words
    is_id: bool = False  # a warning follows if it `may_have_lost_digits`


class TableName(NamedTuple):
    """The name of a table in Treasure Data."""

    database: str | None  # None: the task's database
    table: str


def is_left_out(value: object) -> bool:
    """Whether a value is null or blank text, as digdag renders a missing one."""
    return value is None or (isinstance(value, str) and not value.strip())


def has_secret_reference(value: object) -> bool:
    """Whether a value, or a part of it, refers to a secret of the workflow as `${secret:…}`."""
    has_text = isinstance(value, (str, Mapping, list, tuple))
    return has_text and _SECRET_REFERENCE_START.search(str(value)) is not None


def may_have_lost_digits(value: object) -> bool:
    """Whether digdag may have changed the last digits of an id: its templates hold unquoted numbers as doubles.

    A number over 2^53 may have, and a text of 17 or more digits that ends in zeros: a template writes zeros for all
    digits after the 17th.
    """
    if isinstance(value, (list, tuple)):  # a list in a list is no list of ids, however deep it goes
        return any(may_have_lost_digits(item) for item in value if not isinstance(item, (list, tuple)))
    if isinstance(value, (int, float)):
        return abs(value) > _LARGEST_EXACT_NUMBER
    ids = [text.strip() for text in value.split(",")] if isinstance(value, str) else []
    round_ids = filter(_ROUNDED_ID_PATTERN.fullmatch, ids)
    return any(text.endswith("00") or text == f"{Decimal(repr(float(text))):f}" for text in round_ids)


def build_suggestion_text(word: str, words: Iterable[str]) -> str:
    """Return "; did you mean …?" with the most similar of `words`, or "" if none is similar."""
    near = difflib.get_close_matches(_normalise_word(word), list(words), n=1, cutoff=0.65)
    return f"; did you mean {near[0]}?" if near else ""


def describe_value(value: object) -> str:
    """Return a value for a message: unchanged if it is short and harmless, else only its type and size."""
    text = str(value) if isinstance(value, (str, float, int)) else ""
    if (
        not 0 < len(text) <= _LONGEST_QUOTED_VALUE
        or _SENSITIVE_PATTERN.search(text)
        or mask_sensitive_data(text) != text
    ):
        return describe_type(value)
    return ascii(value) if isinstance(value, str) else text.lower()


def reject_value(value: object) -> NoReturn:
    """Raise WrongValueError for a value that is not allowed. The caller adds what is allowed."""
    raise WrongValueError(f"{describe_value(value)} is not an allowed value")


def describe_type(value: object) -> str:
    """Return the type of a value in words, with the length of a string."""
    if isinstance(value, str):
        return f"a string of {format_count(len(value), 'character')}"
    return "null" if value is None else f"a value of type {type(value).__name__}"


def parse_number(value: object) -> Decimal | None:
    """Return a finite number, or its text, as a Decimal, or None for any other value."""
    if isinstance(value, str):
        return Decimal(value.strip()) if _DECIMAL_PATTERN.fullmatch(value.strip()) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() else None


def build_integer_type(minimum: int, maximum: int) -> SettingType:
    """Return the setting type of a whole number in a range."""

    def parse_integer(value: object) -> int:
        number = parse_number(value)
        if number is None or number != number.to_integral_value() or not minimum <= number <= maximum:
            reject_value(value)
        return int(number)

    return SettingType(parse=parse_integer, allowed=f"a whole number from {minimum} to {maximum}")


def build_choice_type(words: Mapping[str, object], *, allowed_text: str = "") -> SettingType:
    """Return the setting type of `words`, each converted to its value. `allowed_text`: the words in messages.

    Letter case does not matter. Spaces, hyphens and underscores are equal.
    """
    value_by_word = {_normalise_word(word): value for word, value in words.items()}

    def parse_choice(value: object) -> object:
        word = _normalise_word(str(value)) if isinstance(value, (str, bool)) else ""
        if word not in value_by_word:
            reject_value(value)
        return value_by_word[word]

    return SettingType(parse=parse_choice, allowed=allowed_text or ", ".join(words))


def build_word_type(*words: str) -> SettingType:
    """Return the setting type of these words."""
    return build_choice_type(dict(zip(words, words, strict=True)))


def _normalise_word(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip()).lower()


def _parse_ratio(value: object) -> float:
    number = parse_number(value)
    if number is None or not 0 <= number <= 1:
        reject_value(value)
    return float(number)


def _build_id_type(max_length: int, allowed_text: str) -> SettingType:
    def parse_id(value: object) -> str:
        text = value.strip() if isinstance(value, str) else ""
        number = None if isinstance(value, str) else parse_number(value)
        if number is not None and number == number.to_integral_value():
            text = f"{number:.0f}"
        if len(text) > max_length or not _DIGITS_PATTERN.fullmatch(text):
            raise WrongValueError(f"must be an id (only digits, at most {max_length}), not {describe_type(value)}")
        return text

    return SettingType(parse=parse_id, allowed=allowed_text, is_id=True)


def _parse_credential(value: object) -> Secret:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**30
    # A `Secret` even before the check: no message may show a wrong one either.
    secret = Secret(_parse_string(str(value) if is_number else value))
    if not re.fullmatch(f"[!-~]{{1,{LONGEST_SECRET}}}", secret.reveal()):
        raise WrongValueError(f"the value has other characters than visible ASCII, or more than {LONGEST_SECRET}")
    return secret


def _parse_text_line(value: object) -> str:
    text = _parse_string(value)
    categories = {unicodedata.category(character) for character in text}
    if categories & {"Cc", "Cs", "Zl", "Zp"}:
        raise WrongValueError("the value contains line breaks, control characters or invalid characters")
    if all(category[0] in "CZM" for category in categories):
        raise WrongValueError("the value contains no visible character")
    return text


def _parse_string(value: object) -> str:
    if not isinstance(value, str):
        raise WrongValueError(f"must be a string, not {describe_type(value)}")
    return value.strip()


def _parse_table_name(value: object) -> TableName:
    match = _TABLE_NAME_PATTERN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        reject_value(value)
    return TableName(**match.groupdict())


def _parse_country(value: object) -> str:
    code = value.strip().upper() if isinstance(value, str) else ""
    if not re.fullmatch("[A-Z]{2}", code) or not can_be_phone_country(code):
        reject_value(value)
    return code


BOOLEAN_TYPE = build_choice_type(
    {"true": True, "false": False}, allowed_text="true or false, in upper or lower case (not yes, no, 1 or 0)"
)
RATIO_TYPE = SettingType(parse=_parse_ratio, allowed="a number from 0 to 1, such as 0.05")
AUDIENCE_ID_TYPE = _build_id_type(_LONGEST_ID, "digits, best in quotes")
JOB_ID_TYPE = _build_id_type(_LONGEST_ID, "the id of a Treasure Data job, which has only digits")
ENGINE_TYPE = build_word_type("presto", "trino", "hive")
AD_ACCOUNT_ID_TYPE = _build_id_type(18, "digits, at most 18, best in quotes")
QUERY_TYPE = SettingType(parse=_parse_string, allowed="SQL, or the name of a file .sql of the project")
TEXT_TYPE = SettingType(parse=_parse_text_line, allowed="text on one line; a number in quotes")
COUNTRY_TYPE = SettingType(parse=_parse_country, allowed="two letters (ISO 3166), such as US")
TABLE_TYPE = SettingType(
    parse=_parse_table_name,
    allowed="table or database.table, each of 3 to 128 lowercase letters, digits and underscores",
)
CREDENTIAL_TYPE = SettingType(
    parse=_parse_credential, allowed="text, as Pinterest shows it, or the template of a secret", is_id=True
)
