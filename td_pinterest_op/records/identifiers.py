"""Values as Treasure Data holds them → SHA-256 digests as Pinterest matches them, or the reason why not.

Pure, and the last place where a plain identifier exists: what leaves is digests, positions and reasons.

The rules are written down once, value by value, in `digest_or_reason`. `digest_block` gives the same answers
for a block at once, several times faster: it may only ever *recognise* what is plainly good, and leaves every
other value to `digest_or_reason`.
"""

from __future__ import annotations

import enum
import re
import sys
from binascii import unhexlify
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from td_pinterest_op.records.placeholders import HASHES_OF_NOTHING, PLACEHOLDERS


class IdentifierType(str, enum.Enum):
    """What a column holds."""

    EMAIL = "email"
    MAID = "maid"
    IDFA = "idfa"


class Reason(str, enum.Enum):
    """Why a value is not sent; the names under which rejections are counted."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestedBlock:
    """`digests`: 32 bytes for each valid value, repeats included. `rejected`: positions, from 0, in order."""

    digests: list[bytes]
    rejected: list[tuple[int, Reason]]


MAX_EMAIL_BYTES = 254  # RFC 5321: a path of 256, less its angle brackets

# ---------------------------------------------------------------------------------------- one value: the rules

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
"""Removed from both ends of a value. `warehouse` makes its SQL from this and from `SEPARATORS`."""
_CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))  # of both blocks, and DEL
SEPARATORS = "," + _CONTROLS + TRIMMED
"""A plain identifier holds none of these characters."""
SEPARATOR = re.compile(f"[{re.escape(SEPARATORS)}]")
_SHA256_HEX = re.compile("[0-9A-Fa-f]{64}")
_OTHER_HASH = re.compile("[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}")
_DEVICE_ID = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def digest_or_reason(kind: IdentifierType, value: object) -> bytes | Reason:
    """The 32-byte digest to send for `value` (raw UTF-8, as msgpack gives it with raw=True), or why there is none.

    The first line that holds decides:

    =====================================================  ==================
    None                                                   null
    anything but bytes                                     not_a_string
    not UTF-8                                              bad_encoding
    nothing left after trimming                            empty
    a placeholder, in any case; an all-zero device id      placeholder
    64 hex digits that digest nothing                      hash_of_nothing
    64 other hex digits                                    that digest
    32 or 40 hex digits                                    unsupported_hash
    an e-mail of more than 254 bytes, in lower case        too_long
    white space, a comma, a control or zero-width          contains_separator
    character inside
    not `local@label.label…`, not 8-4-4-4-12 hex digits    not_an_email, not_a_device_id
    anything else                                          SHA-256 of it in lower case; IDFA: in upper case
    =====================================================  ==================

    Never raises.
    """
    text = text_or_reason(value)
    if isinstance(text, Reason):
        return text
    return hash_or_reason(text) or _plain_digest_or_reason(kind, text)


def text_or_reason(value: object) -> str | Reason:
    """The trimmed text of a value (raw UTF-8), or why it has none that identifies somebody."""
    if value is None:
        return Reason.NULL
    if not isinstance(value, bytes):
        return Reason.NOT_A_STRING
    try:
        text = value.decode().strip(TRIMMED)
    except UnicodeDecodeError:
        return Reason.BAD_ENCODING
    if not text:
        return Reason.EMPTY
    return Reason.PLACEHOLDER if text.lower() in PLACEHOLDERS else text


def hash_or_reason(text: str) -> bytes | Reason | None:
    """The digest that a trimmed text is, why it is a hash of no use, or None for a text that is no hash."""
    if _SHA256_HEX.fullmatch(text):
        digest = bytes.fromhex(text)
        return Reason.HASH_OF_NOTHING if digest in HASHES_OF_NOTHING else digest
    return Reason.UNSUPPORTED_HASH if _OTHER_HASH.fullmatch(text) else None


def _plain_digest_or_reason(kind: IdentifierType, text: str) -> bytes | Reason:
    normal = text.upper() if kind is IdentifierType.IDFA else text.lower()
    # A device id is judged as it was written: upper() makes two hex digits of the ligature \ufb00.
    flaw = _email_flaw(normal) if kind is IdentifierType.EMAIL else _device_id_flaw(text)
    return flaw or sha256(normal.encode()).digest()


def _email_flaw(text: str) -> Reason | None:
    if len(text.encode()) > MAX_EMAIL_BYTES:
        return Reason.TOO_LONG
    if SEPARATOR.search(text):
        return Reason.CONTAINS_SEPARATOR
    local, _, domain = text.partition("@")
    labels = domain.split(".")
    well_formed = local and "@" not in domain and len(labels) > 1 and all(labels)
    return None if well_formed else Reason.NOT_AN_EMAIL


def _device_id_flaw(text: str) -> Reason | None:
    if SEPARATOR.search(text):
        return Reason.CONTAINS_SEPARATOR
    return None if _DEVICE_ID.fullmatch(text) else Reason.NOT_A_DEVICE_ID


# ---------------------------------------------------------------------------------------- a block: the same, faster

# A pattern takes a run of lines, each of them plainly good: what it does not take needs a closer look. Repeats never
# need to give back what they took; saying so (Python 3.11) saves a sixth of the time.
_ONCE = "+" if sys.version_info >= (3, 11) else ""
_LOCAL = r"[^\x00-\x20,@\x7f-\xff]"
_LABEL = r"[^\x00-\x20,.@\x7f-\xff]"
# The bounds add up to no more than 254 bytes; longer addresses take the slow way.
_PLAIN_EMAIL = (
    rf"{_LOCAL}{{1,64}}{_ONCE}@{_LABEL}{{1,63}}{_ONCE}\.{_LABEL}{{1,63}}{_ONCE}"
    rf"(?:\.{_LABEL}{{1,29}}{_ONCE}){{0,2}}{_ONCE}"
)


def _run_of(line: str) -> re.Pattern[bytes]:
    return re.compile(rf"(?:{line}\n)*{_ONCE}".encode())


_emails, _device_ids = _run_of(_PLAIN_EMAIL), _run_of(_DEVICE_ID.pattern)
_hex_digests = re.compile(_SHA256_HEX.pattern.encode())

# The runs of good lines, and the case in which they are hashed.
_PLAIN: dict[IdentifierType, tuple[re.Pattern[bytes], Callable[[bytes], bytes]]] = {
    IdentifierType.EMAIL: (_emails, bytes.lower),
    IdentifierType.MAID: (_device_ids, bytes.lower),
    IdentifierType.IDFA: (_device_ids, bytes.upper),
}


def digest_block(kind: IdentifierType, values: Sequence[object]) -> DigestedBlock:
    """Digests and rejections of a block of values of one kind; see `digest_or_reason` for what it makes of each.

    Values are as msgpack gives them with raw=True. A few thousand at a time are best. The order of the digests
    is not that of the values. Never raises.
    """
    digests, rejected = digests_by_position(kind, values)
    return DigestedBlock(digests=list(filter(None, digests)) if rejected else digests, rejected=rejected)


def digests_by_position(kind: IdentifierType, values: Sequence[object]) -> tuple[list[bytes], list[tuple[int, Reason]]]:
    """As `digest_block`, with one entry for each value: its digest, or b"" for a rejected value."""
    digests = _fast_digests(kind, values)
    undecided = _positions_of_undecided(digests)
    rejected: list[tuple[int, Reason]] = []
    if not undecided:
        return digests, rejected
    trimmed = [_one_line(values[row]) for row in undecided]
    for row, digest in zip(undecided, _fast_digests_mixed(kind, trimmed), strict=True):
        answer = digest or digest_or_reason(kind, values[row])
        if isinstance(answer, Reason):
            rejected.append((row, answer))
        else:
            digests[row] = answer
    return digests, rejected


def _fast_digests(kind: IdentifierType, values: Sequence[object]) -> list[bytes]:
    """For each value its digest, or b"" where a closer look is needed."""
    texts = cast("list[bytes]", [value or b"" for value in values])
    try:
        lines = b"\n".join(texts) + b"\n"
    except TypeError:  # more than nulls: numbers, lists
        texts = [text if isinstance(text, bytes) else b"" for text in texts]
        lines = b"\n".join(texts) + b"\n"
    # 65 bytes a line against 37 for a device id and fewer for most addresses; a wrong guess costs time only.
    digests = _hashed(texts) if len(lines) > 45 * len(texts) else _plain(kind, lines)
    # A newline inside a value makes a line too many.
    return digests if len(digests) == len(texts) else [b""] * len(texts)


def _fast_digests_mixed(kind: IdentifierType, texts: list[bytes]) -> list[bytes]:
    """As `_fast_digests`, for few values, none with a newline inside, hashed and plain ones side by side."""
    lines = b"\n".join(texts) + b"\n"
    return [hashed or plain for hashed, plain in zip(_hashed(texts), _plain(kind, lines), strict=True)]


def _hashed(texts: list[bytes]) -> list[bytes]:
    try:
        # What is 64 bytes long nearly always is a digest: trying costs a quarter of looking first.
        digests = [unhexlify(text) if len(text) == 64 else b"" for text in texts]
    except ValueError:
        digests = [unhexlify(text) if _hex_digests.fullmatch(text) else b"" for text in texts]
    return _without_empty_hashes(digests)


def _plain(kind: IdentifierType, lines: bytes) -> list[bytes]:
    runs, in_case = _PLAIN[kind]
    lines = in_case(lines)
    values = lines.split(b"\n")[:-1]
    for row in _rows_between(runs, lines):
        values[row] = b""
    return _without_empty_hashes([sha256(value).digest() if value else b"" for value in values])


def _rows_between(runs: re.Pattern[bytes], lines: bytes) -> Iterator[int]:
    """The lines, counted from 0, that are in no run."""
    row = position = 0
    while True:
        end = cast("re.Match[bytes]", runs.match(lines, position)).end()  # matches the empty run, if nothing else
        if end == len(lines):
            return
        row += lines.count(b"\n", position, end)
        yield row
        row += 1
        position = lines.index(b"\n", end) + 1


def _without_empty_hashes(digests: list[bytes]) -> list[bytes]:
    if HASHES_OF_NOTHING.isdisjoint(digests):
        return digests
    return [b"" if digest in HASHES_OF_NOTHING else digest for digest in digests]


def _positions_of_undecided(digests: list[bytes]) -> list[int]:
    """Positions of b""."""
    # They are few, and index() finds them several times faster than a loop looks at each.
    rows: list[int] = []
    start = 0
    for _ in range(digests.count(b"")):
        start = digests.index(b"", start) + 1
        rows.append(start - 1)
    return rows


def _one_line(value: object) -> bytes:
    trimmed = value.strip() if isinstance(value, bytes) else b""
    return b"" if b"\n" in trimmed else trimmed
