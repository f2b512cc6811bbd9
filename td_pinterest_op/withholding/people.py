"""Compare the identifiers of people with the lists: who is withheld, and why.

The digests of people and of lists are in buckets by their first byte, and are compared bucket by bucket.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, compress, repeat
from operator import and_

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys
from td_pinterest_op.records.hashed_query import NUMBERS
from td_pinterest_op.records.spool import BUCKETS, Buckets, Spool, sort_digests, split_fixed
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import CONSENT, CONTROL, SUPPRESS, SUPPRESSED, WITHHELD, WITHOUT_CONSENT

_NUMBER_BYTES = 4
_PAIRS_AT_ONCE = 1 << 13  # of a bucket, as objects

Sendable = tuple[list[bytes], Counter[str]]
"""Digests that may be sent, in ascending order, and the number of digests that are withheld, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The digests of a task's opt-out list (SUPPRESS) and consent list (CONSENT), and their identifier columns."""

    spools: Mapping[str, Spool] = field(default_factory=dict)
    columns: Mapping[str, Sequence[Column]] = field(default_factory=dict)

    def read_buckets(self) -> Iterator[tuple[frozenset[bytes], frozenset[bytes] | None]]:
        """Yield 256 pairs of sets of digests, by first byte: opt-outs, and consents (None without a consent list)."""
        sets = {name: map(frozenset, spool.read_buckets()) for name, spool in self.spools.items()}
        nobody = repeat(frozenset[bytes](), BUCKETS)
        return zip(sets.get(SUPPRESS, nobody), sets.get(CONSENT, repeat(None, BUCKETS)), strict=True)


def assign_control(control: Control, keys: Iterable[object]) -> list[bool]:
    """Return for each person's key (bytes, text or a whole number) whether the person is in the control group.

    The first eight hex digits of SHA-256 (salt, a line feed, the key) decide, as in `build_control_number_sql`.
    """
    prefix, share = control.salt.encode() + b"\n", control.share_of_ten_thousand
    encoded = [key if isinstance(key, bytes) else str(key).encode() for key in keys]
    return [int.from_bytes(sha256(prefix + key).digest()[:_NUMBER_BYTES], "big") % NUMBERS < share for key in encoded]


class SingleIdentifierPeople:
    """Collects people with one identifier each. Withholds people by opt-out list, consent list and control group."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._everybody, self._controlled = Buckets(), Buckets()

    def close(self) -> None:
        """Free memory and delete temporary files. May be called again."""
        self._everybody.close()
        self._controlled.close()

    def add(self, column_keys: Sequence[ColumnKeys], in_control: Sequence[bool], *, may_be_sent: bool = True) -> None:
        """Add a person for each row of a block. `in_control`: for each row, whether it is in the control group."""
        (column,) = column_keys
        # With one identifier a person, the opt-out list itself withholds the identifier of an unsent person.
        if may_be_sent:
            self._everybody.add(column.comparable_digests)
            self._controlled.add([key for key in compress(column.keys, in_control) if key])

    def find_sendable(self) -> Iterator[Sendable]:
        """Yield 256 pairs, by first byte: digests to send, and counts of withheld digests by reason. Raises OSError."""
        collected = (self._everybody, self._controlled)
        for buckets in collected:
            buckets.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.read_buckets()):
            everybody, controlled = (
                set(chain.from_iterable(map(split_fixed, buckets.read_segments(bucket)))) for buckets in collected
            )
            yield _select_sendable(everybody, suppressed, consented, controlled)


# Flags of a person, as bits of a byte. UNSENT: the row is not sent anyway, but if the person is suppressed, other
# rows are sent without the person's identifiers.
_CONTROL, _SUPPRESSED, _CONSENTS, _UNSENT = 1, 2, 4, 8
# What happens to a person: 0 is sent, 1 + n is withheld for reason n of WITHHELD. DONE: rejected, or stored already.
DONE = 1 + len(WITHHELD)


def _decide_outcome(flags: int, *, needs_consent: bool) -> int:
    """Return a person's outcome from flag bits: 0 to send, 1 + index of the reason in WITHHELD, or DONE if rejected."""
    if flags & _UNSENT:
        return DONE
    if flags & _SUPPRESSED:
        return 1 + WITHHELD.index(SUPPRESSED)
    if needs_consent and not flags & _CONSENTS:
        return 1 + WITHHELD.index(WITHOUT_CONSENT)
    return 1 + WITHHELD.index(CONTROL) if flags & _CONTROL else 0


# A table for each kind of people whose identifiers are collected: 1 for the flags of such people, 0 for all others.
_ARE_VALID = bytes(not flags & _UNSENT for flags in range(256))
_ARE_SUPPRESSED = bytes(flags & _SUPPRESSED > 0 for flags in range(256))
_GIVE_CONSENT = bytes(flags & (_CONSENTS | _UNSENT) == _CONSENTS for flags in range(256))
_ARE_IN_CONTROL = bytes(flags & _CONTROL > 0 for flags in range(256))


class People:
    """Collects people with all their identifiers. Withholds people by opt-out list, consent list and control group."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        # Pairs of an identifier and the index of a person who has it.
        self._pairs = Buckets(DIGEST_BYTES + _NUMBER_BYTES)
        self._flags = bytearray()  # by the index of a person, from 0
        self._outcomes = bytes(_decide_outcome(flags, needs_consent=CONSENT in lists.spools) for flags in range(256))
        self._are_sent = bytes(not outcome for outcome in self._outcomes)

    def close(self) -> None:
        """Free memory and delete temporary files. May be called again."""
        self._pairs.close()
        self._flags = bytearray()

    def add(self, column_keys: Sequence[ColumnKeys], in_control: Sequence[bool], *, may_be_sent: bool = True) -> None:
        """Add a person for each row of a block. `column_keys`: digests or external ids, by column. Raises OSError.

        `in_control`: for each row, whether the person is in the control group. `may_be_sent`: False for rejected rows,
        whose people are only compared with the opt-out list.
        """
        first = len(self._flags)
        self._flags += bytes(in_control) if may_be_sent else bytes([_UNSENT]) * len(in_control)
        if SUPPRESS in self._lists.spools:
            # A person whose address cannot be compared may be on the list.
            rejected = chain.from_iterable(column.rejected for column in column_keys)
            self._set_flag(_SUPPRESSED, (first + row for row, reason in rejected if reason is Reason.UNSURE))
        for column in column_keys:
            people = range(first, len(self._flags)) if column.rows is None else [first + row for row in column.rows]
            valid = compress(people, column.keys) if column.rejected else people
            ends = split_fixed(array("I", valid).tobytes(), _NUMBER_BYTES)
            self._pairs.add([digest + end for digest, end in zip(column.comparable_digests, ends, strict=True)])

    def compare_with_lists(self) -> None:
        """Flag who is in the opt-out and consent lists. Nobody can be added afterwards. Raises OSError."""
        self._pairs.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.read_buckets()):
            for digests, people in self._read_pairs(bucket):
                self._set_flag(_SUPPRESSED, compress(people, map(suppressed.__contains__, digests)))
                if consented:
                    self._set_flag(_CONSENTS, compress(people, map(consented.__contains__, digests)))

    def _set_flag(self, flag: int, people: Iterable[int]) -> None:
        """Set a flag, such as _SUPPRESSED, of people. `people`: their indices, from 0 in the order of `add`."""
        for person in people:
            self._flags[person] |= flag

    def find_outcomes(self, start: int, stop: int) -> bytearray:
        """Return a byte per person with an index in `start:stop`: 0 to send, or a code for the reason not to send."""
        return self._flags[start:stop].translate(self._outcomes)

    def find_sendable(self) -> Iterator[Sendable]:
        """Yield 256 pairs, by first byte: digests to send, and counts of withheld digests by reason. Raises OSError."""
        self.compare_with_lists()
        kinds = (_ARE_VALID, _ARE_SUPPRESSED, _GIVE_CONSENT, _ARE_IN_CONTROL)
        for bucket in range(BUCKETS):
            everybody, suppressed, consented, controlled = self._find_digests_by_flags(bucket, *kinds)
            needed = consented if CONSENT in self._lists.spools else None
            yield _select_sendable(everybody, suppressed, needed, controlled)

    def find_identifiers_to_strip(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield (person's index, SUPPRESSED or CONTROL, digest) for each identifier to leave out of a person's rows."""
        for bucket in range(BUCKETS):
            suppressed, controlled = self._find_digests_by_flags(bucket, _ARE_SUPPRESSED, _ARE_IN_CONTROL)
            lost = suppressed | controlled
            for digests, people in self._read_pairs(bucket) if lost else ():
                are_sent = bytes(map(self._flags.__getitem__, people)).translate(self._are_sent)
                are_stripped = map(and_, are_sent, map(lost.__contains__, digests))
                for digest, person in compress(zip(digests, people, strict=True), are_stripped):
                    yield person, SUPPRESSED if digest in suppressed else CONTROL, digest

    def _find_digests_by_flags(self, bucket: int, *flag_tables: bytes) -> list[set[bytes]]:
        """Return a bucket's digests as one set per table. A table has a 1 for the flags of the people in its set."""
        found: list[set[bytes]] = [set() for _ in flag_tables]
        for digests, people in self._read_pairs(bucket):
            flags = bytes(map(self._flags.__getitem__, people))
            for identifiers, table in zip(found, flag_tables, strict=True):
                identifiers.update(compress(digests, flags.translate(table)))
        return found

    def _read_pairs(self, bucket: int) -> Iterator[tuple[list[bytes], list[int]]]:
        """Yield a bucket's pairs of digest and person in batches: a list of digests, and a list of people's indices."""
        step = self._pairs.width // _NUMBER_BYTES
        most = _PAIRS_AT_ONCE * self._pairs.width
        for segment in self._pairs.read_segments(bucket):
            for piece in (segment[start : start + most] for start in range(0, len(segment), most)):
                people = memoryview(piece).cast("I")[step - 1 :: step].tolist()
                yield [*split_fixed(piece, DIGEST_BYTES, _NUMBER_BYTES)], people


def _select_sendable(
    identifiers: Set[bytes], suppressed: Set[bytes], consented: Set[bytes] | None, controlled: Set[bytes]
) -> Sendable:
    """Return `identifiers` that may be sent, in ascending order, and the numbers of withheld identifiers by reason."""
    opted_out = identifiers & suppressed
    left = identifiers - opted_out
    without_consent = set() if consented is None else left - consented
    left -= without_consent
    in_control = left & controlled
    withheld = {SUPPRESSED: len(opted_out), WITHOUT_CONSENT: len(without_consent), CONTROL: len(in_control)}
    return sort_digests([*(left - in_control)]), Counter(withheld)
