"""Turn the values of a query's result into identifiers as Pinterest matches them, or into reasons for rejection.

An identifier is a SHA-256 digest, or an external id, which is sent as it is. No plain address, device id or phone
number leaves this module.

The rule for a value is written down once, in `compute_identifier`. `compute_identifiers`, for blocks of values, only
*recognises* what is plainly valid, several times faster, and leaves all else to the first.
"""

import contextlib
import json
import re
from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import cast

from td_pinterest_op.identifiers.identifier_types import (
    HASHES_OF_NOTHING,
    PLACEHOLDERS,
    TRIMMED_CHARACTERS,
    IdentifierType,
)
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import IdentifierColumn

DIGEST_BYTES = 32
PREHASHED_DIGEST_PREFIX = "="
"""Precedes the digest of a value that was hashed already, in the warehouse's answers."""
_ENCODED_PREHASHED_PREFIX = PREHASHED_DIGEST_PREFIX.encode()
_ENCODED_PLACEHOLDERS = frozenset(map(str.encode, PLACEHOLDERS))
_SHA256_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_MD5_OR_SHA1_HEX = re.compile(rb"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}")


@dataclass(frozen=True, kw_only=True)
class ColumnIdentifiers:
    """The identifiers in one column of a block of rows."""

    column: IdentifierColumn
    identifiers: list[bytes]  # one for each value, in order; b"" for a rejected value
    rejected: list[tuple[int, Reason]]  # the row (from 0) and the reason, in order
    hashed_count: int  # how many values were digests already
    rows: Sequence[int] | None = None  # the row of each identifier; None if each row has exactly one value

    @property
    def valid_count(self) -> int:
        """The number of valid values, repeats included."""
        return len(self.identifiers) - len(self.rejected)

    @property
    def digests_for_matching(self) -> list[bytes]:
        """The digest of each valid value: see `compute_digest_for_matching`."""
        valid = list(filter(None, self.identifiers)) if self.rejected else self.identifiers
        if self.column.type.is_hashed:
            return valid
        return [compute_digest_for_matching(self.column.type, identifier) for identifier in valid]

    def group_by_row(self, row_count: int) -> list[list[bytes]]:
        """Return the identifiers of each of the block's rows, without repeats."""
        by_row: list[list[bytes]] = [[] for _ in range(row_count)]
        rows = range(row_count) if self.rows is None else self.rows
        for row, identifier in zip(rows, self.identifiers, strict=True):
            if identifier:
                by_row[row].append(identifier)
        return [list(dict.fromkeys(identifiers)) for identifiers in by_row]


def compute_identifier(type_: IdentifierType, value: object, *, default_country: str | None = None) -> bytes | Reason:
    """Return a value as it is sent (a digest of 32 bytes, or an external id in UTF-8), or the reason for its rejection.

    A value is trimmed, then read as a hash, and only then checked by the rules of its type: the first rule that it
    breaks is the reason. `default_country`: see `normalise_phone`. Raises WorkflowError as that does.
    """
    if value is None:
        return Reason.NULL
    if not isinstance(value, bytes):
        return Reason.NOT_A_STRING
    try:
        text = value.decode().strip(TRIMMED_CHARACTERS)
    except UnicodeDecodeError:
        return Reason.BAD_ENCODING
    if not text or text.lower() in PLACEHOLDERS:
        return Reason.PLACEHOLDER if text else Reason.EMPTY
    encoded = text.encode()
    if type_.is_hashed and _SHA256_HEX.fullmatch(encoded):
        digest = unhexlify(encoded)
        return Reason.HASH_OF_NOTHING if digest in HASHES_OF_NOTHING else digest
    if type_.is_hashed and _MD5_OR_SHA1_HEX.fullmatch(encoded):
        return Reason.UNSUPPORTED_HASH
    normal = type_.normalise(text, default_country)
    if isinstance(normal, Reason):
        return normal
    return sha256(normal.encode()).digest() if type_.is_hashed else normal.encode()


def compute_identifiers(column: IdentifierColumn, values: Sequence[object]) -> ColumnIdentifiers:
    """Return the identifiers of a column's values. Raises as `compute_identifier`.

    `values`: as msgpack returns them with raw=True, so that text is bytes. A few thousand at once are best.
    """
    identifiers, hashed_count = _validate_and_count_hashed(column.type, values)
    rejected = []
    row = -1
    # Few are not recognised: index() finds them several times faster than a loop.
    for _ in range(identifiers.count(b"")):
        row = identifiers.index(b"", row + 1)
        answer = compute_identifier(column.type, values[row], default_country=column.default_country)
        if isinstance(answer, Reason):
            rejected.append((row, answer))
        else:
            identifiers[row] = answer
            # Only the text of a digest contains its own hex digits.
            hashed_count += column.type.is_hashed and answer.hex().encode() in cast("bytes", values[row]).lower()
    return ColumnIdentifiers(column=column, identifiers=identifiers, rejected=rejected, hashed_count=hashed_count)


def decode_warehouse_hashed_values(column: IdentifierColumn, values: Sequence[object]) -> ColumnIdentifiers:
    """Return the identifiers of a column whose values the warehouse has checked and hashed.

    `values`: each is a digest in hex (PREHASHED_DIGEST_PREFIX may precede it), a reason, or None for NULL. Raises
    ValueError for anything else.
    """
    texts = [value if isinstance(value, bytes) else b"" for value in values]
    digests = [unhexlify(text[-64:]) if len(text) >= 64 else b"" for text in texts]
    rejected = [
        (row, Reason.NULL if values[row] is None else Reason(texts[row].decode()))
        for row, digest in enumerate(digests)
        if not digest
    ]
    hashed_count = sum(text.startswith(_ENCODED_PREHASHED_PREFIX) for text in texts)
    return ColumnIdentifiers(column=column, identifiers=digests, rejected=rejected, hashed_count=hashed_count)


def _validate_and_count_hashed(type_: IdentifierType, values: Sequence[object]) -> tuple[list[bytes], int]:
    """Return the identifier of each plainly valid value, else b"", and how many were hashed already."""
    texts = cast("list[bytes]", values)
    try:
        lines = b"\n".join(texts)
    except TypeError:  # nulls, numbers, lists
        texts = [text if isinstance(text, bytes) else b"" for text in texts]
        lines = b"\n".join(texts)
    lines += b"\n"
    # If most values seem to be digests in hex, only those are recognised: 65 bytes a line, against 37 for a device id
    # and fewer for most addresses. A wrong guess only costs time.
    if type_.is_hashed and len(lines) > 45 * len(texts):
        try:
            # What is 64 bytes long nearly always is a digest: trying costs a quarter of looking first.
            digests = [unhexlify(text) if len(text) == 64 else b"" for text in texts]
        except ValueError:
            digests = [unhexlify(text) if _SHA256_HEX.fullmatch(text) else b"" for text in texts]
        digests = _blank_hashes_of_nothing(digests)
        return digests, len(digests) - digests.count(b"")
    plain = type_.recognise(lines)
    if len(plain) != len(texts):  # a newline inside a value makes a line too many
        return [b""] * len(texts), 0
    if not type_.is_hashed:
        return [b"" if value.lower() in _ENCODED_PLACEHOLDERS else value for value in plain], 0
    return _blank_hashes_of_nothing([sha256(value).digest() if value else b"" for value in plain]), 0


def _blank_hashes_of_nothing(digests: list[bytes]) -> list[bytes]:
    if HASHES_OF_NOTHING.isdisjoint(digests):
        return digests
    return [b"" if digest in HASHES_OF_NOTHING else digest for digest in digests]


def compute_digest_for_matching(type_: IdentifierType, identifier: bytes) -> bytes:
    """Return the digest to compare an identifier with lists and other rows. An external id is hashed for this."""
    return identifier if type_.is_hashed else sha256(b"%s:%s" % (type_.name.encode(), identifier)).digest()


def extract_column_identifiers(
    column: IdentifierColumn, values_by_column: Sequence[Sequence[object]]
) -> ColumnIdentifiers:
    """Return a column's identifiers in a block of rows, elements of arrays included. Raises as `compute_identifier`."""
    compute = decode_warehouse_hashed_values if column.is_hashed_by_warehouse else compute_identifiers
    values = values_by_column[column.position]
    if not column.is_array:
        return compute(column, values)
    rows: list[int] = []
    elements: list[object] = []
    for row, array in enumerate(values):
        # A row without elements gets one null.
        present = [element for element in _parse_array_elements(array) if element is not None] or [None]
        elements += present
        rows += [row] * len(present)
    found = compute(column, elements)
    return replace(found, rows=rows, rejected=[(rows[position], reason) for position, reason in found.rejected])


def _parse_array_elements(value: object) -> Sequence[object]:
    if isinstance(value, (tuple, list)):
        return value
    if isinstance(value, bytes) and value.lstrip().startswith(b"["):
        with contextlib.suppress(ValueError, RecursionError):  # some engines return arrays as JSON
            elements = json.loads(value)
            # A lone surrogate becomes bytes that are not valid: only its element is rejected.
            return [each.encode(errors="surrogatepass") if isinstance(each, str) else each for each in elements]
    return [value]
