"""Phone numbers as Pinterest matches them: E.164 digits without the plus sign, hashed."""

import contextlib
import functools
from types import ModuleType

from td_pinterest_op.errors import (
    NOTHING_SENT,
    WorkflowError,
)
from td_pinterest_op.identifiers.reasons import Reason

_MAX_PHONE_CHARACTERS = 80  # no number is longer, and the library is slow with longer texts


def can_be_phone_country(country_code: str) -> bool:
    """Return whether the library phonenumbers knows a country's numbers, or True if it is not installed."""
    with contextlib.suppress(WorkflowError):
        return country_code in _import_phonenumbers().SUPPORTED_REGIONS
    return True


def normalise_phone(text: str, default_country: str | None) -> str | Reason:
    """Return the digits of a phone number, country code first, or the reason for its rejection.

    A number that begins with a plus sign or 00 names its country; any other is one of `default_country` (ISO 3166
    alpha-2). An extension is dropped: E.164 has none. Source: Pinterest's page on conversions ("digits with country
    code, no plus, symbols or leading zeros"). Raises WorkflowError if the library phonenumbers is missing.
    """
    phonenumbers = _import_phonenumbers()
    if len(text) > _MAX_PHONE_CHARACTERS:
        return Reason.TOO_LONG
    # In most countries, 00 is how one dials abroad; no national number begins with it.
    text = f"+{text[2:]}" if text.startswith("00") else text
    try:
        number = phonenumbers.parse(text, default_country)
    except phonenumbers.NumberParseException as error:
        has_no_country = error.error_type == error.INVALID_COUNTRY_CODE and default_country is None
        is_national = not {"+", "＋"}.intersection(text) and sum(map(str.isdigit, text)) >= 3
        return Reason.NO_COUNTRY if has_no_country and is_national else Reason.NOT_A_PHONE_NUMBER
    if not phonenumbers.is_valid_number(number):
        return Reason.NOT_A_PHONE_NUMBER
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)).lstrip("+")


@functools.cache
def _import_phonenumbers() -> ModuleType:
    # Imported only when needed: it is large, and not in Treasure Data's image.
    try:
        import phonenumbers
    except ImportError:
        raise WorkflowError(
            "a column of phone numbers needs the package phonenumbers, which is not installed",
            sent=NOTHING_SENT,
            advice="Push the project with `--with-phone-numbers`, or install phonenumberslite",
        ) from None
    return phonenumbers
