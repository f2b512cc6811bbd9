"""Compare the identifiers of people with the lists: who is withheld, and why.

Identifiers are in buckets by their first byte, as in the lists: one bucket of each is compared at a time.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, compress, repeat
from operator import ne

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys
from td_pinterest_op.records.spool import BUCKETS, Buckets, Spool, sort_digests, split_fixed
from td_pinterest_op.records.sql import NUMBERS
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, WITHOUT_CONSENT

_NUMBER_BYTES = 4
_PAIRS_AT_ONCE = 1 << 13  # of a bucket, as objects

Sendable = tuple[list[bytes], Counter[str]]
"""Identifiers that may be sent, in ascending order, and how many may not, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The digests of the opt-out list and of the consent list, None for a list that the task does not have.

    `columns`: the identifier columns of each list, by the name of its query.
    """

    suppressed: Spool | None = None
    consented: Spool | None = None
    columns: Mapping[str, Sequence[Column]] = field(default_factory=dict)

    def read_buckets(self) -> Iterator[tuple[frozenset[bytes], frozenset[bytes] | None]]:
        """Yield for each first byte the digests of opt-outs, and those of consents (None without a consent list)."""
        suppressed = map(frozenset, self.suppressed.read_buckets()) if self.suppressed else repeat(frozenset(), BUCKETS)
        consented = map(frozenset, self.consented.read_buckets()) if self.consented else repeat(None, BUCKETS)
        return zip(suppressed, consented, strict=True)


def assign_control(control: Control, keys: Iterable[object]) -> list[bool]:
    """Return for each person's key (bytes, text or a whole number) whether the person is in the control group.

    The first eight hex digits of SHA-256 (salt, a line feed, the key) decide, as in `build_control_number_sql`.
    """
    prefix, share = control.salt.encode() + b"\n", control.share_of_ten_thousand
    encoded = [key if isinstance(key, bytes) else str(key).encode() for key in keys]
    return [int.from_bytes(sha256(prefix + key).digest()[:_NUMBER_BYTES], "big") % NUMBERS < share for key in encoded]


class SingleIdentifierPeople:
    """Collects people with one identifier each, and selects whom the lists and the control group allow to send."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._everybody, self._controlled = Buckets(), Buckets()

    def close(self) -> None:
        """Free memory and delete temporary files. May be called again."""
        self._everybody.close()
        self._controlled.close()

    def add(self, by_column: Sequence[ColumnKeys], in_control: Sequence[bool]) -> None:
        """Add a person, in the control group or not, for each row of a block with one column. Raises OSError."""
        (column,) = by_column
        self._everybody.add(column.identifiers)
        self._controlled.add([key for key in compress(column.keys, in_control) if key])

    def add_unsent(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        """Do nothing. With one identifier a person, the opt-out list itself withholds an unsent person's identifier."""

    def find_sendable(self) -> Iterator[Sendable]:
        """Yield for each first byte the identifiers that may be sent, and how many may not, by reason. Raises OSError.

        Nobody can be added afterwards.
        """
        self._everybody.finish()
        self._controlled.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.read_buckets()):
            everybody, controlled = (
                set(chain.from_iterable(map(split_fixed, people.read_segments(bucket))))
                for people in (self._everybody, self._controlled)
            )
            yield _select_sendable(everybody, suppressed, consented, controlled)


# Facts about a person, as bits of a byte. SHIELDS: the row is not sent anyway, but a suppressed person shields the
# identifiers in it from being sent for others.
_SUPPRESSED, _CONSENTS, _CONTROL, _SHIELDS = 1, 2, 4, 8
# What happens to a person: 0 is sent, 1 + n is withheld for reason n of WITHHELD. DONE: nothing is left to do.
DONE = 1 + len(WITHHELD)


def _decide_outcome(facts: int, *, needs_consent: bool) -> int:
    """Return a person's outcome from the bits in `facts`: 0 (sent), 1 + the index of a reason in WITHHELD, or DONE."""
    if facts & _SHIELDS:
        return DONE
    if facts & _SUPPRESSED:
        return 1 + WITHHELD.index(SUPPRESSED)
    if needs_consent and not facts & _CONSENTS:
        return 1 + WITHHELD.index(WITHOUT_CONSENT)
    return 1 + WITHHELD.index(CONTROL) if facts & _CONTROL else 0


# A table for each kind of people whose identifiers are collected: 1 for the facts of such people, 0 for all others.
_ARE_VALID = bytes(not facts & _SHIELDS for facts in range(256))
_ARE_SUPPRESSED = bytes(facts & _SUPPRESSED > 0 for facts in range(256))
_GIVE_CONSENT = bytes(facts & (_CONSENTS | _SHIELDS) == _CONSENTS for facts in range(256))
_ARE_IN_CONTROL = bytes(facts & _CONTROL > 0 for facts in range(256))


class People:
    """Collects people with any number of identifiers, and selects what the lists and the control group allow to send.

    A person's index counts from 0.
    """

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        # Pairs of an identifier and the index of a person who has it. `_shared`: those that several people have.
        self._pairs, self._shared = (Buckets(DIGEST_BYTES + _NUMBER_BYTES) for _ in range(2))
        self._facts = bytearray()  # by the index of a person
        needs_consent = lists.consented is not None
        self._outcomes = bytes(_decide_outcome(facts, needs_consent=needs_consent) for facts in range(256))
        self._are_sent = bytes(not outcome for outcome in self._outcomes)

    def close(self) -> None:
        """Free memory and delete temporary files. May be called again."""
        self._pairs.close()
        self._shared.close()
        self._facts = bytearray()

    def add(self, by_column: Sequence[ColumnKeys], in_control: Sequence[bool]) -> None:
        """Add a person, in the control group or not, with all identifiers, for each row of a block. Raises OSError."""
        self._add_people(by_column, bytes(in_control).replace(b"\1", bytes([_CONTROL])))

    def add_unsent(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        """Add `count` people who are not sent: if they opted out, their identifiers are not sent for others either."""
        self._add_people(by_column, bytes([_SHIELDS]) * count)

    def _add_people(self, by_column: Sequence[ColumnKeys], facts: bytes) -> None:
        """Add a person for each byte in `facts` (bits, see `_decide_outcome`), with the identifiers of all columns."""
        first = len(self._facts)
        self._facts += facts
        if self._lists.suppressed:
            # A person whose address cannot be compared may be on the list.
            rejected = chain.from_iterable(column.rejected for column in by_column)
            self._add_fact(_SUPPRESSED, (first + row for row, reason in rejected if reason is Reason.UNSURE))
        for column in by_column:
            people = range(first, len(self._facts)) if column.rows is None else [first + row for row in column.rows]
            valid = compress(people, column.keys) if column.rejected else people
            _add_pairs(self._pairs, column.identifiers, valid)

    def compare_with_lists(self) -> None:
        """Look up everybody's identifiers in the lists, and set the facts about each person. Raises OSError.

        Nobody can be added afterwards.
        """
        self._pairs.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.read_buckets()):
            first_holders: dict[bytes, int] = {}
            for digests, people in _read_pairs(self._pairs, bucket):
                self._add_fact(_SUPPRESSED, compress(people, map(suppressed.__contains__, digests)))
                if consented:
                    self._add_fact(_CONSENTS, compress(people, map(consented.__contains__, digests)))
                self._store_shared(digests, people, first_holders)
        self._shared.finish()

    def _store_shared(self, digests: Sequence[bytes], people: Sequence[int], first_holders: dict[bytes, int]) -> None:
        """Store the identifiers that several people have, each with the index of every such person."""
        is_shared = map(ne, map(first_holders.setdefault, digests, people), people)
        shared = [*compress(zip(digests, people, strict=True), is_shared)]
        shared += [(digest, first_holders[digest]) for digest in {digest for digest, _ in shared}]
        _add_pairs(self._shared, [digest for digest, _ in shared], [person for _, person in shared])

    def _add_fact(self, fact: int, people: Iterable[int]) -> None:
        """Set a fact about each of these people. A fact is one bit."""
        for person in people:
            self._facts[person] |= fact

    def find_outcomes(self, start: int, stop: int) -> bytearray:
        """Return the outcome of each person from index `start` to before `stop`, as one byte: see `_decide_outcome`."""
        return self._facts[start:stop].translate(self._outcomes)

    def find_sendable(self) -> Iterator[Sendable]:
        """Yield for each first byte the identifiers that may be sent, and how many may not, by reason. Raises OSError.

        Each identifier is sent on its own.
        """
        self.compare_with_lists()
        kinds = (_ARE_VALID, _ARE_SUPPRESSED, _GIVE_CONSENT, _ARE_IN_CONTROL)
        for bucket in range(BUCKETS):
            everybody, suppressed, consented, controlled = self._find_identifiers(self._pairs, bucket, *kinds)
            yield _select_sendable(everybody, suppressed, consented if self._lists.consented else None, controlled)

    def find_identifiers_to_strip(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield the person, reason and digest of each identifier that must be left out of the rows of a sent person."""
        for bucket in range(BUCKETS):
            suppressed, controlled = self._find_identifiers(self._shared, bucket, _ARE_SUPPRESSED, _ARE_IN_CONTROL)
            lost = suppressed | controlled
            for digests, people in _read_pairs(self._shared, bucket) if lost else ():
                is_sent = bytes(map(self._facts.__getitem__, people)).translate(self._are_sent)
                sent = [*compress(digests, is_sent)]
                entries = zip(sent, compress(people, is_sent), strict=True)
                for digest, person in compress(entries, map(lost.__contains__, sent)):
                    yield person, SUPPRESSED if digest in suppressed else CONTROL, digest

    def _find_identifiers(self, pairs: Buckets, bucket: int, *kinds: bytes) -> list[set[bytes]]:
        """Return a set of a bucket's digests for each kind of people, such as those who opted out.

        `kinds`: a table for each kind, 1 for the facts of such people.
        """
        found: list[set[bytes]] = [set() for _ in kinds]
        for digests, people in _read_pairs(pairs, bucket):
            facts = bytes(map(self._facts.__getitem__, people))
            for identifiers, kind in zip(found, kinds, strict=True):
                identifiers.update(compress(digests, facts.translate(kind)))
        return found


def _add_pairs(pairs: Buckets, digests: Iterable[bytes], people: Iterable[int]) -> None:
    """Add pairs to buckets: the digest of an identifier, and the index of a person who has it."""
    ends = split_fixed(array("I", people).tobytes(), _NUMBER_BYTES)
    pairs.add([digest + end for digest, end in zip(digests, ends, strict=True)])


def _read_pairs(pairs: Buckets, bucket: int) -> Iterator[tuple[list[bytes], list[int]]]:
    """Yield the pairs in a bucket, some at a time: digests, and for each digest the index of a person who has it."""
    step = pairs.width // _NUMBER_BYTES
    most = _PAIRS_AT_ONCE * pairs.width
    for segment in pairs.read_segments(bucket):
        for piece in (segment[start : start + most] for start in range(0, len(segment), most)):
            people = memoryview(piece).cast("I")[step - 1 :: step].tolist()
            yield [*split_fixed(piece, DIGEST_BYTES, _NUMBER_BYTES)], people


def _select_sendable(
    identifiers: set[bytes],
    suppressed: frozenset[bytes] | set[bytes],
    consented: frozenset[bytes] | set[bytes] | None,
    controlled: set[bytes],
) -> Sendable:
    """Return those of the identifiers that may be sent, in ascending order, and how many may not, by reason."""
    opted_out = identifiers & suppressed
    left = identifiers - opted_out
    without_consent = set() if consented is None else left - consented
    left -= without_consent
    in_control = left & controlled
    withheld = {SUPPRESSED: len(opted_out), WITHOUT_CONSENT: len(without_consent), CONTROL: len(in_control)}
    return sort_digests([*(left - in_control)]), Counter(withheld)
