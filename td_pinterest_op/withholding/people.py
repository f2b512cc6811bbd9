"""The identifiers of all people, each with its person, compared with the lists: who is withheld, and why.

A person is a row of the export's query. Entries (a digest, whether its person is in the control group, and who that
is) are sorted by digest, as the lists are: one bucket of each is compared at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType

from td_pinterest_op.records.spool import DIGEST_BYTES, Spool
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHOUT_CONSENT

_PERSON_BYTES = 4
_LONE = bytes(1 + _PERSON_BYTES)
_LONE_IN_CONTROL = b"\1" + bytes(_PERSON_BYTES)
# What is known of a person.
_IS_SUPPRESSED, _CONSENTS, _IS_CONTROL = 1, 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The people of an opt-out and of a consent list, as digests; None where there is no such list."""

    suppressed: Spool | None = None
    consented: Spool | None = None

    def buckets(self) -> Iterator[tuple[frozenset[bytes], frozenset[bytes] | None]]:
        """Both lists' digests, those with a first byte in common together. Nobody consents to a list of none."""
        nobody = frozenset[bytes]()
        suppressed = self.suppressed.buckets() if self.suppressed else ([] for _ in range(256))
        consented = self.consented.buckets() if self.consented else (None for _ in range(256))
        for some, others in zip(suppressed, consented, strict=True):
            yield frozenset(some) if some else nobody, None if others is None else frozenset(others)


class People:
    """All people with their identifiers. A context manager; its file is gone with `close`."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._entries = Spool(DIGEST_BYTES + 1 + _PERSON_BYTES)
        # By the number of a person. The first stands for everybody who has one identifier only.
        self._known = bytearray(1)

    def __enter__(self) -> People:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees memory and file. May be called again."""
        self._entries.close()

    def add_lone(self, digests: Sequence[bytes], in_control: Sequence[bool] | None) -> None:
        """Takes people with one identifier each. Raises OSError."""
        if in_control is None:
            self._entries.add([digest + _LONE for digest in digests])
        else:
            self._entries.add(
                [
                    digest + (_LONE_IN_CONTROL if controlled else _LONE)
                    for digest, controlled in zip(digests, in_control, strict=True)
                ]
            )

    def add(self, people: Sequence[Sequence[bytes]], in_control: Sequence[bool] | None) -> None:
        """Takes people with their identifiers, and numbers them, from 1 on. Raises OSError."""
        entries = []
        number = len(self._known)
        for digests, controlled in zip(people, in_control or bytes(len(people)), strict=True):
            end = bytes((controlled,)) + number.to_bytes(_PERSON_BYTES, "big")
            entries += [digest + end for digest in digests]
            self._known.append(_IS_CONTROL if controlled else 0)
            number += 1
        self._entries.add(entries)

    def compare(self) -> None:
        """Finds out who is on the lists. Nobody can be added any more. Raises OSError."""
        self._entries.finish()
        if len(self._known) == 1:
            return
        for entries, (suppressed, consented) in zip(self._entries.buckets(), self._lists.buckets(), strict=True):
            self._note(entries, suppressed, _IS_SUPPRESSED)
            if consented:
                self._note(entries, consented, _CONSENTS)

    def _note(self, entries: Sequence[bytes], digests: frozenset[bytes], what: int) -> None:
        if digests:
            for entry in entries:
                if entry[:DIGEST_BYTES] in digests:
                    self._known[_person(entry)] |= what

    def reason_of(self, number: int) -> str | None:
        """Why this person is withheld, as far as the lists and the control group say."""
        known = self._known[number]
        if known & _IS_SUPPRESSED:
            return SUPPRESSED
        if self._lists.consented and not known & _CONSENTS:
            return WITHOUT_CONSENT
        return CONTROL if known & _IS_CONTROL else None

    def identifiers(self) -> Iterator[tuple[list[bytes], Counter[str]]]:
        """Identifiers that may be sent, in ascending order, and how many may not, by reason; in 256 parts.

        Raises OSError.
        """
        for entries, (suppressed, consented) in zip(self._entries.buckets(), self._lists.buckets(), strict=True):
            # What is known of an identifier by its holders; where each has no other one, equal digests are neighbours
            # and the last of them is in control, if any is.
            known = (
                {entry[:DIGEST_BYTES]: entry[DIGEST_BYTES] and _IS_CONTROL for entry in entries}
                if len(self._known) == 1
                else {digest: self._of_holders(holders) for digest, holders in _by_digest(entries)}
            )
            sent: list[bytes] = []
            withheld: Counter[str] = Counter()
            for digest, of_one in known.items():
                if of_one & _IS_SUPPRESSED or digest in suppressed:
                    withheld[SUPPRESSED] += 1
                elif consented is not None and not of_one & _CONSENTS and digest not in consented:
                    withheld[WITHOUT_CONSENT] += 1
                elif of_one & _IS_CONTROL:
                    withheld[CONTROL] += 1
                else:
                    sent.append(digest)
            yield sent, withheld

    def _of_holders(self, holders: Sequence[bytes]) -> int:
        known = 0
        for entry in holders:
            known |= self._known[_person(entry)] | (entry[DIGEST_BYTES] and _IS_CONTROL)
        return known

    def taken_away(self) -> Iterator[tuple[int, str, bytes]]:
        """Identifiers that people lose although they are not withheld: who, why, and what. In the order of digests."""
        for entries in self._entries.buckets():
            for digest, holders in _by_digest(entries):
                if len(holders) > 1:
                    people = [_person(entry) for entry in holders]
                    known = [self._known[person] for person in people]
                    if any(of_one & (_IS_SUPPRESSED | _IS_CONTROL) for of_one in known):
                        why = SUPPRESSED if any(of_one & _IS_SUPPRESSED for of_one in known) else CONTROL
                        yield from ((person, why, digest) for person in people if self.reason_of(person) is None)


def _person(entry: bytes) -> int:
    return int.from_bytes(entry[DIGEST_BYTES + 1 :], "big")


def _by_digest(entries: Sequence[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    for digest, holders in groupby(entries, key=lambda entry: entry[:DIGEST_BYTES]):
        yield digest, [*holders]
