"""Secrets that do not print themselves, and text from elsewhere that is safe to show: masked, on one line, no template.

The mask recognises a credential in every form in which an echo may show it: plain, URL-encoded, escaped as in JSON,
HTML or Python (twice as well), in base64 (alone or inside longer encoded text) or hex, and in part. It takes linear
time.
"""

import base64
import hashlib
import html
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from td_pinterest_op.digdag_templates import defuse_templates

# digdag's limit in bytes; only the beginning of a longer secret is recognised.
LONGEST_SECRET = 16 * 1024
# In characters: longer texts are cut at a space before that.
LONGEST_TEXT = 100_000

# In characters: shorter credentials occur in every message, and those of up to five are masked as whole words only.
_SHORTEST_FORM, _LONGEST_WORD = 3, 5
# In bytes: the hex digits of fewer could be an ordinary number. Those of 16 and more are masked as digests.
_SHORTEST_IN_HEX = 4
# In characters: a part of a credential that could be of use to somebody, and is too long to be an ordinary word.
_SHORTEST_PART, _LONGEST_PART = 8, 12

# What could be a person: a word with an `@`, a device id, an MD5, SHA-1 or SHA-256.
_WORD = re.compile(r"[^\s'\"]+")
_AT = re.compile(r"@|%(?:25)*40|\\u0040|&#(?:0*64|[xX]0*40);|&commat;")
_DEVICE_OR_DIGEST = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32,}")
# As of phone numbers and keys. Not digits of a name (customers_20260101), a position (line 1:8) or a time.
_LONG_NUMBER = re.compile(r"(?<!\w)(?!\d{4}-\d\d-\d\d[T ]\d\d:)\+?\(?\d(?:(?:/|[\s()+.-]{0,3})\d){6,}(?![\d_])")
_PERCENT = re.compile("%[0-9A-F]{2}")
# In characters: the forms of a longer credential, which nobody uses, are not escaped twice.
_LONGEST_TWICE = 4_000

# The parts of all credentials that must not be shown, by their length.
_parts: defaultdict[int, set[str]] = defaultdict(set)


class Secret:
    """A credential that is shown as `***` wherever it is printed, formatted or logged. Only `reveal()` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        for form in _list_all_forms(value[:LONGEST_SECRET]):
            # The shortest part to be masked is half of a form, or all of a short form.
            half = min(_LONGEST_PART, max(_SHORTEST_PART, (len(form) + 1) // 2))
            length = len(form) if len(form) < _LONGEST_PART else half
            if length >= _SHORTEST_FORM:
                _parts[length].update(form[start : start + length] for start in range(len(form) - length + 1))

    def reveal(self) -> str:
        """Return the credential as plain text, for the request that needs it."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that identify the secret without revealing it."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def mask(text: str) -> str:
    """Return `text` without known credentials, and without likely e-mail addresses, device ids and digests."""
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT].rpartition(" ")[0] + " …"
    return _DEVICE_OR_DIGEST.sub("<hidden>", _WORD.sub(_hide_address, _hide_credentials(text)))


def mask_with_numbers(text: str) -> str:
    """Return `text` masked as by `mask`, and without long numbers, which may be a person's phone number."""
    return _LONG_NUMBER.sub("<hidden>", mask(text))


def escape(text: str) -> str:
    """Return `text` with control characters escaped and `${` changed, so that it forges no log line or template."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return defuse_templates(text)


def sanitize(text: str, *, longest: int = 80) -> str:
    """Return `text` masked, on one line, with control characters escaped, cut to `longest` characters."""
    line = escape(mask(text))  # before it is cut, since half of an identifier would not be recognised
    return line if len(line) <= longest else f"{line[:longest]}…"


def _hide_address(word: re.Match[str]) -> str:
    """Return the matched word, or "<hidden>" if it looks like an e-mail address (an `@`, later a full stop)."""
    text = word[0]
    at = _AT.search(text, 1)
    return "<hidden>" if at and text.rfind(".", at.end() + 1, len(text) - 1) > 0 else text


def _list_escaped_forms(value: str) -> set[str]:
    """Return the forms of `value` when it is escaped for URLs, JSON, HTML or Python source."""
    data = value.encode("utf-8", "surrogatepass")
    urls = {quote_plus(data), *(quote(data, safe=safe) for safe in ("", "/", "!~*'()"))}
    urls |= {_PERCENT.sub(lambda match: match[0].lower(), url) for url in urls}
    text = json.dumps(value)[1:-1]
    tables = ({ord(c): f"\\u{ord(c):04x}" for c in characters} for characters in ("", "<>&", "<>&='"))
    in_json = {text.replace("/", "\\/"), *(text.translate(table) for table in tables)}
    in_html = {html.escape(value), html.escape(value).replace("&#x27;", "&#39;")}
    return urls | in_json | in_html | {repr(value)[1:-1]}


def _list_all_forms(value: str) -> set[str]:
    """Return the forms in which a response or an error may repeat a credential: escaped, in base64 or in hex."""
    data = value.encode("utf-8", "surrogatepass")
    escaped = _list_escaped_forms(value) | {value, value.replace(" ", "+")}
    encoded = {form for text in escaped for form in _encode_base64(text.encode("utf-8", "surrogatepass"))}
    units = value.encode("utf-16-be", "surrogatepass").hex()
    every = {re.sub("(..)", r"%\1", data.hex()), re.sub("(....)", r"\\u\1", units)}
    every |= {re.sub("[a-f]", lambda digit: digit[0].upper(), form) for form in every}
    hexadecimal = {data.hex(), data.hex().upper()} if len(data) >= _SHORTEST_IN_HEX else set[str]()
    once = escaped | encoded if len(value) <= _LONGEST_TWICE else ()
    return escaped.union(encoded, every, hexadecimal, *map(_list_escaped_forms, once))


def _encode_base64(data: bytes) -> Iterator[str]:
    """Yield the base64 of `data` alone, and as it appears within longer encoded data (at each of three offsets)."""
    for altchars in (b"+/", b"-_"):
        yield base64.b64encode(data, altchars).decode().rstrip("=")
        for before, first in enumerate((0, 2, 3)):
            encoded = base64.b64encode(bytes(before) + data, altchars).decode()
            # The characters at both ends have bits of their neighbours.
            inner = encoded[first : (before + len(data)) * 8 // 6]
            if len(inner) > _LONGEST_WORD:
                yield inner


def _hide_credentials(text: str) -> str:
    """Return the text with `***` in place of known credentials, and of parts of them."""
    hidden = bytearray(len(text))
    for length, parts in tuple(_parts.items()):
        for start in range(len(text) - length + 1):
            end = start + length
            if text[start:end] in parts and (length > _LONGEST_WORD or _is_word(text, start, end)):
                hidden[start:end] = b"\1" * length
    runs = (run.span() for run in re.finditer(b"\0+|\1+", hidden))
    return "".join("***" if hidden[begin] else text[begin:end] for begin, end in runs)


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` is a whole word: neither an ASCII letter nor a digit is next to it."""
    neighbours = text[max(start - 1, 0) : start] + text[end : end + 1]
    return not any(character.isascii() and character.isalnum() for character in neighbours)
