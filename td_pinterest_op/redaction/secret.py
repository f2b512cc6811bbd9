"""A value that does not print itself, and a mask for text that comes from elsewhere.

The mask recognises a credential in every form in which an echo may show it: plain, URL-encoded, escaped as in JSON,
HTML or Python, in base64 (alone or inside longer encoded text) or hex, and cut to a part of it. It takes linear time.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections import defaultdict
from collections.abc import Iterator

# digdag takes no longer secret, in bytes; of a longer one only the beginning is recognised.
LONGEST_SECRET = 16 * 1024
# Nobody reads a message that is longer than this many characters.
LONGEST_TEXT = 100_000

# One or two characters are no credential, and stand in every message. Up to five are hidden as whole words only.
_SHORTEST_FORM, _LONGEST_WORD = 3, 5
# The hex digits of fewer bytes could be an ordinary number. 16 bytes and more are hidden as what could be a person's.
_SHORTEST_IN_HEX = 4
# A part that is long enough to be of use to somebody, and too long to be an ordinary word.
_SHORTEST_PART, _LONGEST_PART = 8, 12

# What could be a person: an e-mail address, a device id, an MD5, SHA-1 or SHA-256. The address begins where a
# word begins, so that a long word without an `@` is read once and not once for each of its characters.
_PERSON = re.compile(
    r"(?<![^\s@'\"])[^\s@'\"]+?(?:@|%40|\\u0040)[^\s@'\"]+\.[^\s@'\"]+"
    r"|[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
    r"|[0-9A-Fa-f]{32,}"
)
# One character as URLs, JSON, Python and HTML escape it; a backslash alone escapes what follows it.
_ESCAPE = (
    r"%([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})"
    r"|(&(?:#x[0-9A-Fa-f]{2,4}|#[0-9]{2,5}|amp|quot|lt|gt);)|\\(?=[^\w\s])"
)
_ESCAPED = re.compile(_ESCAPE)
_CHARACTER = re.compile(f"{_ESCAPE}|(.)", re.DOTALL)
_AS_HTML, _PLAIN = 4, 5
# Text that was escaped twice is common (JSON in JSON), three times is not.
_LEVELS = 3

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
    return _PERSON.sub("<hidden>", _without_credentials(text))


def _forms(value: str) -> Iterator[str]:
    """`value` in every form in which an echo may show it, but for escapes: those are undone in the text."""
    data = value.encode("utf-8", "surrogatepass")
    yield value
    # A form's escape that is no escape of its own.
    yield value.replace(" ", "+")
    if len(data) >= _SHORTEST_IN_HEX:
        yield data.hex()
        yield data.hex().upper()
    for encoded in _in_base64(data):
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")


def _in_base64(data: bytes) -> Iterator[str]:
    """`data` alone in base64, and what base64 of a longer text shows of it, at each of the three places in it."""
    yield base64.b64encode(data).decode().rstrip("=")
    for before, first in enumerate((0, 2, 3)):
        encoded = base64.b64encode(bytes(before) + data).decode()
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
    for view, origins in _views(text):
        for first, last in _found(view):
            begin, end = origins[first], origins[last]
            hidden[begin:end] = b"\1" * (end - begin)
    runs = (run.span() for run in re.finditer(b"\0+|\1+", hidden))
    return "".join("***" if hidden[begin] else text[begin:end] for begin, end in runs)


def _views(text: str) -> Iterator[tuple[str, list[int]]]:
    """`text`, then without its escapes, level by level; and where in `text` each character begins, with its end."""
    origins = list(range(len(text) + 1))
    yield text, origins
    for _ in range(_LEVELS - 1):
        if not _ESCAPED.search(text):
            return
        pairs = [(_character(match), origins[match.start()]) for match in _CHARACTER.finditer(text)]
        origins = [origin for character, origin in pairs if character] + origins[-1:]
        text = "".join(character for character, _ in pairs)
        yield text, origins


def _character(match: re.Match[str]) -> str:
    group = match.lastindex
    if group is None:
        return ""
    if group == _PLAIN:
        return match[group]
    return html.unescape(match[group])[:1] if group == _AS_HTML else chr(int(match[group], 16))


def _found(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of every part of a credential in `text`; a short one counts as a word of its own alone."""
    for length, parts in tuple(_parts.items()):
        for start in range(len(text) - length + 1):
            end = start + length
            if text[start:end] in parts and (length > _LONGEST_WORD or _is_word(text, start, end)):
                yield start, end


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether no ASCII letter or digit stands beside `text[start:end]`."""
    beside = text[max(start - 1, 0) : start] + text[end : end + 1]
    return not any(character.isascii() and character.isalnum() for character in beside)
