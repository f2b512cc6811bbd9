"""Records without those of people who are withheld."""

from __future__ import annotations

import hashlib
import marshal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter

from td_pinterest_op.records.read import Outcome
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.rows import EncodedRows, Shape
from td_pinterest_op.records.spool import DIGEST_BYTES, Sorted, SortedFile, Spool
from td_pinterest_op.records.spool_file import SpoolFile
from td_pinterest_op.records.values import ColumnKeys
from td_pinterest_op.settings.control import Control
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD
from td_pinterest_op.withholding.control import in_control, key_of
from td_pinterest_op.withholding.people import Lists, People

_NUMBER_BYTES = 4
_NOBODY: tuple[int, dict[bytes, str]] = (0, {})


class _Withholding:
    """What both forms of records have in common. A context manager.

    `by`: the position of the column by which the control group is chosen, None for the digest.
    """

    def __init__(self, *, lists: Lists, control: Control | None, by: int | None) -> None:
        self._people = People(lists)
        self._control, self._by = control, by
        self._spools: list[Sorted | RowSpool | SpoolFile] = []

    def close(self) -> None:
        """Frees memory and files. May be called again."""
        self._people.close()
        for spool in self._spools:
            spool.close()

    def _in_control(self, block: Sequence[Sequence[object]], digests: Iterable[bytes]) -> list[bool] | None:
        """For each row of a block whether it is in the control group; `digests` are the rows'."""
        if self._control is None:
            return None
        keys = (digest.hex().encode() for digest in digests) if self._by is None else map(key_of, block[self._by])
        return in_control(self._control, keys)


class WithheldIdentifiers(_Withholding):
    """Takes identifiers with their people, and gives back those that may be sent."""

    def take(self, block: Sequence[Sequence[object]], by_column: Sequence[ColumnKeys]) -> None:
        """Takes a block. Raises OSError."""
        if len(by_column) == 1 and by_column[0].rows is None:
            self._take_lone(block, by_column[0])
            return
        by_row = [column.by_row(len(block[0])) for column in by_column]
        people = [[*chain.from_iterable(of_row)] for of_row in zip(*by_row, strict=True)]
        # Without a column for the key there is one column of identifiers: a digest is that of an element.
        self._people.add(people, self._in_control(block, ()))

    def _take_lone(self, block: Sequence[Sequence[object]], column: ColumnKeys) -> None:
        controlled = self._in_control(block, column.keys)
        digests = column.keys
        if column.rejected:
            digests = [key for key in column.keys if key]
            if controlled is not None:
                controlled = [flag for flag, key in zip(controlled, column.keys, strict=True) if key]
        self._people.add_lone(digests, controlled)

    def finish(self) -> Outcome[Sorted]:
        """What may be sent. Raises OSError."""
        self._people.compare()
        kept = SortedFile()
        self._spools.append(kept)
        withheld: Counter[str] = Counter()
        for digests, of_part in self._people.identifiers():
            kept.append(b"".join(digests))
            withheld.update(of_part)
        return Outcome(spool=kept, withheld=withheld)


class WithheldRows(_Withholding):
    """Takes rows, and gives back those that may be sent, without the keys that may not."""

    def __init__(self, *, lists: Lists, control: Control | None, by: int | None) -> None:
        super().__init__(lists=lists, control=control, by=by)
        self._store = SpoolFile(encrypted=True)
        self._spools.append(self._store)
        self._parts: list[tuple[int, int]] = []  # of the store: offset and length
        self._count = 0

    def take(self, block: Sequence[Sequence[object]], rows: EncodedRows) -> None:
        """Takes a block. Raises OSError."""
        encoded = zip(rows.positions, rows.shapes, rows.rows, strict=True)
        people = [
            (position, [(number, row) for _, number, row in of_one])
            for position, of_one in groupby((each for each in encoded if each[1]), key=itemgetter(0))
        ]
        controlled = self._in_control(block, (row[:DIGEST_BYTES] for row in rows.rows))
        self._people.add(
            [_identifiers(records) for _, records in people],
            controlled and [controlled[position] for position, _ in people],
        )
        self._keep([records for _, records in people])

    def _keep(self, people: list[list[tuple[int, bytes]]]) -> None:
        data = marshal.dumps(people)
        offset = sum(self._parts[-1]) if self._parts else 0
        self._store.write(offset, data)
        self._parts.append((offset, len(data)))
        self._count += len(people)

    def finish(self) -> Outcome[RowSpool]:
        """What may be sent. Raises OSError."""
        self._people.compare()
        kept, withheld = RowSpool(), Spool(DIGEST_BYTES + 1)
        self._spools += [kept, withheld]
        lost = self._lost()
        number, (loser, losses) = 0, next(lost, _NOBODY)
        for offset, length in self._parts:
            to_send: dict[Shape, list[bytes]] = {}
            reasons = []
            # Of our own file, whose bytes nobody else can have written: the key is in this process.
            for records in marshal.loads(self._store.read(offset, length)):  # noqa: S302
                number += 1
                reason = self._people.reason_of(number)
                left = records
                if number == loser:
                    left = _without(records, losses)
                    reason = None if left else SUPPRESSED if SUPPRESSED in losses.values() else CONTROL
                    loser, losses = next(lost, _NOBODY)
                if reason:
                    reasons.append(_fingerprint(records) + bytes((WITHHELD.index(reason),)))
                else:
                    for shape, row in left:
                        to_send.setdefault(Shape(shape), []).append(row)
            withheld.add(reasons)
            kept.add(to_send)
        kept.finish()
        withheld.finish()
        counts = Counter(WITHHELD[entry[-1]] for entries in withheld.buckets() for entry in entries)
        return Outcome(spool=kept, withheld=counts)

    def _lost(self) -> Iterator[tuple[int, dict[bytes, str]]]:
        """In the order of people who are not withheld: who loses identifiers, and which, each with the reason."""
        # The spool sorts by the first bytes, and has as many buckets as the first of them has values.
        shift = 8 * _NUMBER_BYTES - self._count.bit_length()
        losses = Spool(_NUMBER_BYTES + 1 + DIGEST_BYTES)
        self._spools.append(losses)
        for person, why, digest in self._people.taken_away():
            losses.add([(person << shift).to_bytes(_NUMBER_BYTES, "big") + bytes((WITHHELD.index(why),)) + digest])
        losses.finish()
        entries = chain.from_iterable(losses.buckets())
        for person, of_one in groupby(entries, key=lambda entry: entry[:_NUMBER_BYTES]):
            yield (
                int.from_bytes(person, "big") >> shift,
                {entry[_NUMBER_BYTES + 1 :]: WITHHELD[entry[_NUMBER_BYTES]] for entry in of_one},
            )


def _identifiers(records: Sequence[tuple[int, bytes]]) -> list[bytes]:
    if len(records) == 1:
        ((number, row),) = records
        return Shape(number).identifiers(row)
    return [*dict.fromkeys(digest for number, row in records for digest in Shape(number).identifiers(row))]


def _fingerprint(records: Sequence[tuple[int, bytes]]) -> bytes:
    return hashlib.sha256(b"".join(b"%d %s" % record for record in sorted(records))).digest()


def _without(records: Sequence[tuple[int, bytes]], lost: dict[bytes, str]) -> list[tuple[int, bytes]]:
    """The records of a row without these identifiers: each combination of the others once, the first one counts."""
    left = {record for number, row in records if (record := Shape(number).without(row, lost))}
    whole = {record: {*_identifiers([record])} for record in left}
    largest = sorted(record for record in left if not any(whole[record] < other for other in whole.values()))
    return [*largest[:1], *((Shape(number).uncounted, row) for number, row in largest[1:])]
