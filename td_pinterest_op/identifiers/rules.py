"""The facts behind the rules for all types of identifiers: reasons, placeholders, trimmed characters, separators."""

import enum
import hashlib
import re


class Reason(str, enum.Enum):
    """The reasons for which values are rejected, by the names under which rejections are counted."""

    NULL = "null"
    EMPTY = "empty"
    NOT_A_STRING = "not_a_string"
    BAD_ENCODING = "bad_encoding"
    NOT_AN_EMAIL = "not_an_email"
    NOT_A_DEVICE_ID = "not_a_device_id"
    CONTAINS_SEPARATOR = "contains_separator"
    TOO_LONG = "too_long"
    UNSUPPORTED_HASH = "unsupported_hash"
    PLACEHOLDER = "placeholder"
    HASH_OF_NOTHING = "hash_of_nothing"
    NOT_A_PHONE_NUMBER = "not_a_phone_number"
    NO_COUNTRY = "no_country"
    UNSURE = "unsure"
    NO_CONTROL_KEY = "no_control_key"  # of a row: its values may be good
    TOO_MANY_COMBINATIONS = "too_many_combinations"


# What databases, languages and spreadsheets write for "no value".
_WORDS = "- -- na n/a #n/a nan nil none null (null) <null> \\n undefined unknown"

# Mailboxes of forms and fixtures, and only those that cannot be a person's: a rule for a whole domain, or for names as
# common as info@, would reject people.
_MAILBOXES = """
    test@example.com test@example.net test@example.org test@test.com email@example.com example@example.com
    noemail@noemail.com none@none.com null@null.com na@na.com unknown@unknown.com undefined@undefined.com
"""

# The advertising id of a device on which the user has switched it off, with and without dashes.
_DEVICE_IDS = f"00000000-0000-0000-0000-000000000000 {'0' * 32}"

PLACEHOLDERS = frozenset(f"{_WORDS} {_MAILBOXES} {_DEVICE_IDS}".split())
"""Placeholder values in lower case; compare a trimmed, lower-cased value with them."""

HASHES_OF_NOTHING = frozenset(
    hashlib.sha256(spelling.encode()).digest()
    # White space alone is what a careless pipeline hashes for an empty cell ("\n": `echo | sha256sum`).
    for value in ["", " ", "\n", *PLACEHOLDERS]
    for spelling in (value, value.upper(), value.capitalize(), value.replace("nan", "NaN"))
)
"""SHA-256 digests, 32 bytes each, of an empty value and of every placeholder in the spellings people hash."""


# Spelt out because str.strip() takes either white space or a set; a test compares the first half with str.isspace().
_WHITE_SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_ZERO_WIDTH = (
    "\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069\ufeff"
)
TRIMMED = _WHITE_SPACE + _ZERO_WIDTH
"""Removed from both ends of a value. `identifiers.sql` makes its SQL from this and from `SEPARATORS`."""
_CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))  # of both blocks, and DEL
SEPARATORS = "," + _CONTROLS + TRIMMED
"""A plain identifier holds none of these characters."""
SEPARATOR = re.compile(f"[{re.escape(SEPARATORS)}]")
