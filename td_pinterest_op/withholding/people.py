"""The identifiers of people, compared with the lists: who is withheld, and why.

Identifiers are in buckets by their first byte, as those of the lists are: one bucket of each is compared at a time.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, compress
from operator import ne

from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys
from td_pinterest_op.records.spool import BUCKETS, Buckets, Spool, regroup, sort_digests, split_fixed
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, WITHOUT_CONSENT

_NUMBER_BYTES = 4
_SHARES = 10_000
# Of a bucket, as objects.
_ENTRIES_AT_ONCE = 1 << 13
# What is known of a person.
_IS_SUPPRESSED, _CONSENTS, _IS_CONTROL = 1, 2, 4
# Of somebody who is not sent anyway: if that person is suppressed, others lose the identifiers that they share.
_ONLY_SHIELDS = 8
_IS_VALID = 0
_EVERY_BYTE = range(256)
_IN_CONTROL = bytes((0, _IS_CONTROL)) + bytes(254)  # what makes it of a truth value
# For each fact what makes 1 of a byte that has it, and 0 of all others. Whoever only shields gives no consent.
_HAS_FLAG = {
    fact: bytes(known & (fact | but) == fact for known in _EVERY_BYTE)
    for fact, but in {_IS_VALID: _ONLY_SHIELDS, _IS_SUPPRESSED: 0, _CONSENTS: _ONLY_SHIELDS, _IS_CONTROL: 0}.items()
}
_NOT = bytes(not code for code in _EVERY_BYTE)
# The code of people about whom nothing is left to do.
IS_DONE = 1 + len(WITHHELD)

Kept = tuple[list[bytes], Counter[str]]
"""Identifiers that may be sent, in ascending order, and how many may not, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The people of an opt-out and of a consent list, as digests; None where there is no such list.

    `columns`: the columns with identifiers of each list, by the name of its query.
    """

    suppressed: Spool | None = None
    consented: Spool | None = None
    columns: Mapping[str, Sequence[Column]] = field(default_factory=dict)

    def buckets(self) -> Iterator[tuple[frozenset[bytes], frozenset[bytes] | None]]:
        """Both lists' digests, those with a first byte in common together. Nobody consents to a list of none."""
        nobody = frozenset[bytes]()
        suppressed = map(frozenset, self.suppressed.buckets()) if self.suppressed else (nobody for _ in range(BUCKETS))
        consented = map(frozenset, self.consented.buckets()) if self.consented else (None for _ in range(BUCKETS))
        return zip(suppressed, consented, strict=True)


def assign_control(control: Control, keys: Iterable[bytes]) -> list[bool]:
    """For each key whether its person is in the group.

    The number of a person is the first eight hex digits of SHA-256 (salt, a line feed, the key). `control.sql` computes
    the same.
    """
    salted = sha256(control.salt.encode() + b"\n")
    share = control.of_ten_thousand
    is_in_group = []
    for key in keys:
        of_key = salted.copy()
        of_key.update(key)
        is_in_group.append(int.from_bytes(of_key.digest()[:_NUMBER_BYTES], "big") % _SHARES < share)
    return is_in_group


def encode_key(value: object) -> bytes:
    """The key in a column: text as it is, the digits of a whole number."""
    return value if isinstance(value, bytes) else str(value).encode()


class SingleIdentifierPeople:
    """People with one identifier each."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._everybody, self._controlled = Buckets(), Buckets()

    def close(self) -> None:
        """Frees memory and files. May be called again."""
        self._everybody.close()
        self._controlled.close()

    def add(self, by_column: Sequence[ColumnKeys], in_control: Sequence[bool]) -> None:
        """Takes a person for each row of a block, of one column. Raises OSError."""
        (column,) = by_column
        self._everybody.add(column.identifiers)
        self._controlled.add([key for key in compress(column.keys, in_control) if key])

    def shield(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        """Ignores people who are not sent: whoever has their only identifier is on the list as well."""

    def identifiers(self) -> Iterator[Kept]:
        """What may be sent, in 256 parts. Nobody can be added any more. Raises OSError."""
        self._everybody.finish()
        self._controlled.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.buckets()):
            controlled = _digests(self._controlled, bucket)
            yield _kept(_digests(self._everybody, bucket), suppressed, consented, controlled)


def _digests(buckets: Buckets, bucket: int) -> set[bytes]:
    return set(chain.from_iterable(map(split_fixed, buckets.segments(bucket))))


class People:
    """People with any number of identifiers. They are numbered from 0 on, row by row."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        # An identifier, and the number of somebody who has it. `_shared`: those that several people have.
        self._entries, self._shared = (Buckets(DIGEST_BYTES + _NUMBER_BYTES) for _ in range(2))
        self._known = bytearray()
        # What is known of a person → the person's code, see `codes`.
        self._codes = bytes(self._code(known) for known in _EVERY_BYTE)

    def _code(self, known: int) -> int:
        if known & _ONLY_SHIELDS:
            return IS_DONE
        if known & _IS_SUPPRESSED:
            return 1 + WITHHELD.index(SUPPRESSED)
        if self._lists.consented and not known & _CONSENTS:
            return 1 + WITHHELD.index(WITHOUT_CONSENT)
        return 1 + WITHHELD.index(CONTROL) if known & _IS_CONTROL else 0

    def close(self) -> None:
        """Frees memory and file. May be called again."""
        self._entries.close()
        self._shared.close()
        self._known = bytearray()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._known)

    def add(self, by_column: Sequence[ColumnKeys], in_control: Sequence[bool]) -> None:
        """Takes a person for each row of a block, with all identifiers in it. Raises OSError."""
        self._add(by_column, bytes(in_control).translate(_IN_CONTROL))

    def shield(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        """Takes `count` people who are not sent: if they are suppressed, nobody gets their identifiers."""
        self._add(by_column, bytes([_ONLY_SHIELDS]) * count)

    def _add(self, by_column: Sequence[ColumnKeys], known: bytes) -> None:
        first = len(self._known)
        self._known += known
        if self._lists.suppressed:
            # Whoever has an address that cannot be compared may be on the list by it.
            self._note(_IS_SUPPRESSED, (first + row for column in by_column for row in column.unsure))
        for column in by_column:
            numbers = range(first, len(self._known)) if column.rows is None else [first + row for row in column.rows]
            _add(self._entries, column.identifiers, compress(numbers, column.keys) if column.rejected else numbers)

    def compare(self) -> None:
        """Finds out who is on the lists. Nobody can be added any more. Raises OSError."""
        self._entries.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.buckets()):
            holders: dict[bytes, int] = {}  # the first one of each identifier
            for digests, numbers in _entries(self._entries, bucket):
                self._note(_IS_SUPPRESSED, compress(numbers, map(suppressed.__contains__, digests)))
                self._note(_CONSENTS, compress(numbers, map(consented.__contains__, digests)) if consented else ())
                has_another = map(ne, map(holders.setdefault, digests, numbers), numbers)
                again = [*compress(zip(digests, numbers, strict=True), has_another)]
                shared = again + [(digest, holders[digest]) for digest in {digest for digest, _ in again}]
                _add(self._shared, [digest for digest, _ in shared], [number for _, number in shared])
        self._shared.finish()

    def _note(self, what: int, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._known[number] |= what

    def codes(self, start: int, stop: int) -> bytearray:
        """For each of these people 0, why the person is withheld (a place in WITHHELD, counted from 1), or IS_DONE."""
        return self._known[start:stop].translate(self._codes)

    def identifiers(self) -> Iterator[Kept]:
        """What may be sent, where each identifier goes alone; in 256 parts. Raises OSError."""
        self.compare()
        for bucket in range(BUCKETS):
            everybody, suppressed, controlled, consented = self._held(
                self._entries, bucket, _IS_VALID, _IS_SUPPRESSED, _IS_CONTROL, _CONSENTS
            )
            yield _kept(everybody, suppressed, consented if self._lists.consented else None, controlled)

    def identifiers_to_strip(self) -> Iterator[tuple[int, str, bytes]]:
        """Identifiers that people lose although they are not withheld: who, why, and what. Raises OSError."""
        for bucket in range(BUCKETS):
            suppressed, controlled = self._held(self._shared, bucket, _IS_SUPPRESSED, _IS_CONTROL)
            taken = suppressed | controlled
            for digests, numbers in _entries(self._shared, bucket) if taken else ():
                is_sent = self._of_each(numbers).translate(self._codes).translate(_NOT)
                sent = [*compress(digests, is_sent)]
                losers = zip(sent, compress(numbers, is_sent), strict=True)
                for digest, number in compress(losers, map(taken.__contains__, sent)):
                    yield number, SUPPRESSED if digest in suppressed else CONTROL, digest

    def _held(self, entries: Buckets, bucket: int, *facts: int) -> list[set[bytes]]:
        """The identifiers of people of whom it is known; a set for each fact."""
        held: list[set[bytes]] = [set() for _ in facts]
        for digests, numbers in _entries(entries, bucket):
            of_each = self._of_each(numbers)
            for identifiers, fact in zip(held, facts, strict=True):
                identifiers.update(compress(digests, of_each.translate(_HAS_FLAG[fact])))
        return held

    def _of_each(self, numbers: Iterable[int]) -> bytes:
        return bytes(map(self._known.__getitem__, numbers))


def _add(entries: Buckets, digests: Iterable[bytes], numbers: Iterable[int]) -> None:
    ends = split_fixed(array("I", numbers).tobytes(), _NUMBER_BYTES)
    entries.add([digest + end for digest, end in zip(digests, ends, strict=True)])


def _entries(entries: Buckets, bucket: int) -> Iterator[tuple[list[bytes], list[int]]]:
    """Identifiers, and the number of a person for each; in parts."""
    step = entries.width // _NUMBER_BYTES
    for piece in regroup(entries.segments(bucket), _ENTRIES_AT_ONCE * entries.width):
        numbers = memoryview(piece).cast("I")[step - 1 :: step].tolist()
        yield [*split_fixed(piece, DIGEST_BYTES, _NUMBER_BYTES)], numbers


def _kept(
    identifiers: set[bytes],
    suppressed: frozenset[bytes] | set[bytes],
    consented: frozenset[bytes] | set[bytes] | None,
    controlled: set[bytes],
) -> Kept:
    """Without those that are held by somebody who opted out, by nobody who consents, by somebody in control."""
    opted_out = identifiers & suppressed
    left = identifiers - opted_out
    unasked = set() if consented is None else left - consented
    left -= unasked
    chosen = left & controlled
    withheld = Counter({SUPPRESSED: len(opted_out), WITHOUT_CONSENT: len(unasked), CONTROL: len(chosen)})
    return sort_digests([*(left - chosen)]), withheld
