"""What people write when they have nothing to write: values that look filled in and name nobody."""

from __future__ import annotations

import hashlib

# What databases, languages and spreadsheets write for "no value".
_WORDS = "- -- na n/a #n/a nan nil none null (null) <null> \\n undefined unknown"

# Mailboxes of forms and fixtures, and only those that cannot be a person's: a rule for a whole domain,
# or for names as common as info@, would swallow people.
_MAILBOXES = """
    test@example.com test@example.net test@example.org test@test.com email@example.com example@example.com
    noemail@noemail.com none@none.com null@null.com na@na.com unknown@unknown.com undefined@undefined.com
"""

# What Android and iOS give out when the user has switched advertising ids off, with and without dashes.
_DEVICE_IDS = f"00000000-0000-0000-0000-000000000000 {'0' * 32}"

PLACEHOLDERS = frozenset(f"{_WORDS} {_MAILBOXES} {_DEVICE_IDS}".split())
"""Placeholder values in lower case; compare a trimmed, lower-cased value with them."""

# White space alone is what a careless pipeline hashes for an empty cell ("\n": `echo | sha256sum`).
_EMPTY = ("", " ", "\n")


def _spellings(value: str) -> set[str]:
    return {value, value.upper(), value.capitalize(), value.replace("nan", "NaN")}


HASHES_OF_NOTHING = frozenset(
    hashlib.sha256(spelling.encode()).digest() for value in [*_EMPTY, *PLACEHOLDERS] for spelling in _spellings(value)
)
"""SHA-256 digests, 32 bytes each, of an empty value and of every placeholder in the spellings people hash."""
