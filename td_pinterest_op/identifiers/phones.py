"""Phone numbers as Pinterest matches them: E.164 digits without the plus sign, hashed."""

import contextlib
import functools
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.identifiers.reasons import Reason

_NON_GEOGRAPHIC_REGION = "001"  # the library's region of numbers without a country
_MAX_PHONE_CHARACTERS = 80  # no number is longer, and the library takes much longer for a longer text
_MATCHED_NUMBER_TYPES = "premium_rate toll_free shared_cost voip personal_number pager uan voicemail fixed_line mobile"


def can_be_phone_country(country_code: str) -> bool:
    """Return whether `country_code`, such as "DE", is a country whose phone numbers the library phonenumbers knows.

    Returns True for any code if the library is not installed.
    """
    with contextlib.suppress(WorkflowError):
        return country_code in _import_phonenumbers().SUPPORTED_REGIONS
    return True


def normalise_phone(text: str, default_country: str | None) -> str | Reason:
    """Return the digits of a phone number, country code first, or the reason for its rejection.

    A number that begins with a plus sign or 00 names its country. Any other number is taken as a number of
    `default_country`, in ISO 3166 alpha-2. The library phonenumbers has the rules of each country. An extension is
    dropped: E.164 has none. Source: Pinterest's page on conversions ("digits with country code, no plus, symbols or
    leading zeros"). Raises WorkflowError when the library is missing.
    """
    phonenumbers = _import_phonenumbers()
    if len(text) > _MAX_PHONE_CHARACTERS:
        return Reason.TOO_LONG
    # No national number begins with 00: it is how one dials abroad in most countries.
    text = f"+{text[2:]}" if text.startswith("00") else text
    try:
        number = phonenumbers.parse(text, default_country)
    except phonenumbers.NumberParseException as error:
        has_no_country = error.error_type == error.INVALID_COUNTRY_CODE and default_country is None
        # A number without a country code has no plus sign, but three digits or more.
        is_national = not {"+", "＋"}.intersection(text) and sum(map(str.isdigit, text)) >= 3
        return Reason.NO_COUNTRY if has_no_country and is_national else Reason.NOT_A_PHONE_NUMBER
    if not phonenumbers.is_valid_number(number):
        return Reason.NOT_A_PHONE_NUMBER
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)).lstrip("+")


def extract_phone_digits(lines: bytes) -> list[bytes]:
    """Return the digits of each line that is plainly a phone number with a plus sign, and b"" for any other line."""
    return [
        line[1:] if line[:1] == b"+" and _compile_valid_number_matcher(line[1:4])(line, 1) else b""
        for line in lines.split(b"\n")[:-1]
    ]


@functools.lru_cache(maxsize=1000)
def _compile_valid_number_matcher(country_code_start: bytes) -> Callable[[bytes, int], object]:
    """Return a function that matches valid phone numbers of the country code with which `country_code_start` begin.

    The function takes a line and the position of the country code in it, and returns a match or None.
    """
    codes = _import_phonenumbers().COUNTRY_CODE_TO_REGION_CODE
    for code in (country_code_start[:length] for length in (1, 2, 3)):
        regions = codes.get(int(code)) if code.isdigit() and not code.startswith(b"0") else None
        if regions and regions[0] != _NON_GEOGRAPHIC_REGION:
            return re.compile(code + _build_national_number_pattern(regions).encode()).fullmatch
    return re.compile(b"(?!)").fullmatch  # matches nothing


def _build_national_number_pattern(regions: tuple[str, ...]) -> str:
    """Return a regular expression for valid phone numbers, without the country code, of regions that share that code.

    It assigns numbers to regions as the library phonenumbers does, and matches no number that the library would change.
    """
    metadata = [_import_phonenumbers().PhoneMetadata.metadata_for_region(region) for region in regions]
    # The library may remove a prefix that is dialled within the country.
    prefix = metadata[0].national_prefix_for_parsing
    not_before = f"(?!{prefix})" if prefix else ""
    choices = []
    for region in metadata:
        types = "|".join(
            _build_number_type_pattern(of_type)
            for name in _MATCHED_NUMBER_TYPES.split()
            if (of_type := getattr(region, name)) and of_type.national_number_pattern
        )
        leading = f"(?={region.leading_digits})" if region.leading_digits else ""
        choices.append(f"{not_before}{leading}(?={_build_number_type_pattern(region.general_desc)})(?:{types})")
        not_before += f"(?!{region.leading_digits})" if region.leading_digits else ""
    return f"(?:{'|'.join(choices)})"


def _build_number_type_pattern(number_type: Any) -> str:
    lengths = "|".join(rf"\d{{{length}}}" for length in number_type.possible_length)
    return (rf"(?=(?:{lengths})\Z)" if lengths else "") + rf"(?:{number_type.national_number_pattern})\Z"


@functools.cache
def _import_phonenumbers() -> ModuleType:
    # Imported for exports with phone numbers only: it is large and not in Treasure Data's image.
    try:
        import phonenumbers
    except ImportError:
        raise WorkflowError(
            "a column of phone numbers needs the package phonenumbers, which is not installed: update the project "
            "folder with `td-pinterest bundle FOLDER --update --with-phone-numbers`, or install phonenumberslite. "
            "Nothing was sent"
        ) from None
    return phonenumbers
