"""The values of a block's columns: one in a row, or, in an array, several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from td_pinterest_op.identifiers.rules import Reason
from td_pinterest_op.identifiers.types import IdentifierType
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import key_block


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnKeys:
    """What becomes of the values of a column.

    `keys`: what to send of each value, or b"". `rows`: for each of them its row in the block, None where each row has
    one. `rejected`: rows of the others, and why. `hashed`: how many values were hashed already.
    """

    column: Column
    keys: list[bytes]
    rows: Sequence[int] | None
    rejected: list[tuple[int, Reason]]
    hashed: int

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
    def plain(self) -> int:
        """How many valid values of a type that is hashed were not hashed yet."""
        return self.valid - self.hashed if self.column.type.is_hashed else 0

    def by_row(self, count: int) -> list[list[bytes]]:
        """The keys of each of `count` rows, each once."""
        if self.rows is None:
            return [[key] if key else [] for key in self.keys]
        by_row: list[list[bytes]] = [[] for _ in range(count)]
        for row, key in zip(self.rows, self.keys, strict=True):
            if key and key not in by_row[row]:
                by_row[row].append(key)
        return by_row


def identifier_of(type_: IdentifierType, key: bytes) -> bytes:
    """What a key is compared by with those of others: its digest, also of one that is not sent as a digest."""
    return key if type_.is_hashed else sha256(b"%s:%s" % (type_.name.encode(), key)).digest()


def column_keys(column: Column, block: Sequence[Sequence[object]], *, default_country: str | None = None) -> ColumnKeys:
    """The keys of a column of a block. Raises WorkflowError (see `phones`)."""
    values, rows = block[column.position], None
    if column.is_array:
        values, rows = _elements(values)
    given = key_block(column.type, values, default_country=default_country)
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
