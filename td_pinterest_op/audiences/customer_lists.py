"""The customer lists that this operator makes: how they are named, found again, created once and filled.

Their names are `{audience name} (td {session key} {job id} {fingerprint})`. By its name a rerun of the same workflow
session recognises its own work, whatever step the earlier try stopped after, and so does a second run of the
same task (digdag is at-least-once).
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from td_pinterest_op.audiences.create_once import (
    Created,
    create_once,
    find_oldest,
    retry_until_ready,
    wait_for_consistency,
)
from td_pinterest_op.errors import ExportError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.models import Audience, CustomerList
from td_pinterest_op.records.batch import Batch, Digests
from td_pinterest_op.records.spool import fingerprint
from td_pinterest_op.redaction.format import format_label

log = logging.getLogger(__name__)

# What replaces the job id in the name of a list that is created empty, and of one whose rows are from a file.
_NO_JOB, _FILE = "-", "file"
_OURS = re.compile(r" \(td (?P<session>[0-9a-f]{8}) (?P<job>[0-9]{1,40}|file|-) (?P<fingerprint>[0-9a-f]{8})\)$")
# Of the 255 characters that a list's name may have, 55 are left to what follows the audience's name.
_AUDIENCE_NAME_CHARACTERS = 200


class CustomerLists:
    """The customer lists that one workflow session made for one audience, the one with this id or with this name.

    Audiences may share a name, so a list's name alone does not tell whose it is. A list behind any other audience is
    never used: or both audiences would get its people. Methods raise what the API raises.
    """

    def __init__(
        self, *, api: Api, session_key: str, audience_id: str | None, audience_name: str | None, is_nca: bool
    ) -> None:
        self._api, self._session_key = api, session_key
        self._audience_id, self._audience_name, self._is_nca = audience_id, audience_name, is_nca
        self._made: set[str] = set()  # ids of lists that are known to be of this session
        self._abandoned: set[str] = set()  # ids of those that may hold other people too

    def find_or_name_list(
        self,
        audience_name: str,
        *,
        job_id: str | None,
        fingerprint: str,
        list_type: str,
        used: str | None = None,
        records: int = 0,
        is_exact: bool = True,
    ) -> ListToFill:
        """Return the list of an earlier try of this session for the very same records, else a new one.

        Other records (of a corrected query, say) need a list of their own: added to the earlier ones they would make a
        mixture. The fingerprint tells them apart, whatever job they come from.

        `used`: the list that the audience uses now. Somebody may have added people to one that it uses or used: if
        `is_exact`, only a list in which Pinterest counts no more than these `records` is taken.
        """
        started = [
            made
            for made in self._of_session(audience_name)
            if (name := _OURS.search(made.name)) and name["fingerprint"] == fingerprint and name["job"] != _NO_JOB
        ]
        shared = {made.id for made in started if self._may_hold_others(made, used=used, own=records)}
        if is_exact:
            self._abandoned |= shared
        target = self._target(audience_name, job_id or _FILE, fingerprint, list_type=list_type, started=started)
        target.is_shared = target.id in shared
        return target

    def find_or_name_empty_list(self, audience_name: str, *, used: str | None) -> ListToFill:
        """Return the list that this session created empty, if it still is, else a new one. Its type is EMAIL.

        `used`: see `find_or_name_list`.
        """
        started = [made for made in self._of_session(audience_name) if records_made_with(made) is not None]
        self._abandoned |= {
            made.id for made in started if self._may_hold_others(made, used=used, own=records_made_with(made) or 0)
        }
        return self._target(audience_name, _NO_JOB, fingerprint(), list_type="EMAIL", started=started)

    def is_empty(self, audience: Audience) -> bool:
        """Return whether the audience uses one of the operator's lists that was created empty and still is.

        Waits until counters show whoever was added before this run.
        """
        if not self._is_empty(audience):
            return False
        wait_for_consistency(self._api.client)
        return self._is_empty(audience)

    def _is_empty(self, audience: Audience) -> bool:
        behind = find_list(self._api, audience)
        own = records_made_with(behind) if behind else None
        return behind is not None and own is not None and not self._counts_more(behind, than=own)

    def _may_hold_others(self, made: CustomerList, *, used: str | None, own: int) -> bool:
        # Lists that are newer than the one in use were never used.
        was_used = used is not None and (len(made.id), made.id) <= (len(used), used)
        return was_used and self._counts_more(made, than=own)

    def _counts_more(self, customer_list: CustomerList, *, than: int) -> bool:
        """Return whether Pinterest counts more records in the list, or does not say; reads and listings may differ."""
        read = self._api.customer_list(customer_list.id)
        listed = (listed for listed in self._api.customer_lists() if listed.id == customer_list.id)
        counts = [seen.uploaded for seen in (customer_list, read, *listed) if seen and seen.uploaded is not None]
        return not counts or max(counts) > than

    def is_of_this_session(self, audience: Audience) -> bool:
        """Whether this session of the workflow made the list behind an audience."""
        if audience.customer_list_id not in self._made:
            customer_list = find_list(self._api, audience)
            if customer_list is None or not self._is_ours(customer_list):
                return False
            self._made.add(customer_list.id)
        return True

    def create(self, name: str, list_type: str, records: Batch | None) -> Created[CustomerList]:
        """A new list with its first records, or one of that name that an earlier try made."""

        def create() -> CustomerList:
            return self._api.create_customer_list(name=name, list_type=list_type, records=records, is_nca=self._is_nca)

        def find() -> CustomerList | None:
            named = (made for made in self._api.customer_lists() if made.name == name and self._is_left(made))
            return find_oldest(self._not_in_use(named))

        client = self._api.client
        wait_for_consistency(client)
        if earlier := find():
            created = Created(thing=earlier, answered=False, lost=False)
        else:
            divisible = records is not None and len(records) > 1
            created = create_once(create=create, find=find, client=client, divisible=divisible)
        self._made.add(created.thing.id)
        log.info("%s", format_label("customer list", created.thing.id, name))
        return created

    def add(self, list_id: str, records: Batch) -> Response:
        """Add records to a list that may have been created a moment ago: for some seconds it may not be found."""
        return retry_until_ready(
            lambda: self._api.change_records(list_id, records, operation="ADD"),
            self._api.client,
            list_id=list_id,
            is_early=lambda error: error.status == 404,
        )

    def _target(
        self, audience_name: str, job: str, fingerprint: str, *, list_type: str, started: Iterable[CustomerList]
    ) -> ListToFill:
        earlier = find_oldest(filter(self._is_left, started))
        name = f"{self._beginning(audience_name)}{job} {fingerprint})"
        return ListToFill(lists=self, name=name, list_type=list_type, id=earlier.id if earlier else "")

    def _is_left(self, made: CustomerList) -> bool:
        return made.id not in self._abandoned

    def _beginning(self, audience_name: str) -> str:
        return f"{audience_name[:_AUDIENCE_NAME_CHARACTERS]} (td {self._session_key} "

    def _is_ours(self, customer_list: CustomerList) -> bool:
        name = _OURS.search(customer_list.name)
        return name is not None and name["session"] == self._session_key

    def _of_session(self, audience_name: str) -> list[CustomerList]:
        beginning = self._beginning(audience_name)
        own = self._not_in_use(
            listed
            for listed in self._api.customer_lists()
            if listed.name.startswith(beginning) and self._is_ours(listed)
        )
        self._made.update(customer_list.id for customer_list in own)
        return own

    def _not_in_use(self, lists: Iterable[CustomerList]) -> list[CustomerList]:
        candidates = list(lists)
        if not candidates:
            return []
        in_use = {
            audience.customer_list_id
            for audience in self._api.audiences()
            if audience.id != self._audience_id and audience.name != self._audience_name
        }
        return [candidate for candidate in candidates if candidate.id not in in_use]


@dataclass(slots=True, kw_only=True)
class ListToFill:
    """A list that is to get records, or to stay empty. `id`: "" until it is created, by an earlier try or now.

    `is_shared`: somebody may have added other people to it. Several threads may call `put`.
    """

    lists: CustomerLists
    name: str
    list_type: str
    id: str
    is_shared: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, records: Batch) -> Response | None:
        """Add records; the first ones create the list. None: the records are in, latency unknown."""
        lost = False
        with self._lock:
            if not self.id:
                created = self.lists.create(self.name, self.list_type, records)
                self.id, lost = created.thing.id, created.lost
                if created.answered:
                    return None
        # Also if the list was found: it is not known which records the request that made it held.
        try:
            return self.lists.add(self.id, records)
        except ExportError as error:
            error.maybe_applied = error.maybe_applied or lost
            raise

    def create_empty(self) -> None:
        """Create the list without records, unless it is there.

        Where Pinterest demands records, the list gets one digest that belongs to nobody.
        """
        if self.id:
            return
        try:
            created = self.lists.create(self.name, self.list_type, None)
        except RequestRefusedError as error:
            if error.status != 400:
                raise
            log.info("Pinterest demands records of a new customer list: this one gets a digest that is nobody's")
            # Made of the name: a second run of this task comes to the same digest, and to the same name.
            nobody = hashlib.sha256(f"nobody in {self.name}".encode()).digest()
            name = self.name.removesuffix(f"{fingerprint()})") + f"{fingerprint([nobody])})"
            created = self.lists.create(name, self.list_type, Digests(nobody))
        self.id = created.thing.id


def find_list(api: Api, audience: Audience) -> CustomerList | None:
    """The list behind an audience, None without one. What was just created may be listed before it can be read."""
    list_id = audience.customer_list_id
    if list_id is None:
        return None
    return api.customer_list(list_id) or next((listed for listed in api.customer_lists() if listed.id == list_id), None)


def records_made_with(customer_list: CustomerList) -> int | None:
    """Return how many records one of the operator's lists that was created empty got then; None for any other list."""
    name = _OURS.search(customer_list.name)
    if name is None or name["job"] != _NO_JOB:
        return None
    # A list that had to be created with a digest is named for that one.
    return 0 if name["fingerprint"] == fingerprint() else 1


def job_id_of(customer_list: CustomerList | None) -> int | None:
    """The job in the name of one of the operator's lists, None for any other list."""
    origin = parse_list_name(customer_list.name) if customer_list else None
    return int(origin[1]) if origin and origin[1] else None


def parse_list_name(list_name: str) -> tuple[str, str | None] | None:
    """The session key and the job id in the name of one of the operator's lists (None without one); None for others."""
    ours = _OURS.search(list_name)
    return (ours["session"], ours["job"] if ours["job"].isdecimal() else None) if ours else None
