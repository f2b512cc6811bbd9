"""Values as Treasure Data holds them → SHA-256 digests as Pinterest matches them, or the reason why not.

Pure, and the last place where a plain identifier exists: what leaves is digests, positions and reasons.

What happens to a value is written down once, in `key_or_reason`. `key_block` gives the same answers
for a block at once, several times faster: it may only ever *recognise* what is plainly good, and leaves every
other value to `key_or_reason`.
"""

from __future__ import annotations

import contextlib
import json
import re
from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from td_pinterest_op.errors import UnexpectedError
from td_pinterest_op.identifiers.rules import HASHES_OF_NOTHING, TRIMMED, Reason, hash_or_reason, text_or_reason
from td_pinterest_op.identifiers.sql import HASHED_MARK
from td_pinterest_op.identifiers.types import IdentifierType
from td_pinterest_op.records.columns import Column

DIGEST_BYTES = 32
_HEX_DIGITS = 2 * DIGEST_BYTES
_MARK = HASHED_MARK.encode()
_hex_digests = re.compile(rb"[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBlock:
    """What happens to values of one type.

    `keys`: for each value what to send, or b"". `rejected`: positions of the latter, from 0, in order. `hashed`: how
    many values were hashed already.
    """

    keys: list[bytes]
    rejected: list[tuple[int, Reason]]
    hashed: int


def key_or_reason(type_: IdentifierType, value: object, *, default_country: str | None = None) -> bytes | Reason:
    """What to send for `value` (raw UTF-8, as msgpack gives it with raw=True), or why there is nothing.

    It is a digest of 32 bytes, or an external id as UTF-8.

    The first line that holds decides:

    =====================================================  ==================
    None                                                   null
    anything but bytes                                     not_a_string
    not UTF-8                                              bad_encoding
    nothing left after trimming                            empty
    a placeholder, in any case; an all-zero device id      placeholder
    an external id                                         its own rules, see `identifiers.types`
    64 hex digits that digest nothing                      hash_of_nothing
    64 other hex digits                                    that digest
    32 or 40 hex digits                                    unsupported_hash
    an e-mail of more than 254 bytes, in lower case        too_long
    white space, a comma, a control or zero-width          contains_separator
    character inside
    not `local@label.label…`, not 8-4-4-4-12 hex digits    not_an_email, not_a_device_id
    no phone number, see `phones`                          not_a_phone_number, no_country
    anything else                                          SHA-256 of it in lower case; IDFA: in upper case
    =====================================================  ==================

    Raises WorkflowError (see `phones`).
    """
    text = text_or_reason(value)
    if isinstance(text, Reason):
        return text
    if type_.is_hashed and (hashed := hash_or_reason(text)):
        return hashed
    normal = type_.normalise(text, default_country)
    if isinstance(normal, Reason):
        return normal
    return sha256(normal.encode()).digest() if type_.is_hashed else normal.encode()


def key_block(type_: IdentifierType, values: Sequence[object], *, default_country: str | None = None) -> KeyBlock:
    """What to send for a block of values of one type; see `key_or_reason` for what it makes of each.

    Values are as msgpack gives them with raw=True. A few thousand at a time are best. Raises WorkflowError (see
    `phones`).
    """
    keys, hashed = _fast_keys(type_, values)
    undecided = _positions_of_undecided(keys)
    rejected = [(row, Reason.NULL) for row in undecided if values[row] is None]
    closer = [row for row in undecided if values[row] is not None] if rejected else undecided
    if closer:
        trimmed = [_one_line(values[row]) for row in closer]
        for row, key in zip(closer, _fast_keys_mixed(type_, trimmed), strict=True):
            answer = key or key_or_reason(type_, values[row], default_country=default_country)
            if isinstance(answer, Reason):
                rejected.append((row, answer))
            else:
                keys[row] = answer
                hashed += type_.is_hashed and _looks_hashed(values[row])
        rejected.sort()
    return KeyBlock(keys=keys, rejected=rejected, hashed=hashed)


def decode_answers(answers: Sequence[object]) -> KeyBlock:
    """Return the keys of values that the warehouse has judged; `answers`: digests in hex, or reasons.

    A digest has HASHED_MARK in front if it was one before. Raises UnexpectedError for any other answer.
    """
    texts = [answer if isinstance(answer, bytes) else b"" for answer in answers]
    try:
        keys = [unhexlify(text[-_HEX_DIGITS:]) if len(text) >= _HEX_DIGITS else b"" for text in texts]
        rejected = [
            (row, Reason.NULL if answers[row] is None else Reason(texts[row].decode()))
            for row in _positions_of_undecided(keys)
        ]
    except ValueError:
        raise UnexpectedError("what the warehouse made of a value is neither a digest nor a reason") from None
    return KeyBlock(keys=keys, rejected=rejected, hashed=sum(text.startswith(_MARK) for text in texts))


def _looks_hashed(valid: object) -> bool:
    return isinstance(valid, bytes) and hash_or_reason(valid.decode().strip(TRIMMED)) is not None


def _fast_keys(type_: IdentifierType, values: Sequence[object]) -> tuple[list[bytes], int]:
    """For each value its key, or b"" where a closer look is needed; how many of the keys were hashed already."""
    texts = cast("list[bytes]", values)
    try:
        lines = b"\n".join(texts) + b"\n"
    except TypeError:  # nulls, numbers, lists
        texts = [text if isinstance(text, bytes) else b"" for text in texts]
        lines = b"\n".join(texts) + b"\n"
    # 65 bytes a line against 37 for a device id and fewer for most addresses; a wrong guess costs time only.
    seem_hashed = type_.is_hashed and len(lines) > 45 * len(texts)
    keys = _hashed(texts) if seem_hashed else _plain(type_, lines)
    if len(keys) != len(texts):  # a newline inside a value makes a line too many
        return [b""] * len(texts), 0
    return keys, len(keys) - keys.count(b"") if seem_hashed else 0


def _fast_keys_mixed(type_: IdentifierType, texts: list[bytes]) -> list[bytes]:
    """As `_fast_keys`, for few values, none with a newline inside, hashed and plain ones side by side."""
    plain = _plain(type_, b"\n".join(texts) + b"\n")
    return [hashed or key for hashed, key in zip(_hashed(texts), plain, strict=True)] if type_.is_hashed else plain


def _hashed(texts: list[bytes]) -> list[bytes]:
    try:
        # What is 64 bytes long nearly always is a digest: trying costs a quarter of looking first.
        digests = [unhexlify(text) if len(text) == 64 else b"" for text in texts]
    except ValueError:
        digests = [unhexlify(text) if _hex_digests.fullmatch(text) else b"" for text in texts]
    return _without_empty_hashes(digests)


def _plain(type_: IdentifierType, lines: bytes) -> list[bytes]:
    values = type_.recognise(lines)
    if not type_.is_hashed:
        return values
    return _without_empty_hashes([sha256(value).digest() if value else b"" for value in values])


def _without_empty_hashes(digests: list[bytes]) -> list[bytes]:
    if HASHES_OF_NOTHING.isdisjoint(digests):
        return digests
    return [b"" if digest in HASHES_OF_NOTHING else digest for digest in digests]


def _positions_of_undecided(digests: list[bytes]) -> list[int]:
    """Positions of b""."""
    # They are few, and index() finds them several times faster than a loop looks at each.
    rows: list[int] = []
    with contextlib.suppress(ValueError):  # no more of them
        while True:
            rows.append(digests.index(b"", rows[-1] + 1 if rows else 0))
    return rows


def _one_line(value: object) -> bytes:
    trimmed = value.strip() if isinstance(value, bytes) else b""
    return b"" if b"\n" in trimmed else trimmed


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnKeys(KeyBlock):
    """What happens to the values of a column; `rejected` has their rows.

    `rows`: for each value its row in the block, None where each row has one.
    """

    column: Column
    rows: Sequence[int] | None

    @property
    def valid(self) -> int:
        """How many values are."""
        return len(self.keys) - len(self.rejected)

    @property
    def valid_keys(self) -> list[bytes]:
        """What to send of the valid values, one after the other."""
        return [*filter(None, self.keys)] if self.rejected else self.keys

    @property
    def identifiers(self) -> list[bytes]:
        """What the valid values are compared by with others: digests."""
        type_ = self.column.type
        return self.valid_keys if type_.is_hashed else [identifier_of(type_, key) for key in self.valid_keys]

    @property
    def unsure(self) -> list[int]:
        """The rows of addresses that the warehouse could not hash."""
        return [row for row, reason in self.rejected if reason is Reason.UNSURE]

    @property
    def plain(self) -> int:
        """How many valid values of a type that is hashed were not hashed yet."""
        return self.valid - self.hashed if self.column.type.is_hashed else 0

    def by_row(self, count: int) -> list[list[bytes]]:
        """The keys of each of `count` rows, each once."""
        if self.rows is None:
            return [[key] if key else [] for key in self.keys]
        by_row: list[list[bytes]] = [[] for _ in range(count)]
        for row, key in zip(self.rows, self.keys, strict=True):
            if key:
                by_row[row].append(key)
        return [[*dict.fromkeys(keys)] for keys in by_row]


def identifier_of(type_: IdentifierType, key: bytes) -> bytes:
    """What a key is compared by with those of others: its digest, also of one that is not sent as a digest."""
    return key if type_.is_hashed else sha256(b"%s:%s" % (type_.name.encode(), key)).digest()


def column_keys(column: Column, block: Sequence[Sequence[object]], *, default_country: str | None = None) -> ColumnKeys:
    """The keys of a column of a block. Raises WorkflowError (see `phones`)."""
    values, rows = block[column.position], None
    if column.is_array:
        values, rows = _elements(values)
    given = (
        decode_answers(values) if column.is_judged else key_block(column.type, values, default_country=default_country)
    )
    rejected = given.rejected if rows is None else [(rows[position], reason) for position, reason in given.rejected]
    return ColumnKeys(column=column, keys=given.keys, rows=rows, rejected=rejected, hashed=given.hashed)


def _elements(arrays: Sequence[object]) -> tuple[list[object], list[int]]:
    """The elements of all arrays but nulls, one null for an array without any, and the row of each."""
    values: list[object] = []
    rows: list[int] = []
    for row, array in enumerate(arrays):
        elements = _array(array)
        present = [element for element in elements if element is not None] or [None]
        values += present
        rows += [row] * len(present)
    return values, rows


def _array(value: object) -> Sequence[object]:
    if isinstance(value, (tuple, list)):
        return value
    try:  # some engines hand arrays over as JSON
        elements = json.loads(value) if isinstance(value, bytes) and value.lstrip().startswith(b"[") else None
    except ValueError:
        elements = None
    if not isinstance(elements, list):
        return [value]
    return [element.encode() if isinstance(element, str) else element for element in elements]
