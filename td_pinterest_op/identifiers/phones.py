"""Phone numbers as Pinterest matches them: E.164 digits without the plus sign, hashed."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.identifiers.rules import Reason

# The library's region of numbers that are of no country.
_NO_COUNTRY = "001"
# No number is longer, and the library takes much longer for a longer text.
_MAX_CHARACTERS = 80


def check_country(default_country: str | None) -> None:
    """Raise WorkflowError for a country that has no phone numbers."""
    if default_country is not None and default_country not in _library().SUPPORTED_REGIONS:
        raise WorkflowError(f"default_country: {default_country} is not a country (ISO 3166 alpha-2, such as US)")


def normalise(text: str, default_country: str | None) -> str | Reason:
    """The digits of a phone number, country code first, or why it is not one.

    A number with a plus sign or a leading 00 has its country; any other one is of `default_country` (ISO 3166 alpha-2).
    The rules of each country are those of the library phonenumbers. An extension is left out: E.164 has none.
    Source: Pinterest's page on conversions ("digits with country code, no plus, symbols or leading zeros").
    Raises WorkflowError when the library is missing.
    """
    phonenumbers = _library()
    if len(text) > _MAX_CHARACTERS:
        return Reason.TOO_LONG
    # No national number begins with 00: it is how one dials abroad in most countries.
    international = f"+{text[2:]}" if text.startswith("00") else text
    try:
        number = phonenumbers.parse(international, default_country)
    except phonenumbers.NumberParseException as error:
        unknown_country = error.error_type == error.INVALID_COUNTRY_CODE and default_country is None
        return Reason.NO_COUNTRY if unknown_country and _is_national(international) else Reason.NOT_A_PHONE_NUMBER
    if not phonenumbers.is_valid_number(number):
        return Reason.NOT_A_PHONE_NUMBER
    digits: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return digits.lstrip("+")


def _is_national(text: str) -> bool:
    """Whether a text has no country code but could be a number: at least a few digits, and no plus sign."""
    return "+" not in text and "＋" not in text and sum(character.isdigit() for character in text) >= 3


def recognise(lines: bytes) -> list[bytes]:
    """For each line, ended by a newline, its digits if it is plainly a valid number, `+` and digits; else b""."""
    return [line[1:] if line[:1] == b"+" and _matcher(line[1:4])(line, 1) else b"" for line in lines.split(b"\n")[:-1]]


@functools.lru_cache(maxsize=1000)
def _matcher(first_digits: bytes) -> Callable[[bytes, int], object]:
    """Takes a number whose first three digits are these, and the position of the first: true if it is a valid one."""
    codes = _library().COUNTRY_CODE_TO_REGION_CODE
    for code in (first_digits[:length] for length in (1, 2, 3)):
        regions = codes.get(int(code)) if code.isdigit() and not code.startswith(b"0") else None
        if regions and regions[0] != _NO_COUNTRY:
            return re.compile(code + _valid_national_numbers(regions).encode()).fullmatch
    return re.compile(b"(?!)").fullmatch  # matches nothing


def _valid_national_numbers(regions: tuple[str, ...]) -> str:
    """A pattern of the numbers that the library would find valid behind a country code, and would leave as they are.

    It asks the regions of a country code in turn: the first whose leading digits a number has, or, where a region has
    none, the first with a type of numbers that it matches.
    """
    metadata = [_library().PhoneMetadata.metadata_for_region(region) for region in regions]
    # What begins like a prefix that is dialled within the country may lose it.
    prefix = metadata[0].national_prefix_for_parsing
    not_before, choices = f"(?!{prefix})" if prefix else "", []
    for region in metadata:
        types = "|".join(_matching(of_type) for of_type in _types(region))
        leading = f"(?={region.leading_digits})" if region.leading_digits else ""
        choices.append(f"{not_before}{leading}(?={_matching(region.general_desc)})(?:{types})")
        not_before += f"(?!{region.leading_digits})" if region.leading_digits else ""
    return f"(?:{'|'.join(choices)})"


def _types(region: Any) -> Iterator[Any]:
    names = "premium_rate toll_free shared_cost voip personal_number pager uan voicemail fixed_line mobile"
    return (entry for name in names.split() if (entry := getattr(region, name)) and entry.national_number_pattern)


def _matching(description: Any) -> str:
    lengths = "|".join(rf"\d{{{length}}}" for length in description.possible_length)
    return (rf"(?=(?:{lengths})\Z)" if lengths else "") + rf"(?:{description.national_number_pattern})\Z"


@functools.cache
def _library() -> ModuleType:
    # Imported for exports with phone numbers only: it is large and not in Treasure Data's image.
    try:
        import phonenumbers
    except ImportError:
        raise WorkflowError(
            "a column of phone numbers needs the package phonenumbers, which is not there: lay the project folder out "
            "again with `scripts/bundle FOLDER --update --with-phone-numbers`, or install phonenumberslite. Nothing "
            "was sent"
        ) from None
    return phonenumbers
