"""A value that does not print itself, and a mask for text that comes from elsewhere.

The mask recognises a credential in every form in which an echo may show it: plain, URL-encoded, escaped as in JSON,
HTML or Python, in base64 (alone or inside longer encoded text) or hex, and cut to a part of it. It takes linear time.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from td_pinterest_op.template import without_templates

# digdag takes no longer secret, in bytes; of a longer one only the beginning is recognised.
LONGEST_SECRET = 16 * 1024
# Nobody reads a message that is longer than this many characters.
LONGEST_TEXT = 100_000

# A part of this many characters is recognised wherever it stands. Shorter forms are recognised only as whole words.
_GRAM = 6
# One or two characters are no credential, and stand in every message.
_SHORTEST_FORM = 3
# The hex digits of fewer bytes could be an ordinary number. 16 bytes and more are hidden as what could be a person's.
_SHORTEST_IN_HEX = 4
# A gram that a form repeats more often than this is looked for at its first places only: the mask's time stays linear.
_MOST_REPEATS = 16
# A part that is long enough to be of use to somebody, and too long to be an ordinary word.
_SHORTEST_PART, _LONGEST_PART = 8, 12

# What could be a person: an e-mail address, a device id, an MD5, SHA-1 or SHA-256. The address begins where a
# word begins, so that a long word without an `@` is read once and not once for each of its characters.
_PERSON = re.compile(
    r"(?<![^\s@'\"])[^\s@'\"]+?(?:@|%40|\\u0040)[^\s@'\"]+\.[^\s@'\"]+"
    r"|[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
    r"|[0-9A-Fa-f]{32,}"
)
# One character as URLs, JSON, Python and HTML escape it.
_ESCAPED = re.compile(
    r"%([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{2,4});|&#([0-9]{2,5});"
    r"|&(amp|quot|lt|gt);|\\(?=[^\w\s])"
)
_HTML = {"amp": "&", "quot": '"', "lt": "<", "gt": ">"}
# Text that was escaped twice is common (JSON in JSON), three times is not.
_LEVELS = 3


class _Place(NamedTuple):
    """Where a gram stands: at `start` of `form`, of which a part of `shortest` characters must not be shown."""

    form: str
    start: int
    shortest: int


_known: set[str] = set()
_short_forms: set[str] = set()
_places: dict[str, list[_Place]] = {}


class Secret:
    """A credential. Shown as `***` wherever it is printed, formatted or logged; `reveal()` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if value and value not in _known:
            _known.add(value)
            for form in _forms(value[:LONGEST_SECRET]):
                _remember(form)

    def reveal(self) -> str:
        """The value itself, for the request that needs it."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell it from another secret, and nothing about itself."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not to be pickled")


def mask(text: str) -> str:
    """`text` without any known credential, and without anything that looks like an identifier of a person.

    Text longer than LONGEST_TEXT is cut at a space before.
    """
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT].rpartition(" ")[0] + " …"
    return _PERSON.sub("<hidden>", _without_credentials(text))


def escaped(text: str) -> str:
    """`text` with its control characters escaped, so that a name forges no line of the log, nor a template."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return without_templates(text)


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
        if len(inner) >= _GRAM:
            yield inner


def _remember(form: str) -> None:
    if len(form) < _GRAM:
        if len(form) >= _SHORTEST_FORM:
            _short_forms.add(form)
        return
    shortest = _shortest_part(form)
    grams: Counter[str] = Counter()
    for start in range(len(form) - shortest + 1):
        gram = form[start : start + _GRAM]
        grams[gram] += 1
        if grams[gram] <= _MOST_REPEATS:
            _places.setdefault(gram, []).append(_Place(form, start, shortest))


def _shortest_part(form: str) -> int:
    """How many characters of `form` must not be shown together: half of it, within limits; all of a short one."""
    if len(form) < _LONGEST_PART:
        return len(form)
    return min(_LONGEST_PART, max(_SHORTEST_PART, (len(form) + 1) // 2))


def _without_credentials(text: str) -> str:
    spans: list[tuple[int, int]] = []
    # What is looked at, and where in `text` each character of it begins.
    view, origins = text, list(range(len(text) + 1))
    for _ in range(_LEVELS):
        spans += [(origins[first], origins[last]) for first, last in (*_short_words(view), *_parts(view))]
        decoded, starts = _decoded(view)
        if decoded == view:
            break
        view, origins = decoded, [origins[start] for start in starts]
    return _with_stars(text, sorted(spans))


def _with_stars(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, end = [], 0
    for first, last in spans:
        if first >= end:
            pieces += [text[end:first], "***"]
        end = max(end, last)
    return "".join([*pieces, text[end:]])


def _short_words(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of every short credential that stands in `text` as a word."""
    for form in _short_forms:
        for match in re.finditer(rf"(?<![0-9A-Za-z]){re.escape(form)}(?![0-9A-Za-z])", text):
            yield match.span()


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of every long credential, or part of one, in `text`."""
    start = 0
    while start <= len(text) - _GRAM:
        places = _places.get(text[start : start + _GRAM], ())
        length = max((_common(text, start, place) for place in places), default=0)
        if length:
            yield start, start + length
        start += length or 1


def _common(text: str, start: int, place: _Place) -> int:
    """How many characters `text` from `start` has in common with a form, 0 if they are too few to matter."""
    form, length = place.form, _GRAM
    longest = min(len(text) - start, len(form) - place.start)
    while length < longest and text[start + length] == form[place.start + length]:
        length += 1
    return length if length >= place.shortest else 0


def _decoded(text: str) -> tuple[str, list[int]]:
    """`text` without escapes, and where in `text` each of its characters begins; last, where `text` ends."""
    if not any(sign in text for sign in "%\\&"):
        return text, []
    pieces: list[str] = []
    starts: list[int] = []
    end = 0
    for match in _ESCAPED.finditer(text):
        pieces.append(text[end : match.start()])
        starts += range(end, match.start())
        character = _character(match)
        pieces.append(character)
        starts += [match.start()] * len(character)
        end = match.end()
    pieces.append(text[end:])
    return "".join(pieces), [*starts, *range(end, len(text) + 1)]


def _character(match: re.Match[str]) -> str:
    *hexadecimal, decimal, name = match.groups()
    if name:
        return _HTML[name]
    code = next((int(digits, 16) for digits in hexadecimal if digits), int(decimal) if decimal else None)
    # A backslash alone escapes what follows it.
    return "" if code is None else chr(code)
