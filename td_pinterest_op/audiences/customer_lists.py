"""Name, find, create and fill the customer lists of this operator.

Their names are `{audience name} (td {session key} {job id} {fingerprint})`. By the name, a rerun of the same workflow
session recognises its own lists, whatever step the earlier try stopped after, and so does a second run of the same task
(digdag is at-least-once).
"""

import hashlib
import logging
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from td_pinterest_op.audiences.create_once import (
    CreateResult,
    age_key,
    create_once,
    find_oldest,
    retry_until_ready,
    wait_for_consistency,
)
from td_pinterest_op.errors import ExportError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api, Audience, CustomerList
from td_pinterest_op.records.prepared import Batch, PreparedRecords, compute_fingerprint
from td_pinterest_op.records.rows import SINGLE_DIGEST
from td_pinterest_op.redaction.format import escape, format_label

log = logging.getLogger(__name__)

# In place of the job id, in the name of a list that is created empty, and of one whose rows are from a file.
_NO_JOB, _FILE = "-", "file"
_LIST_NAME = re.compile(r" \(td (?P<session>[0-9a-f]{8}) (?P<job>[0-9]{1,40}|file|-) (?P<fingerprint>[0-9a-f]{8})\)$")
# A list's name may have 255 characters; 55 of them follow the audience's name.
_AUDIENCE_NAME_CHARACTERS = 200


class ListName(NamedTuple):
    """The part in brackets of a customer list's name: session key, job and fingerprint of the records."""

    session: str
    job: str
    fingerprint: str

    @property
    def job_id(self) -> str | None:
        """The id of the job whose rows were put into the list, or None for a list without a job."""
        return self.job if self.job.isdecimal() else None

    @property
    def initial_count(self) -> int | None:
        """The number of records (0 or 1) in a list that was created empty, or None for any other list."""
        if self.job != _NO_JOB:
            return None
        # The name of a list that had to be created with a digest has the fingerprint of that digest.
        return 0 if self.fingerprint == compute_fingerprint() else 1


def parse_list_name(list_name: str) -> ListName | None:
    """Return the part in brackets of a list's name, or None if this operator did not name the list."""
    match = _LIST_NAME.search(list_name)
    return ListName(**match.groupdict()) if match else None


@dataclass(kw_only=True)
class CustomerLists:
    """The customer lists that one workflow session created for the audience with this id or name.

    Audiences may share a name, so a list's name alone does not identify its audience. A list that another audience uses
    is never filled, since both audiences would get its people. Methods raise what the API raises.
    """

    api: Api
    session_key: str
    audience_id: str | None
    audience_name: str | None
    is_nca: bool
    _created_ids: set[str] = field(init=False, default_factory=set)  # of lists of this session
    _abandoned_ids: set[str] = field(init=False, default_factory=set)  # of lists that may have other members, too

    def find_or_name_list(
        self, audience_name: str, prepared: PreparedRecords, *, job_id: str | None, used: str | None, is_exact: bool
    ) -> "ListToFill":
        """Return the list to fill: the one that an earlier try of this session made for the same records, or a new one.

        Other records (of a corrected query, say) need a list of their own, or it would have both. The fingerprint
        distinguishes them, whatever job they come from. Without records, a list of any try that is still empty will do.

        `used`: the list that the audience uses now. Somebody may have added people to that list or an earlier one: if
        `is_exact`, a list is taken only if Pinterest counts no more records in it than `prepared` has.
        """
        is_empty = not prepared.unique_count
        prepared, job = (PreparedRecords(), _NO_JOB) if is_empty else (prepared, job_id or _FILE)
        started = {
            made: prepared.upload_count if name.initial_count is None else name.initial_count
            for made, name in self._find_session_lists(audience_name).items()
            if is_empty == (name.job == _NO_JOB) and (is_empty or name.fingerprint == prepared.fingerprint)
        }
        # Others may have added people to a list that was in use. Lists newer than the one in use never were.
        in_use = {made: own for made, own in started.items() if used and age_key(made) <= (len(used), used)}
        shared = {made.id for made, own in in_use.items() if self._may_exceed(made, limit=own)}
        if is_exact:
            self._abandoned_ids |= shared
        earlier = find_oldest(made for made in started if made.id not in self._abandoned_ids)
        name = f"{self._build_name_prefix(audience_name)}{job} {prepared.fingerprint})"
        list_id, list_type = earlier.id if earlier else "", prepared.list_type
        return ListToFill(lists=self, name=name, list_type=list_type, id=list_id, is_shared=list_id in shared)

    def _build_name_prefix(self, audience_name: str) -> str:
        """Return the beginning of the names of this session's lists for an audience."""
        return f"{audience_name[:_AUDIENCE_NAME_CHARACTERS]} (td {self.session_key} "

    def _find_session_lists(self, audience_name: str) -> dict[CustomerList, ListName]:
        """Return this session's lists for the audience, without those that another audience uses."""
        prefix = self._build_name_prefix(audience_name)
        named = {
            listed: name
            for listed in self.api.list_customer_lists()
            if listed.name.startswith(prefix) and (name := self._parse_own_name(listed))
        }
        own = {listed: named[listed] for listed in self._exclude_used_lists(named)}
        self._created_ids.update(listed.id for listed in own)
        return own

    def _parse_own_name(self, customer_list: CustomerList) -> ListName | None:
        """Return a list's parsed name, or None if this session did not create the list."""
        name = parse_list_name(customer_list.name)
        return name if name and name.session == self.session_key else None

    def _exclude_used_lists(self, lists: Collection[CustomerList]) -> list[CustomerList]:
        """Return the lists that no other audience uses."""
        if not lists:
            return []
        in_use = {
            audience.customer_list_id
            for audience in self.api.list_audiences()
            if audience.id != self.audience_id and audience.name != self.audience_name
        }
        return [customer_list for customer_list in lists if customer_list.id not in in_use]

    def is_empty(self, audience: Audience) -> bool:
        """Return whether the audience uses a list that was created empty and is still empty.

        Waits until counters show the people who were added before this run.
        """
        used = find_list(self.api, audience)
        name = parse_list_name(used.name) if used else None
        if not used or not name or name.initial_count is None or self._may_exceed(used, limit=name.initial_count):
            return False
        wait_for_consistency(self.api.client)
        return not self._may_exceed(used, limit=name.initial_count)

    def _may_exceed(self, customer_list: CustomerList, *, limit: int) -> bool:
        """Return False only if Pinterest counts at most `limit` records in the list. Without a count, return True."""
        read = self.api.find_customer_list(customer_list.id)
        listed = (listed for listed in self.api.list_customer_lists() if listed.id == customer_list.id)
        counts = [seen.uploaded for seen in (customer_list, read, *listed) if seen and seen.uploaded is not None]
        return not counts or max(counts) > limit

    def is_of_this_session(self, audience: Audience) -> bool:
        """Return whether this workflow session created the audience's list."""
        if audience.customer_list_id not in self._created_ids:
            customer_list = find_list(self.api, audience)
            if customer_list is None or not self._parse_own_name(customer_list):
                return False
            self._created_ids.add(customer_list.id)
        return True

    def create(self, name: str, list_type: str, records: Batch | None) -> CreateResult[CustomerList]:
        """Create a list with its first records, or return the list of that name from an earlier try."""

        def find_earlier_list() -> CustomerList | None:
            """Return the oldest list with the name that an earlier try created, or None."""
            listed = self.api.list_customer_lists()
            named = [made for made in listed if made.name == name and made.id not in self._abandoned_ids]
            return find_oldest(self._exclude_used_lists(named))

        api = self.api
        wait_for_consistency(api.client)
        create = partial(api.create_customer_list, name=name, list_type=list_type, records=records, is_nca=self.is_nca)
        if earlier := find_earlier_list():
            created = CreateResult(entity=earlier, answered=False, lost=False)
        else:
            divisible = records is not None and len(records) > 1
            created = create_once(create=create, find=find_earlier_list, client=api.client, divisible=divisible)
        self._created_ids.add(created.entity.id)
        log.info("%s", format_label("customer list", created.entity.id, name))
        return created

    def add(self, list_id: str, records: Batch) -> Response:
        """Add records to a list. The request is repeated while Pinterest does not find the new list."""
        request = partial(self.api.change_records, list_id, records, operation="ADD")
        client = self.api.client
        return retry_until_ready(request, client, list_id=list_id, is_not_ready=lambda error: error.status == 404)


@dataclass(slots=True, kw_only=True)
class ListToFill:
    """A customer list to fill or to leave empty. `id`: its id on Pinterest, or "" until it is created.

    `is_shared`: somebody may have added other people to it. Several threads may call `add`.
    """

    lists: CustomerLists
    name: str
    list_type: str
    id: str
    is_shared: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def description(self) -> str:
        """The plan's text for the list: whether it is created, or continued from an earlier try."""
        if self.id:
            return f"continue with customer list {self.id} of this session's earlier try"
        return f'create customer list "{escape(self.name)}"'

    def add(self, records: Batch) -> Response | None:
        """Add records to the list, and return the response, or None if the request created the list with them."""
        lost = False
        with self._lock:
            if not self.id:
                created = self.lists.create(self.name, self.list_type, records)
                self.id, lost = created.entity.id, created.lost
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
                "Pinterest refuses a customer list without records: the new list gets one digest that belongs to nobody"
            )
            # Made of the name: a second run of this task computes the same digest and the same name.
            nobody = hashlib.sha256(f"nobody in {self.name}".encode()).digest()
            name = self.name.removesuffix(f"{compute_fingerprint()})") + f"{compute_fingerprint([nobody])})"
            created = self.lists.create(name, self.list_type, Batch([(SINGLE_DIGEST, nobody)]))
        self.id = created.entity.id


def find_list(api: Api, audience: Audience) -> CustomerList | None:
    """Return the customer list that an audience uses, or None. A new list may be found only in Pinterest's listing."""
    list_id = audience.customer_list_id
    if list_id is None:
        return None
    same = (listed for listed in api.list_customer_lists() if listed.id == list_id)
    return api.find_customer_list(list_id) or next(same, None)
