"""Decide which people are sent: their identifiers, compared with opt-outs, consents and the control group.

The package's docstring has the rule. A person is known by a number. The passes:

1. `add_block` stores each identifier's digest, with the person's number, in a temporary file.
2. `compare_with_lists` notes for each person whether any identifier is on the opt-out or the consent list.
3. If rows are sent as records, `decide_outcomes` says what happens to each person, and
   `find_shared_withheld_identifiers` which identifiers a sent person loses to somebody who is withheld.

If single identifiers are sent, `find_sendable` replaces 2 and 3: an identifier is sent if none of the people who hold
it is suppressed or in the control group, and one of them consents.

The digests of people and lists are in 256 buckets by their first byte. Only digests of the same bucket can be equal, so
memory holds one bucket at a time. If each person has one identifier, `SingleIdentifierPeople` compares sets instead.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain, compress
from struct import Struct

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import IdentifierColumn
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnIdentifiers
from td_pinterest_op.records.spool import BUCKET_COUNT, DigestBuckets, Spool, split_by_width
from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.settings.table import CONSENT_LIST_NAME, SUPPRESS_LIST_NAME
from td_pinterest_op.stats import IN_CONTROL_GROUP, SUPPRESSED, WITHOUT_CONSENT
from td_pinterest_op.trino.hashed_query import CONTROL_MODULUS

# An identifier's digest, and the number of a person who holds it: from 0, in the order of adding.
_DIGEST_OWNER_FORMAT = Struct(f"={DIGEST_BYTES}sI")

PersonNumber = int
SENT_OUTCOME = "sent"
"""The outcome of a person or an identifier besides WITHHELD_REASONS."""
SendableAndWithheldCounts = tuple[Collection[bytes], Mapping[str, int]]
"""Different digests to send, and the number of withheld ones, by reason."""


class _PersonFlags:
    """What is known of a person, as bits of a byte, since there may be ten million people."""

    MAY_BE_SENT = 1
    SUPPRESSED = 2
    CONSENTS = 4
    IN_CONTROL = 8


def _decide_outcome(flags: int) -> str:
    """Return SENT_OUTCOME or one of WITHHELD_REASONS. `flags`: those of a person, or of all owners of a digest."""
    if flags & _PersonFlags.SUPPRESSED:
        return SUPPRESSED
    if not flags & _PersonFlags.CONSENTS:
        return WITHOUT_CONSENT
    return IN_CONTROL_GROUP if flags & _PersonFlags.IN_CONTROL else SENT_OUTCOME


@dataclass(frozen=True, kw_only=True)
class WithholdingListDigests:
    """The digests and identifier columns of the lists that a task has, by SUPPRESS_LIST_NAME and CONSENT_LIST_NAME."""

    spools: Mapping[str, Spool] = field(default_factory=dict)  # the digests, sorted and unique
    columns: Mapping[str, Sequence[IdentifierColumn]] = field(default_factory=dict)

    def iterate_digest_set_pairs(self) -> Iterator[tuple[frozenset[bytes], frozenset[bytes]]]:
        """Yield for each bucket the sets of opt-outs and consents. A missing list is empty."""
        sets = {name: map(frozenset, spool.read_sorted_buckets()) for name, spool in self.spools.items()}
        nobody = [frozenset[bytes]()] * BUCKET_COUNT
        return zip(sets.get(SUPPRESS_LIST_NAME, nobody), sets.get(CONSENT_LIST_NAME, nobody), strict=True)


def assign_control(control: ControlGroup, keys: Iterable[object]) -> list[bool]:
    """Return for each person's key (bytes, text or a whole number) whether the person is in the control group.

    The first eight hex digits of SHA-256 (salt, a line feed, the key) decide, as in `build_control_draw_sql`.
    """
    prefix = control.salt.encode() + b"\n"
    share = control.share_in_ten_thousandths
    encoded = [key if isinstance(key, bytes) else str(key).encode() for key in keys]
    return [int.from_bytes(sha256(prefix + key).digest()[:4], "big") % CONTROL_MODULUS < share for key in encoded]


class SingleIdentifierPeople:
    """Collects people with one identifier each, and tells which identifiers are sent or withheld."""

    def __init__(self, lists: WithholdingListDigests) -> None:
        self._lists = lists
        self._everybody = DigestBuckets()
        self._controlled = DigestBuckets()

    def close(self) -> None:
        """Free memory and delete temporary files. May be called again."""
        self._everybody.close()
        self._controlled.close()

    def add_block(
        self, by_column: Sequence[ColumnIdentifiers], in_control: Sequence[bool], *, may_be_sent: bool = True
    ) -> None:
        """Add a person for each row of a block. Raises OSError.

        `in_control`: for each row, whether its person is in the control group. `may_be_sent`: False for rows without
        the group's key.
        """
        # An unsent person need not be known: if the only identifier is on the opt-out list, nobody is sent with it.
        if may_be_sent:
            (column,) = by_column
            self._everybody.add(column.digests_for_matching)
            # `identifiers` has one for each row, b"" if invalid.
            self._controlled.add([key for key in compress(column.identifiers, in_control) if key])

    def find_sendable(self) -> Iterator[SendableAndWithheldCounts]:
        """Yield the digests to send, and the number withheld by reason, bucket by bucket. Raises OSError.

        Nobody can be added afterwards.
        """
        collected = (self._everybody, self._controlled)
        for buckets in collected:
            buckets.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.iterate_digest_set_pairs()):
            everybody, controlled = (
                set(chain.from_iterable(map(split_by_width, buckets.read_joined_digests(bucket))))
                for buckets in collected
            )
            # Each set is taken from what is left: the first reason counts.
            opted_out = everybody & suppressed
            left = everybody - opted_out
            without_consent = left - consented if CONSENT_LIST_NAME in self._lists.spools else set()
            left -= without_consent
            in_control = left & controlled
            withheld = {
                SUPPRESSED: len(opted_out),
                WITHOUT_CONSENT: len(without_consent),
                IN_CONTROL_GROUP: len(in_control),
            }
            yield left - in_control, withheld


class MultiIdentifierPeople:
    """Collects people with all their identifiers, and tells which people and identifiers are sent or withheld."""

    def __init__(self, lists: WithholdingListDigests) -> None:
        self._lists = lists
        self._digest_owners = DigestBuckets(_DIGEST_OWNER_FORMAT.size)
        self._flags_by_person = bytearray()

    @property
    def person_count(self) -> int:
        """How many people were added."""
        return len(self._flags_by_person)

    def close(self) -> None:
        """Free memory and delete temporary files. May be called again."""
        self._digest_owners.close()
        self._flags_by_person = bytearray()

    def add_block(
        self, by_column: Sequence[ColumnIdentifiers], in_control: Sequence[bool], *, may_be_sent: bool = True
    ) -> None:
        """See `SingleIdentifierPeople.add_block`. People who may not be sent are only compared with opt-outs."""
        first = self.person_count
        flags = 0
        if may_be_sent:
            flags = _PersonFlags.MAY_BE_SENT
            # Without a consent list, everybody consents.
            if CONSENT_LIST_NAME not in self._lists.spools:
                flags |= _PersonFlags.CONSENTS
        self._flags_by_person += bytes(flags | _PersonFlags.IN_CONTROL if chosen else flags for chosen in in_control)
        for column in by_column:
            rows = range(len(in_control)) if column.rows is None else column.rows
            # The person of each valid identifier, in the order of `digests_for_matching`.
            owners = [first + row for row, key in zip(rows, column.identifiers, strict=True) if key]
            self._digest_owners.add(list(map(_DIGEST_OWNER_FORMAT.pack, column.digests_for_matching, owners)))
            if SUPPRESS_LIST_NAME in self._lists.spools:
                for row, reason in column.rejected:
                    # A person whose address cannot be compared may be on the list.
                    if reason is Reason.UNSURE:
                        self._flags_by_person[first + row] |= _PersonFlags.SUPPRESSED

    def compare_with_lists(self) -> None:
        """Note for each person whether they are on the opt-out and consent lists. Raises OSError.

        Nobody can be added afterwards.
        """
        flags = self._flags_by_person
        self._digest_owners.finish()
        for bucket, (suppressed, consented) in enumerate(self._lists.iterate_digest_set_pairs()):
            for digest, person in self._read_digest_owners(bucket):
                if digest in suppressed:
                    flags[person] |= _PersonFlags.SUPPRESSED
                # A row that is not sent gives no consent.
                if digest in consented and flags[person] & _PersonFlags.MAY_BE_SENT:
                    flags[person] |= _PersonFlags.CONSENTS

    def decide_outcomes(self, first_person: int, end_person: int) -> list[str]:
        """Return SENT_OUTCOME or one of WITHHELD_REASONS for each person from `first_person` to before `end_person`."""
        return list(map(_decide_outcome, self._flags_by_person[first_person:end_person]))

    def find_sendable(self) -> Iterator[SendableAndWithheldCounts]:
        """See `SingleIdentifierPeople.find_sendable`."""
        self.compare_with_lists()
        for bucket in range(BUCKET_COUNT):
            # What is known of any holder of an identifier counts for the identifier.
            flags_by_digest: defaultdict[bytes, int] = defaultdict(int)
            for digest, person in self._read_digest_owners(bucket):
                flags_by_digest[digest] |= self._flags_by_person[person]
            by_outcome: defaultdict[str, list[bytes]] = defaultdict(list)
            for digest, flags in flags_by_digest.items():
                # What only rows without a control-group key hold is no record: neither sent nor withheld.
                if flags & _PersonFlags.MAY_BE_SENT:
                    by_outcome[_decide_outcome(flags)].append(digest)
            sent = by_outcome.pop(SENT_OUTCOME, [])
            yield sent, {reason: len(digests) for reason, digests in by_outcome.items()}

    def find_shared_withheld_identifiers(self) -> Iterator[tuple[PersonNumber, str, bytes]]:
        """Yield (person's number, reason, digest) for each identifier of a sent person that is sent for nobody.

        The reason is SUPPRESSED if any suppressed person shares it, else IN_CONTROL_GROUP.
        """
        for bucket in range(BUCKET_COUNT):
            reasons: dict[bytes, str] = {}
            for digest, person in self._read_digest_owners(bucket):
                flags = self._flags_by_person[person]
                if flags & _PersonFlags.SUPPRESSED:
                    reasons[digest] = SUPPRESSED
                elif flags & _PersonFlags.IN_CONTROL:
                    reasons.setdefault(digest, IN_CONTROL_GROUP)
            # A second reading finds sent people who hold one of these identifiers.
            for digest, person in self._read_digest_owners(bucket) if reasons else ():
                if digest in reasons and _decide_outcome(self._flags_by_person[person]) == SENT_OUTCOME:
                    yield person, reasons[digest], digest

    def _read_digest_owners(self, bucket: int) -> Iterator[tuple[bytes, PersonNumber]]:
        return chain.from_iterable(
            map(_DIGEST_OWNER_FORMAT.iter_unpack, self._digest_owners.read_joined_digests(bucket))
        )
