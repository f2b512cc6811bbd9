"""What the steps of a rehearsal share: made-up people, the lists and the audience it makes, and how a write shows."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from functools import cached_property
from itertools import islice

from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.audiences.create_once import look_for
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.cli import screen
from td_pinterest_op.errors import ExportError, StoppedError
from td_pinterest_op.pinterest.api import Api, Audience
from td_pinterest_op.records.batch import Digests
from td_pinterest_op.records.spool import DIGEST_BYTES, fingerprint
from td_pinterest_op.timing import Timing

log = logging.getLogger(__name__)

# The names of all lists and audiences of rehearsals begin so.
NAME = "td_pinterest_op rehearsal"
_OURS = re.compile(re.escape(NAME) + " [0-9a-f]{8}")
LARGEST = 100_000
# How long a write gets to show, and the shortest pause between two looks, in seconds.
PATIENCE, _SHORTEST_LOOK = 60.0, 0.5
# Of a listing, the newest are looked through: its first page.
_PAGE = 250


class Stage:
    """One rehearsal's part of an ad account. `key`: eight hex digits that are in every name it makes."""

    def __init__(self, *, api: Api, timing: Timing, key: str) -> None:
        self.api, self._clock, self.name = api, timing.monotonic, f"{NAME} {key}"
        self._lists = CustomerLists(api=api, session_key=key, audience_id=None, audience_name=self.name, is_nca=False)
        self._audiences = Audiences(api=api, lists=self._lists)
        self._audience_begun = False
        self.audience_id: str | None = None
        self.list_id: str | None = None

    @cached_property
    def _people(self) -> bytes:
        addresses = (f"{number}@{self.name[-8:]}.invalid".encode() for number in range(LARGEST))
        return b"".join(hashlib.sha256(address).digest() for address in addresses)

    def people(self, count: int) -> Digests:
        """The digests of the first `count` made-up addresses."""
        return Digests(self._people[: count * DIGEST_BYTES])

    def make_list(self, count: int) -> str:
        """A new customer list with the first `count` people; returns its id. Raises what the API raises."""
        records = self.people(count)
        named = fingerprint([records.data])
        made = self._lists.to_fill(self.name, job_id=None, fingerprint=named, list_type="EMAIL")
        made.put(records)
        return made.id

    def add(self, list_id: str, count: int) -> None:
        """Add the first `count` people to a list. Raises what the API raises."""
        self._lists.add(list_id, self.people(count))

    def is_listed(self, list_id: str) -> bool:
        """Whether the listing shows a list that was just made."""
        return any(listed.id == list_id for listed in islice(self.api.customer_lists(), _PAGE))

    def make_audience(self, list_id: str) -> None:
        """A new audience on a list. Raises what the API raises."""
        self._audience_begun = True
        try:
            self.audience_id = self._audiences.create(self.name, description=None, list_id=list_id).id
        except ExportError as error:
            self._audience_begun = error.maybe_applied or isinstance(error, StoppedError)
            raise

    def move(self, list_id: str) -> None:
        """Ask for another list behind the audience. Raises what the API raises."""
        assert self.audience_id is not None  # noqa: S101 - the step needs one
        self._audiences.move(self.audience_id, list_id=list_id)

    def list_behind(self) -> str | None:
        """The list that is read behind the audience."""
        audience = self._read()
        return audience.customer_list_id if audience else None

    def remove(self) -> bool:
        """Remove the audience; False when Pinterest does not know it. Raises what the API raises."""
        assert self.audience_id is not None  # noqa: S101 - the step needs one
        removed = self._audiences.remove(self.audience_id)
        self._audience_begun = False
        return removed

    def is_gone(self) -> bool:
        """Whether the audience cannot be read."""
        return self._read() is None

    def shows_removal(self) -> bool:
        """Whether a read shows what became of the audience: that it was removed, or nothing at all."""
        audience = self._read()
        return audience is None or audience.is_removed

    def _read(self) -> Audience | None:
        return self.api.audience(self.audience_id or "")

    def seconds_until(self, *shows: Callable[[], bool]) -> list[float | None]:
        """The seconds from now until each shows; None for one that does not within a minute."""
        begin, client = self._clock(), self.api.client
        seconds: list[float | None] = [None] * len(shows)
        while True:
            for place, look in enumerate(shows):
                if seconds[place] is None and look():
                    seconds[place] = self._clock() - begin
            waited = self._clock() - begin
            if None not in seconds or waited >= PATIENCE:
                return seconds
            # A trial app's requests of a day are few: the longer it takes, the rarer the looks.
            client.rate_limiter.wait(max(_SHORTEST_LOOK, waited / 4))

    # -- tidying up -----------------------------------------------------------------------------------------------

    def remove_left_behind(self) -> bool:
        """Remove every audience of a rehearsal, this one's or one that was interrupted; False when one may be left.

        Raises StoppedError.
        """
        try:
            if self._audience_begun and self.audience_id is None:
                # The answer to its creation was never seen, and a listing may show it late.
                look_for(lambda: next(iter(self._ours()), None), self.api.client)
            elif self._audience_begun:
                self.remove()
            for audience in self._ours():
                self._audiences.remove(audience.id)
                if audience.name != self.name:
                    screen.note(f'Removed audience {audience.id} "{audience.name}", which an earlier rehearsal left')
        except StoppedError:
            raise
        except ExportError as error:
            log.warning("audiences of rehearsals could not be looked for and removed: %s", error)
            return not self._audience_begun
        self._audience_begun = False
        return True

    def _ours(self) -> list[Audience]:
        return [
            audience for audience in self.api.audiences() if _OURS.fullmatch(audience.name) and not audience.is_removed
        ]
