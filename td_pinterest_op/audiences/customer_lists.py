"""Name, find, create and fill the customer lists of this operator.

Their names are `{audience name} (td {session key} {job id} {fingerprint})`. By the name, a rerun of the same workflow
session recognises its own lists, whatever step the earlier try stopped after, and so does a second run of the same task
(digdag is at-least-once).
"""

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

# In place of the job id, in the name of a list that is created empty, and of one whose rows are from a file.
_NO_JOB, _FILE = "-", "file"
_LIST_NAME = re.compile(r" \(td (?P<session>[0-9a-f]{8}) (?P<job>[0-9]{1,40}|file|-) (?P<fingerprint>[0-9a-f]{8})\)$")
# A list's name may have 255 characters; 55 of them follow the audience's name.
_AUDIENCE_NAME_CHARACTERS = 200


class CustomerLists:
    """The customer lists that one workflow session created for the audience with this id or name.

    Audiences may share a name, so a list's name alone does not identify its audience. A list that another audience uses
    is never filled, since both audiences would get its people. Methods raise what the API raises.
    """

    def __init__(
        self, *, api: Api, session_key: str, audience_id: str | None, audience_name: str | None, is_nca: bool
    ) -> None:
        self._api, self._session_key = api, session_key
        self._audience_id, self._audience_name, self._is_nca = audience_id, audience_name, is_nca
        self._made: set[str] = set()  # ids of lists of this session
        self._abandoned: set[str] = set()  # ids of those that may have other members, too

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
    ) -> "ListToFill":
        """Return the list that an earlier try of this session made for the same records, else a new one.

        Other records (of a corrected query, say) need a list of their own, or it would have both. The fingerprint
        distinguishes them, whatever job they come from.

        `used`: the list that the audience uses now. Somebody may have added people to that list or an earlier one: if
        `is_exact`, a list is taken only if Pinterest counts no more than these `records` in it.
        """
        started = [
            made
            for made in self._find_session_lists(audience_name)
            if (name := _LIST_NAME.search(made.name)) and name["fingerprint"] == fingerprint and name["job"] != _NO_JOB
        ]
        shared = {made.id for made in started if self._may_hold_others(made, used=used, own=records)}
        if is_exact:
            self._abandoned |= shared
        target = self._build_list(audience_name, job_id or _FILE, fingerprint, list_type=list_type, started=started)
        target.is_shared = target.id in shared
        return target

    def find_or_name_empty_list(self, audience_name: str, *, used: str | None) -> "ListToFill":
        """Return the empty list of an earlier try of this session if it is still empty, else a new one.

        `used`: see `find_or_name_list`.
        """
        started = [made for made in self._find_session_lists(audience_name) if initial_record_count(made) is not None]
        self._abandoned |= {
            made.id for made in started if self._may_hold_others(made, used=used, own=initial_record_count(made) or 0)
        }
        return self._build_list(audience_name, _NO_JOB, fingerprint(), list_type="EMAIL", started=started)

    def is_empty(self, audience: Audience) -> bool:
        """Return whether the audience uses a list that was created empty and is still empty.

        Waits until counters show the people who were added before this run.
        """
        if not self._uses_empty_list(audience):
            return False
        wait_for_consistency(self._api.client)
        return self._uses_empty_list(audience)

    def _uses_empty_list(self, audience: Audience) -> bool:
        """Return whether the audience's list was created empty and Pinterest counts no more records."""
        used = find_list(self._api, audience)
        own = initial_record_count(used) if used else None
        return used is not None and own is not None and not self._has_more_records(used, than=own)

    def _may_hold_others(self, made: CustomerList, *, used: str | None, own: int) -> bool:
        """Return whether others may have added to a list: it was in use, and has more than `own` records."""
        # Lists that are newer than the one in use were never used.
        was_used = used is not None and (len(made.id), made.id) <= (len(used), used)
        return was_used and self._has_more_records(made, than=own)

    def _has_more_records(self, customer_list: CustomerList, *, than: int) -> bool:
        """Return whether Pinterest counts more than `than` records in a list, or shows no count."""
        read = self._api.find_customer_list(customer_list.id)
        listed = (listed for listed in self._api.list_customer_lists() if listed.id == customer_list.id)
        counts = [seen.uploaded for seen in (customer_list, read, *listed) if seen and seen.uploaded is not None]
        return not counts or max(counts) > than

    def is_of_this_session(self, audience: Audience) -> bool:
        """Return whether this workflow session created the audience's list."""
        if audience.customer_list_id not in self._made:
            customer_list = find_list(self._api, audience)
            if customer_list is None or not self._is_of_session(customer_list):
                return False
            self._made.add(customer_list.id)
        return True

    def create(self, name: str, list_type: str, records: Batch | None) -> Created[CustomerList]:
        """Create a list with its first records, or return the list of that name from an earlier try."""

        def create_list() -> CustomerList:
            return self._api.create_customer_list(name=name, list_type=list_type, records=records, is_nca=self._is_nca)

        def find_earlier_list() -> CustomerList | None:
            named = (made for made in self._api.list_customer_lists() if made.name == name and self._is_reusable(made))
            return find_oldest(self._exclude_used_lists(named))

        client = self._api.client
        wait_for_consistency(client)
        if earlier := find_earlier_list():
            created = Created(thing=earlier, answered=False, lost=False)
        else:
            divisible = records is not None and len(records) > 1
            created = create_once(create=create_list, find=find_earlier_list, client=client, divisible=divisible)
        self._made.add(created.thing.id)
        log.info("%s", format_label("customer list", created.thing.id, name))
        return created

    def add(self, list_id: str, records: Batch) -> Response:
        """Add records to a list. Repeats the request while a new list is not found."""
        return retry_until_ready(
            lambda: self._api.change_records(list_id, records, operation="ADD"),
            self._api.client,
            list_id=list_id,
            is_early=lambda error: error.status == 404,
        )

    def _build_list(
        self, audience_name: str, job: str, fingerprint: str, *, list_type: str, started: Iterable[CustomerList]
    ) -> "ListToFill":
        """Return the oldest of the `started` lists that is reusable, else a new one, to be filled."""
        earlier = find_oldest(filter(self._is_reusable, started))
        name = f"{self._list_name_prefix(audience_name)}{job} {fingerprint})"
        return ListToFill(lists=self, name=name, list_type=list_type, id=earlier.id if earlier else "")

    def _is_reusable(self, made: CustomerList) -> bool:
        """Return whether this run may fill the list: it is not known to have other members."""
        return made.id not in self._abandoned

    def _list_name_prefix(self, audience_name: str) -> str:
        return f"{audience_name[:_AUDIENCE_NAME_CHARACTERS]} (td {self._session_key} "

    def _is_of_session(self, customer_list: CustomerList) -> bool:
        """Return whether the name of a list contains this session's key."""
        name = _LIST_NAME.search(customer_list.name)
        return name is not None and name["session"] == self._session_key

    def _find_session_lists(self, audience_name: str) -> list[CustomerList]:
        """Return this session's lists for the audience that no other audience uses."""
        prefix = self._list_name_prefix(audience_name)
        own = self._exclude_used_lists(
            listed
            for listed in self._api.list_customer_lists()
            if listed.name.startswith(prefix) and self._is_of_session(listed)
        )
        self._made.update(customer_list.id for customer_list in own)
        return own

    def _exclude_used_lists(self, lists: Iterable[CustomerList]) -> list[CustomerList]:
        """Return the lists that no other audience uses."""
        candidates = list(lists)
        if not candidates:
            return []
        in_use = {
            audience.customer_list_id
            for audience in self._api.list_audiences()
            if audience.id != self._audience_id and audience.name != self._audience_name
        }
        return [candidate for candidate in candidates if candidate.id not in in_use]


@dataclass(slots=True, kw_only=True)
class ListToFill:
    """A customer list to fill or to leave empty. `id`: "" until this try or an earlier one creates it.

    `is_shared`: somebody may have added other people to it. Several threads may call `put`.
    """

    lists: CustomerLists
    name: str
    list_type: str
    id: str
    is_shared: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, records: Batch) -> Response | None:
        """Add records, or create the list with them and return None, since the latency is unknown then."""
        lost = False
        with self._lock:
            if not self.id:
                created = self.lists.create(self.name, self.list_type, records)
                self.id, lost = created.thing.id, created.lost
                if created.answered:
                    return None
        # Also if the list was found: the request that created it may have had other records.
        try:
            return self.lists.add(self.id, records)
        except ExportError as error:
            error.maybe_applied = error.maybe_applied or lost
            raise

    def create_empty(self) -> None:
        """Create the list without records, unless it exists.

        Where Pinterest demands records, the list gets one digest that belongs to nobody.
        """
        if self.id:
            return
        try:
            created = self.lists.create(self.name, self.list_type, None)
        except RequestRefusedError as error:
            if error.status != 400:
                raise
            log.info(
                "Pinterest requires records in a new customer list: this list gets a digest that belongs to nobody"
            )
            # Made of the name: a second run of this task computes the same digest and the same name.
            nobody = hashlib.sha256(f"nobody in {self.name}".encode()).digest()
            name = self.name.removesuffix(f"{fingerprint()})") + f"{fingerprint([nobody])})"
            created = self.lists.create(name, self.list_type, Digests(nobody))
        self.id = created.thing.id


def find_list(api: Api, audience: Audience) -> CustomerList | None:
    """Return the customer list of an audience, None without one. A new list may only be found in the listing."""
    list_id = audience.customer_list_id
    if list_id is None:
        return None
    same = (listed for listed in api.list_customer_lists() if listed.id == list_id)
    return api.find_customer_list(list_id) or next(same, None)


def initial_record_count(customer_list: CustomerList) -> int | None:
    """Return how many records (0 or 1) a list that was meant to be empty was created with, None for others."""
    name = _LIST_NAME.search(customer_list.name)
    if name is None or name["job"] != _NO_JOB:
        return None
    # The name of a list that had to be created with a digest has the fingerprint of that one.
    return 0 if name["fingerprint"] == fingerprint() else 1


def job_id_of(customer_list: CustomerList | None) -> int | None:
    """Return the job id in the name of a list that this operator created, None for any other list."""
    origin = parse_list_name(customer_list.name) if customer_list else None
    return int(origin[1]) if origin and origin[1] else None


def parse_list_name(list_name: str) -> tuple[str, str | None] | None:
    """Return the session key and the job id (or None) in a list name of this operator, None for other names."""
    name = _LIST_NAME.search(list_name)
    return (name["session"], name["job"] if name["job"].isdecimal() else None) if name else None
