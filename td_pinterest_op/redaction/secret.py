"""A value that does not print itself, and a mask for text that comes from elsewhere.

The mask recognises a credential in every form in which an echo may show it: plain, URL-encoded, escaped as in JSON,
HTML or Python (twice as well), in base64 (alone or inside longer encoded text) or hex, and cut to a part of it. It
takes linear time.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import quote, quote_plus

# digdag takes no longer secret, in bytes; of a longer one only the beginning is recognised.
LONGEST_SECRET = 16 * 1024
# Nobody reads a message that is longer than this many characters.
LONGEST_TEXT = 100_000

# One or two characters are no credential, and are in every message. Up to five are hidden as whole words only.
_SHORTEST_FORM, _LONGEST_WORD = 3, 5
# The hex digits of fewer bytes could be an ordinary number. 16 bytes and more are hidden as what could be a person's.
_SHORTEST_IN_HEX = 4
# A part that is long enough to be of use to somebody, and too long to be an ordinary word.
_SHORTEST_PART, _LONGEST_PART = 8, 12

# What could be a person: a word with an `@`, a device id, an MD5, SHA-1 or SHA-256.
_WORD = re.compile(r"[^\s'\"]+")
_AT = re.compile(r"@|%40|\\u0040")
_DEVICE_OR_DIGEST = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32,}")
_PERCENT = re.compile("%[0-9A-F]{2}")
# Characters of a credential whose forms are escaped once more: all of them, but for what nobody uses.
_LONGEST_TWICE = 4_000

# What must not be shown of all credentials, by its length.
_parts: defaultdict[int, set[str]] = defaultdict(set)


class Secret:
    """A credential. Shown as `***` wherever it is printed, formatted or logged; `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        for form in _forms(value[:LONGEST_SECRET]):
            length = _shortest_part(form)
            if length >= _SHORTEST_FORM:
                _parts[length].update(form[start : start + length] for start in range(len(form) - length + 1))

    def reveal(self) -> str:
        """The value itself, for the request that needs it."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell it from another secret, and nothing about itself."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not to be pickled")

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def mask(text: str) -> str:
    """`text` without any known credential, and without anything that looks like an identifier of a person.

    Text longer than LONGEST_TEXT is cut at a space before.
    """
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT].rpartition(" ")[0] + " …"
    return _DEVICE_OR_DIGEST.sub("<hidden>", _WORD.sub(_without_address, _without_credentials(text)))


def _without_address(word: re.Match[str]) -> str:
    """A word, or what is shown of an e-mail address: something, an `@`, and something with a full stop inside."""
    text = word[0]
    at = _AT.search(text, 1)
    return "<hidden>" if at and text.rfind(".", at.end() + 1, len(text) - 1) > 0 else text


def _in_url(value: str, *, safe: str = "", by: Callable[..., str] = quote) -> str:
    return by(value.encode("utf-8", "surrogatepass"), safe=safe)


def _in_small_letters(value: str, *, by: Callable[..., str] = quote) -> str:
    return _PERCENT.sub(lambda escape: escape[0].lower(), _in_url(value, by=by))


def _in_json(value: str, *, escaped: str = "") -> str:
    text = json.dumps(value)[1:-1]
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in escaped})


# As URLs, JSON, HTML and Python have a text, and as libraries differ in it.
_ESCAPES: tuple[Callable[[str], str], ...] = (
    _in_url,
    _in_small_letters,
    partial(_in_url, safe="/"),
    partial(_in_url, safe="!~*'()"),
    partial(_in_url, by=quote_plus),
    partial(_in_small_letters, by=quote_plus),
    _in_json,
    partial(_in_json, escaped="<>&"),
    partial(_in_json, escaped="<>&='"),
    lambda value: _in_json(value).replace("/", "\\/"),
    html.escape,
    lambda value: html.escape(value).replace("&#x27;", "&#39;"),
    lambda value: repr(value)[1:-1],
)


def _forms(value: str) -> set[str]:
    """`value` in every form in which an echo may show it."""
    data = value.encode("utf-8", "surrogatepass")
    escaped = {escape(value) for escape in _ESCAPES} | {value, value.replace(" ", "+")}
    encoded = {form for text in escaped for form in _in_base64(text.encode("utf-8", "surrogatepass"))}
    units = value.encode("utf-16-be", "surrogatepass").hex()
    every = {re.sub("(..)", r"%\1", data.hex()), re.sub("(....)", r"\\u\1", units)}
    every |= {re.sub("[a-f]", lambda digit: digit[0].upper(), form) for form in every}
    hexadecimal = {data.hex(), data.hex().upper()} if len(data) >= _SHORTEST_IN_HEX else set[str]()
    once = escaped | encoded if len(value) <= _LONGEST_TWICE else ()
    twice = {escape(form) for form in once for escape in _ESCAPES}
    return escaped | twice | encoded | every | hexadecimal


def _in_base64(data: bytes) -> Iterator[str]:
    """`data` alone in base64, and what base64 of a longer text shows of it, at each of the three places in it."""
    for altchars in (b"+/", b"-_"):
        yield base64.b64encode(data, altchars).decode().rstrip("=")
        for before, first in enumerate((0, 2, 3)):
            encoded = base64.b64encode(bytes(before) + data, altchars).decode()
            # Of the characters at both ends, some bits are those of the neighbours.
            inner = encoded[first : (before + len(data)) * 8 // 6]
            if len(inner) > _LONGEST_WORD:
                yield inner


def _shortest_part(form: str) -> int:
    """How many characters of `form` must not be shown together: half of it, within limits; all of a short one."""
    if len(form) < _LONGEST_PART:
        return len(form)
    return min(_LONGEST_PART, max(_SHORTEST_PART, (len(form) + 1) // 2))


def _without_credentials(text: str) -> str:
    hidden = bytearray(len(text))
    for begin, end in _found(text):
        hidden[begin:end] = b"\1" * (end - begin)
    runs = (run.span() for run in re.finditer(b"\0+|\1+", hidden))
    return "".join("***" if hidden[begin] else text[begin:end] for begin, end in runs)


def _found(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of every part of a credential in `text`; a short one counts as a word of its own alone."""
    for length, parts in tuple(_parts.items()):
        for start in range(len(text) - length + 1):
            end = start + length
            if text[start:end] in parts and (length > _LONGEST_WORD or _is_word(text, start, end)):
                yield start, end


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether no ASCII letter or digit is next to `text[start:end]`."""
    neighbours = text[max(start - 1, 0) : start] + text[end : end + 1]
    return not any(character.isascii() and character.isalnum() for character in neighbours)
