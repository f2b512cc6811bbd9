"""Rows with several keys: a row of the query → one record with all its keys, as `records_v2` sends it.

A row in memory and in the spool is one string of bytes, so that it sorts, compares and is dropped as a repeat like a
digest: a byte that tells which keys it has, their digests in the order of `RowKey`, then the external id as UTF-8.
"""

from __future__ import annotations

import enum
import json
from binascii import hexlify
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from td_pinterest_op.errors import JobError
from td_pinterest_op.records.columns import known_columns
from td_pinterest_op.records.identifiers import (
    SEPARATOR,
    IdentifierType,
    Reason,
    digests_by_position,
    text_or_reason,
)
from td_pinterest_op.records.phones import phone_digest_or_reason
from td_pinterest_op.records.spool import DIGEST_BYTES
from td_pinterest_op.treasure_data.job import Job

# Our own limit: export.md names it, Pinterest does not.
MAX_EXTERNAL_ID_CHARACTERS = 256


class RowKey(str, enum.Enum):
    """The keys of a record, named as `records_v2` names them (CustomerListRecordRow of the API description)."""

    EMAIL = "email"
    MAID = "maid"
    PHONE = "hashed_phone_number"
    EXTERNAL_ID = "external_id"


_HASHED_KEYS = (RowKey.EMAIL, RowKey.MAID, RowKey.PHONE)
_HAS_EXTERNAL_ID = 1 << len(_HASHED_KEYS)

# The name of a column → the key that it holds.
_KEY_OF_COLUMN = {
    "email": RowKey.EMAIL,
    "maid": RowKey.MAID,
    "idfa": RowKey.MAID,
    "phone": RowKey.PHONE,
    "external_id": RowKey.EXTERNAL_ID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumn:
    """A column of the result that holds a key; `type` is email, maid, idfa, phone or external_id."""

    name: str
    type: str
    position: int

    @property
    def key(self) -> RowKey:
        """The key of a record that the column fills."""
        return _KEY_OF_COLUMN[self.type]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBlock:
    """The rows of one block, judged.

    `rows`: one string of bytes for each valid row, repeats included. `rejected`: position (from 0) and reason of
    each row without a valid key. `rejected_keys`: the reasons of keys that were left out of valid rows.
    """

    rows: list[bytes]
    rejected: list[tuple[int, Reason]]
    rejected_keys: Counter[Reason]


def row_columns(job: Job, columns: Mapping[str, str]) -> Sequence[RowColumn]:
    """The columns of a result that hold keys; `columns` maps lower-case names to the types of `RowColumn`.

    Raises JobError, which names every problem: a column that is no key or is missing, a type that is not text, and two
    columns for one key, since a record has each key once.
    """
    types = {name: name for name in _KEY_OF_COLUMN} | dict(columns)
    found = [
        RowColumn(name=name, type=type_, position=position)
        for name, type_, position in known_columns(job, types, mapped=columns)
    ]
    of_key: dict[RowKey, list[str]] = {}
    for column in found:
        of_key.setdefault(column.key, []).append(column.name)
    twice = [f"{' and '.join(names)} both hold {key.value}" for key, names in of_key.items() if len(names) > 1]
    if twice:
        raise JobError(
            f"the result of job {job.id} cannot be exported with records: rows, where a record has each key once: "
            f"{'; '.join(twice)}"
        )
    return found


def encode_block(
    columns: Sequence[RowColumn], block: Sequence[Sequence[object]], *, default_country: str | None
) -> RowBlock:
    """The rows of a block, a list of values for each column of the result. Raises WorkflowError (see `phones`)."""
    found: dict[RowKey, list[bytes]] = {}
    reasons: dict[int, list[Reason]] = {}
    for column in columns:
        found[column.key], rejected = _keys(column.type, block[column.position], default_country)
        for position, reason in rejected:
            reasons.setdefault(position, []).append(reason)
    count = len(block[columns[0].position])
    nothing = [b""] * count
    rows = [_encode(*keys) for keys in zip(*(found.get(key, nothing) for key in RowKey), strict=True)]
    return RowBlock(
        rows=[row for row in rows if row != _NO_KEY],
        rejected=[
            (position, _to_count(reasons[position])) for position in sorted(reasons) if rows[position] == _NO_KEY
        ],
        rejected_keys=Counter(
            reason
            for position, of_row in reasons.items()
            if rows[position] != _NO_KEY
            for reason in of_row
            if reason is not Reason.NULL
        ),
    )


def _keys(
    type_: str, values: Sequence[object], default_country: str | None
) -> tuple[list[bytes], list[tuple[int, Reason]]]:
    """For each value its digest or its external id, or b"" with a reason."""
    if type_ in IdentifierType._value2member_map_:
        return digests_by_position(IdentifierType(type_), values)
    one: Callable[[object], bytes | Reason] = (
        partial(phone_digest_or_reason, default_country=default_country) if type_ == "phone" else _external_id_or_reason
    )
    keys, rejected = [], []
    for position, answer in enumerate(map(one, values)):
        keys.append(b"" if isinstance(answer, Reason) else answer)
        if isinstance(answer, Reason):
            rejected.append((position, answer))
    return keys, rejected


def _external_id_or_reason(value: object) -> bytes | Reason:
    text = text_or_reason(value)
    if isinstance(text, Reason):
        return text
    if len(text) > MAX_EXTERNAL_ID_CHARACTERS:
        return Reason.TOO_LONG
    return Reason.CONTAINS_SEPARATOR if SEPARATOR.search(text) else text.encode()


def _to_count(reasons: Sequence[Reason]) -> Reason:
    """The reason to count for a row: a null says only that the row has no such key."""
    return next((reason for reason in reasons if reason is not Reason.NULL), Reason.NULL)


_NO_KEY = b"\0"
_PRESENT = tuple(bytes([present]) for present in range(2 * _HAS_EXTERNAL_ID))


def _encode(email: bytes, maid: bytes, phone: bytes, external_id: bytes) -> bytes:
    present = (email != b"") | (maid != b"") << 1 | (phone != b"") << 2 | (external_id != b"") << 3
    return b"".join((_PRESENT[present], email, maid, phone, external_id))


def _decoded(row: bytes) -> Iterator[tuple[RowKey, bytes]]:
    present, start = row[0], 1
    for bit, key in enumerate(_HASHED_KEYS):
        if present >> bit & 1:
            yield key, row[start : start + DIGEST_BYTES]
            start += DIGEST_BYTES
    if present & _HAS_EXTERNAL_ID:
        yield RowKey.EXTERNAL_ID, row[start:]


def count_keys(row: bytes) -> int:
    """How many keys a row has."""
    return row[0].bit_count()


def digests(row: bytes) -> list[bytes]:
    """The digests of a row, for a server that takes identifiers only; an external id has none."""
    return [value for key, value in _decoded(row) if key is not RowKey.EXTERNAL_ID]


def to_json(row: bytes) -> bytes:
    """The row as an object of `records_v2`."""
    # Put together by hand: digests need no escapes, and a JSON encoder takes twice as long.
    return b"{%s}" % b",".join(
        b'"%s":%s'
        % (
            key.value.encode(),
            json.dumps(value.decode()).encode() if key is RowKey.EXTERNAL_ID else b'"%s"' % hexlify(value),
        )
        for key, value in _decoded(row)
    )
