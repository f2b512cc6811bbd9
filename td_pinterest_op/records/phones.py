"""Phone numbers as Pinterest matches them: E.164 digits without the plus sign, hashed."""

from __future__ import annotations

import functools
from hashlib import sha256
from types import ModuleType

from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.records.identifiers import Reason, hash_or_reason, text_or_reason

# No number is longer, and the library takes much longer for a longer text.
_MAX_CHARACTERS = 80


def phone_digest_or_reason(value: object, *, default_country: str | None) -> bytes | Reason:
    """The 32-byte digest to send for a phone number (raw UTF-8), or why there is none.

    A number with a plus sign or a leading 00 has its country; any other one is of `default_country` (ISO 3166 alpha-2).
    A SHA-256 is sent as it is. The rules of each country are those of the library phonenumbers. An extension is left
    out: E.164 has none.
    Source: Pinterest's page on conversions ("digits with country code, no plus, symbols or leading zeros").
    Raises WorkflowError when the library is missing.
    """
    text = text_or_reason(value)
    if isinstance(text, Reason):
        return text
    return hash_or_reason(text) or _plain_digest_or_reason(text, default_country)


def check_country(default_country: str | None) -> None:
    """Raise WorkflowError for a country that has no phone numbers."""
    if default_country is not None and default_country not in _library().SUPPORTED_REGIONS:
        raise WorkflowError(f"default_country: {default_country} is not a country (ISO 3166 alpha-2, such as US)")


def _plain_digest_or_reason(text: str, default_country: str | None) -> bytes | Reason:
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
    digits: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).lstrip("+")
    return sha256(digits.encode()).digest()


def _is_national(text: str) -> bool:
    """Whether a text has no country code but could be a number: at least a few digits, and no plus sign."""
    return "+" not in text and "＋" not in text and sum(character.isdigit() for character in text) >= 3


@functools.cache
def _library() -> ModuleType:
    # Imported for exports with phone numbers only: it is large and not in Treasure Data's image.
    try:
        import phonenumbers
    except ImportError:
        raise WorkflowError(
            "a column of phone numbers needs the package phonenumbers (found: none): install it beside the operator"
        ) from None
    return phonenumbers
