"""Who is withheld, and why: the identifiers of people, compared with opt-outs, consents and the control group.

A person is a row of the query. People on the opt-out list are withheld, then people of whom no identifier is on the
consent list, then the control group. What a suppressed person or one of the control group holds is sent for nobody
else, either; of others, who hold it too, the rest is sent. People of rejected rows are not sent anyway, but may be
suppressed. This happens in passes: collect (`add`), compare (`compare_with_lists`), decide (`find_outcomes`, or
`find_sendable` for single identifiers), strip (`find_identifiers_to_strip`); `preparation` then stores what is left.

The digests of people and of lists are in buckets by their first byte, and are compared bucket by bucket.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, compress, repeat
from struct import Struct

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnIdentifiers
from td_pinterest_op.records.hashed_query import NUMBERS
from td_pinterest_op.records.spool import BUCKETS, Buckets, Spool, sort_digests, split_fixed
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import CONSENT, CONTROL, SUPPRESS, SUPPRESSED, WITHOUT_CONSENT

_PERSON = Struct("=I")  # the number of a person, from 0 in the order of `add`
_HOLDER = Struct(f"={DIGEST_BYTES}sI")  # an identifier's digest, and a person who holds it

SENT = "sent"
REJECTED = "rejected"
"""Outcomes of people besides the reasons of WITHHELD."""
Sendable = tuple[list[bytes], Counter[str]]
"""Digests that may be sent, in ascending order, and the number of digests that are withheld, by reason."""


class _Fact:
    """What is known of a person: bits of a byte, since there may be ten million people."""

    REJECTED = 1
    SUPPRESSED = 2
    CONSENTS = 4
    IN_CONTROL = 8


def _decide_outcome(facts: int, *, needs_consent: bool) -> str:
    """Return what becomes of a person: SENT, REJECTED, or one of WITHHELD. `facts`: the person's flags of `_Fact`."""
    if facts & _Fact.REJECTED:
        return REJECTED
    if facts & _Fact.SUPPRESSED:
        return SUPPRESSED
    if needs_consent and not facts & _Fact.CONSENTS:
        return WITHOUT_CONSENT
    return CONTROL if facts & _Fact.IN_CONTROL else SENT


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
    prefix = control.salt.encode() + b"\n"
    share = control.share_of_ten_thousand
    encoded = [key if isinstance(key, bytes) else str(key).encode() for key in keys]
    return [int.from_bytes(sha256(prefix + key).digest()[:4], "big") % NUMBERS < share for key in encoded]


class SingleIdentifierPeople:
    """Collects people with one identifier each. Withholds people by opt-out list, consent list and control group."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._everybody = Buckets()
        self._controlled = Buckets()

    def close(self) -> None:
        """Free memory and delete temporary files. May be called again."""
        self._everybody.close()
        self._controlled.close()

    def add(
        self,
        by_column: Sequence[ColumnIdentifiers],
        in_control: Sequence[bool],
        *,
        may_be_sent: bool = True,
    ) -> None:
        """Add a person for each row of a block. `in_control`: for each row, whether it is in the control group."""
        (column,) = by_column
        # With one identifier a person, the opt-out list itself withholds the identifier of an unsent person.
        if may_be_sent:
            self._everybody.add(column.comparable_digests)
            self._controlled.add([key for key in compress(column.identifiers, in_control) if key])

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


class People:
    """Collects people with all their identifiers. Withholds people by opt-out list, consent list and control group."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._holders = Buckets(_HOLDER.size)
        self._facts = bytearray()  # by the number of a person
        needs_consent = CONSENT in lists.spools
        self._outcomes = [_decide_outcome(facts, needs_consent=needs_consent) for facts in range(16)]

    def close(self) -> None:
        """Free memory and delete temporary files. May be called again."""
        self._holders.close()
        self._facts = bytearray()

    def add(
        self,
        by_column: Sequence[ColumnIdentifiers],
        in_control: Sequence[bool],
        *,
        may_be_sent: bool = True,
    ) -> None:
        """Add a person for each row of a block. `by_column`: digests or external ids, by column. Raises OSError.

        `in_control`: for each row, whether the person is in the control group. `may_be_sent`: False for rejected rows,
        whose people are only compared with the opt-out list.
        """
        first = len(self._facts)
        for is_in_control in in_control:
            if may_be_sent:
                self._facts.append(_Fact.IN_CONTROL if is_in_control else 0)
            else:
                self._facts.append(_Fact.REJECTED)
        for column in by_column:
            rows = range(len(in_control)) if column.rows is None else column.rows
            people = [_PERSON.pack(first + row) for row, key in zip(rows, column.identifiers, strict=True) if key]
            self._holders.add([d + person for d, person in zip(column.comparable_digests, people, strict=True)])
            if SUPPRESS in self._lists.spools:
                for row, reason in column.rejected:
                    # A person whose address cannot be compared may be on the list.
                    if reason is Reason.UNSURE:
                        self._facts[first + row] |= _Fact.SUPPRESSED

    def compare_with_lists(self) -> None:
        """Find out who is on the opt-out and consent lists. Nobody can be added afterwards. Raises OSError."""
        self._holders.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.read_buckets()):
            for digest, person in self._read_holders(bucket):
                if digest in suppressed:
                    self._facts[person] |= _Fact.SUPPRESSED
                if consented and digest in consented:
                    self._facts[person] |= _Fact.CONSENTS

    def find_outcomes(self, start: int, stop: int) -> list[str]:
        """Return what becomes of each of the people `start:stop`: SENT, REJECTED or a reason of WITHHELD."""
        return [self._outcomes[facts] for facts in self._facts[start:stop]]

    def find_sendable(self) -> Iterator[Sendable]:
        """Yield 256 pairs, by first byte: digests to send, and counts of withheld digests by reason. Raises OSError."""
        self.compare_with_lists()
        for bucket in range(BUCKETS):
            everybody: set[bytes] = set()
            suppressed: set[bytes] = set()
            consented: set[bytes] = set()
            controlled: set[bytes] = set()
            for digest, person in self._read_holders(bucket):
                facts = self._facts[person]
                if facts & _Fact.SUPPRESSED:
                    suppressed.add(digest)
                if not facts & _Fact.REJECTED:
                    everybody.add(digest)
                    if facts & _Fact.CONSENTS:
                        consented.add(digest)
                    if facts & _Fact.IN_CONTROL:
                        controlled.add(digest)
            needed = consented if CONSENT in self._lists.spools else None
            yield _select_sendable(everybody, suppressed, needed, controlled)

    def find_identifiers_to_strip(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield (person, SUPPRESSED or CONTROL, digest) for each identifier to leave out of a sent person's rows."""
        for bucket in range(BUCKETS):
            reasons: dict[bytes, str] = {}  # of identifiers that are sent for nobody
            for digest, person in self._read_holders(bucket):
                facts = self._facts[person]
                if facts & _Fact.SUPPRESSED:
                    reasons[digest] = SUPPRESSED
                elif facts & _Fact.IN_CONTROL:
                    reasons.setdefault(digest, CONTROL)
            for digest, person in self._read_holders(bucket) if reasons else ():
                if digest in reasons and self._outcomes[self._facts[person]] == SENT:
                    yield person, reasons[digest], digest

    def _read_holders(self, bucket: int) -> Iterator[tuple[bytes, int]]:
        """Yield pairs of a digest of the bucket and a person who holds it. Raises OSError."""
        return chain.from_iterable(map(_HOLDER.iter_unpack, self._holders.read_segments(bucket)))


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
    return sort_digests(list(left - in_control)), Counter(withheld)
