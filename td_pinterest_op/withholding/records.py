"""Records without those of people who are withheld."""

from __future__ import annotations

import marshal
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, groupby
from typing import Generic, TypeVar

from td_pinterest_op.records.read import Outcome
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.rows import EncodedRows, Shape, by_shape
from td_pinterest_op.records.spool import DIGEST_BYTES, Sorted, SortedFile, Spool
from td_pinterest_op.records.spool_file import SpoolFile
from td_pinterest_op.records.values import ColumnKeys
from td_pinterest_op.settings.control import Control
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD
from td_pinterest_op.withholding.control import in_control, key_of
from td_pinterest_op.withholding.people import LonePeople, People

_People = TypeVar("_People", bound=People | LonePeople)
_NUMBER_BYTES = 4
_NOBODY: tuple[int, dict[bytes, str]] = (1 << 8 * _NUMBER_BYTES, {})
# A code of `People`, and one for people whose rows are sent without some identifiers, and were dealt with.
_CODES = range(1 + len(WITHHELD))
_IS_DONE = len(_CODES)
# For each code: what makes 1 of it, and 0 of all others.
_WHERE = [bytes(code == other for other in range(256)) for code in _CODES]

_Records = list[tuple[int, bytes]]
"""Rows, each behind the number of its shape."""


class _Withholding(Generic[_People]):
    """What both forms of records have in common.

    `by`: the position of the column by which the control group is chosen, None for the digest.
    """

    def __init__(self, people: _People, control: Control | None, by: int | None) -> None:
        self._people, self._control, self._by = people, control, by
        self._files: list[People | LonePeople | Sorted | RowSpool | SpoolFile] = [people]

    def close(self) -> None:
        """Frees memory and files. May be called again."""
        for file in self._files:
            file.close()

    def _add(self, block: Sequence[Sequence[object]], by_column: Sequence[ColumnKeys]) -> None:
        self._people.add(by_column, self._in_control(block, by_column))

    def _in_control(self, block: Sequence[Sequence[object]], by_column: Sequence[ColumnKeys]) -> Sequence[bool]:
        if self._control is None:
            return [False] * len(block[0])
        digests = (digest.hex().encode() for digest in by_column[0].keys)
        return in_control(self._control, digests if self._by is None else map(key_of, block[self._by]))


class WithheldIdentifiers(_Withholding[People | LonePeople]):
    """Takes identifiers with their people, and gives back those that may be sent."""

    def take(self, block: Sequence[Sequence[object]], by_column: Sequence[ColumnKeys]) -> None:
        """Takes a block. Raises OSError."""
        self._add(block, by_column)

    def finish(self) -> Outcome[Sorted]:
        """What may be sent. Raises OSError."""
        kept = SortedFile()
        self._files.append(kept)
        withheld: Counter[str] = Counter()
        for digests, of_part in self._people.identifiers():
            kept.append(b"".join(digests))
            withheld.update(of_part)
        return Outcome(spool=kept, withheld=withheld)


@dataclass(frozen=True, slots=True)
class _Block:
    """The valid rows of a block that holds `people`: `places` says whose each row is, `shapes` what it is made of."""

    people: int
    places: list[int]
    shapes: list[int]
    rows: list[bytes]

    @classmethod
    def of(cls, rows: EncodedRows, people: int) -> _Block:
        places, shapes = compress(rows.positions, rows.shapes), filter(None, rows.shapes)
        return cls(people, [*places], [*shapes], [*compress(rows.rows, rows.shapes)])

    @property
    def is_secret(self) -> bool:
        """Whether there is more in it than digests."""
        return any(Shape(number).external_id_bytes for number in {*self.shapes})

    def to_bytes(self) -> bytes:
        return marshal.dumps((self.people, self.places, self.shapes, self.rows))

    def by_shape(self, chosen: bytearray) -> dict[Shape, Sequence[bytes]]:
        """The rows of people for whom `chosen` is not 0."""
        is_chosen = bytes(map(chosen.__getitem__, self.places))
        return by_shape([*compress(self.rows, is_chosen)], [*compress(self.shapes, is_chosen)])

    def records(self, places: Container[int]) -> dict[int, _Records]:
        """The rows of these people."""
        records: dict[int, _Records] = {}
        for place, number, row in zip(self.places, self.shapes, self.rows, strict=True):
            if place in places:
                records.setdefault(place, []).append((number, row))
        return records


class WithheldRows(_Withholding[People]):
    """Takes rows, and gives back those that may be sent, without the keys that may not."""

    def __init__(self, people: People, control: Control | None, by: int | None) -> None:
        super().__init__(people, control, by)
        self._stores = {is_secret: SpoolFile(encrypted=is_secret) for is_secret in (False, True)}
        self._ends = dict.fromkeys(self._stores, 0)
        self._parts: list[tuple[bool, int, int]] = []  # which store, offset and length
        self._kept = RowSpool()
        self._withheld = {reason: RowSpool() for reason in WITHHELD}
        self._files += [*self._stores.values(), self._kept, *self._withheld.values()]

    def take(self, block: Sequence[Sequence[object]], by_column: Sequence[ColumnKeys], rows: EncodedRows) -> None:
        """Takes a block. Raises OSError."""
        self._add(block, by_column)
        taken = _Block.of(rows, len(block[0]))
        data, store = taken.to_bytes(), taken.is_secret
        self._stores[store].write(self._ends[store], data)
        self._parts.append((store, self._ends[store], len(data)))
        self._ends[store] += len(data)

    def finish(self) -> Outcome[RowSpool]:
        """What may be sent. Raises OSError."""
        self._people.compare()
        for block, codes, losses in self._judged():
            for place, records in block.records(losses).items() if losses else ():
                codes[place], left = _without(records, losses[place])
                self._kept.add(by_shape([row for _, row in left], [number for number, _ in left]))
            self._kept.add(block.by_shape(codes.translate(_WHERE[0])))
            for code, spool in enumerate(self._withheld.values(), 1):
                if code in codes:
                    spool.add(block.by_shape(codes.translate(_WHERE[code])))
        withheld: dict[str, int] = {}
        for reason, spool in self._withheld.items():
            spool.finish()
            withheld[reason] = spool.unique
            spool.close()
        # They are large, and it takes long to send the rest.
        self._people.close()
        for store in self._stores.values():
            store.close()
        self._kept.finish()
        return Outcome(spool=self._kept, withheld=withheld)

    def _judged(self) -> Iterator[tuple[_Block, bytearray, dict[int, dict[bytes, str]]]]:
        """All blocks, each with the codes of its people (see `People`), and what those lose who are sent."""
        losers = self._losers()
        person, losses = next(losers, _NOBODY)
        first = 0
        for store, offset, length in self._parts:
            # Of our own file, which has no name: nobody else can have written it.
            block = _Block(*marshal.loads(self._stores[store].read(offset, length)))  # noqa: S302
            end = first + block.people
            of_block = {}
            while person < end:
                of_block[person - first] = losses
                person, losses = next(losers, _NOBODY)
            yield block, self._people.codes(first, end), of_block
            first = end

    def _losers(self) -> Iterator[tuple[int, dict[bytes, str]]]:
        """In their order: people who are not withheld, and identifiers that they lose, each with the reason."""
        # The spool sorts by the first bytes, and has as many buckets as the first of them has values.
        shift = 8 * _NUMBER_BYTES - self._people.count.bit_length()
        losses = Spool(_NUMBER_BYTES + 1 + DIGEST_BYTES)
        self._files.append(losses)
        for person, why, digest in self._people.taken_away():
            losses.add([(person << shift).to_bytes(_NUMBER_BYTES, "big") + bytes((WITHHELD.index(why),)) + digest])
        losses.finish()
        entries = chain.from_iterable(losses.buckets())
        for person, of_one in groupby(entries, key=lambda entry: entry[:_NUMBER_BYTES]):
            yield (
                int.from_bytes(person, "big") >> shift,
                {entry[_NUMBER_BYTES + 1 :]: WITHHELD[entry[_NUMBER_BYTES]] for entry in of_one},
            )


def _without(records: _Records, losses: Mapping[bytes, str]) -> tuple[int, _Records]:
    """The records of a person without these identifiers, and a code: why nothing is left, or that some are.

    They are each combination of the other identifiers once, and the first one counts.
    """
    left = {record for number, row in records if (record := Shape(number).without(row, losses))}
    if not left:
        return 1 + WITHHELD.index(SUPPRESSED if SUPPRESSED in losses.values() else CONTROL), []
    whole = {(number, row): {*Shape(number).identifiers(row)} for number, row in left}
    largest = sorted(record for record in left if not any(whole[record] < other for other in whole.values()))
    return _IS_DONE, [*largest[:1], *((Shape(number).uncounted, row) for number, row in largest[1:])]
