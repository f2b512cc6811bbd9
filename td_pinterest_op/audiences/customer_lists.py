"""Name, find, create and fill the customer lists of this operator.

Their names are `{audience name} (td {session key} {job id} {fingerprint})`. By the name, a rerun of a workflow session,
or a second run of its task (digdag is at-least-once), recognises the session's lists.
"""

import hashlib
import logging
import re
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from td_pinterest_op.audiences.create_once import age_key, create_once, repeat_until_list_is_ready, wait_for_consistency
from td_pinterest_op.errors import ExportError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api, Audience, CustomerList
from td_pinterest_op.records.prepared import Batch, PreparedRecords, compute_fingerprint
from td_pinterest_op.records.rows import SINGLE_DIGEST
from td_pinterest_op.redaction.secret import escape

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
        """The number of dummy records (0 or 1) with which an empty list was created, or None for a list with people."""
        if self.job != _NO_JOB:
            return None
        # The name of a list that had to be created with a digest has the fingerprint of that digest.
        return 0 if self.fingerprint == compute_fingerprint() else 1


def parse_list_name(list_name: str) -> ListName | None:
    """Return the session, job and fingerprint in a list's name, or None if this operator did not name the list."""
    match = _LIST_NAME.search(list_name)
    return ListName(**match.groupdict()) if match else None


def get_list_name(customer_list: CustomerList | None) -> ListName | None:
    """Return the parsed name of a customer list, or None without a list or if this operator did not name it."""
    return parse_list_name(customer_list.name) if customer_list else None


@dataclass(kw_only=True)
class CustomerLists:
    """The customer lists that one workflow session created for one audience. A new audience has no id yet.

    Since audiences may share a name, a list that another audience uses is never filled. Methods raise API errors.
    """

    api: Api
    session_key: str
    audience_id: str | None
    audience_name: str | None
    is_nca: bool
    created_ids: set[str] = field(init=False, default_factory=set)  # of lists that this run created
    _abandoned_ids: set[str] = field(init=False, default_factory=set)  # of lists to which others added people

    def find_or_name_list(
        self,
        audience_name: str,
        prepared: PreparedRecords,
        *,
        job_id: str | None,
        current_list_id: str | None,
        is_exact: bool,
    ) -> "TargetList":
        """Return the list to fill: one that an earlier try of this session made for the same records, or a new one.

        The fingerprint in a list's name tells for which records it was made. Without records, any list that is still
        empty will do. `is_exact`: do not return an earlier list to which others may have added people.
        """
        is_empty = not prepared.record_count
        prepared, job = (PreparedRecords(), _NO_JOB) if is_empty else (prepared, job_id or _FILE)
        prefix = f"{audience_name[:_AUDIENCE_NAME_CHARACTERS]} (td {self.session_key} "
        fingerprint = prepared.fingerprint
        started = {
            made: prepared.upload_count if name.initial_count is None else name.initial_count
            for made in self._find_fillable_lists(prefix)
            if (name := self._parse_own_list_name(made))
            and (name.job == _NO_JOB if is_empty else name.fingerprint == fingerprint)
        }
        # Lists newer than the one in use never were in use.
        shared = {
            made.id
            for made, own in started.items()
            if current_list_id
            and age_key(made) <= (len(current_list_id), current_list_id)
            and self._may_exceed(made, limit=own, is_final=is_exact and made.id == current_list_id)
        }
        if is_exact or is_empty:
            self._abandoned_ids |= shared
        left = [made for made in started if made.id not in self._abandoned_ids]
        earlier = min(left, key=lambda made: (made.id != current_list_id, age_key(made)), default=None)
        list_id, name_to_create = earlier.id if earlier else "", f"{prefix}{job} {fingerprint})"
        return TargetList(
            lists=self, name=name_to_create, list_type=prepared.list_type, id=list_id, is_shared=list_id in shared
        )

    def _find_fillable_lists(self, name_prefix: str) -> list[CustomerList]:
        """Return lists with this prefix that the run may fill: those not in other use, and not given up."""
        named = [listed for listed in self.api.list_customer_lists() if listed.name.startswith(name_prefix)]
        if not named:
            return []
        in_use = {
            audience.customer_list_id
            for audience in self.api.list_audiences()
            if audience.id != self.audience_id and audience.name != self.audience_name
        }
        return [listed for listed in named if listed.id not in in_use | self._abandoned_ids]

    def _parse_own_list_name(self, customer_list: CustomerList) -> ListName | None:
        """Return the parts of a customer list's name, or None if this session did not create the list."""
        name = get_list_name(customer_list)
        return name if name and name.session == self.session_key else None

    def is_empty(self, audience: Audience) -> bool:
        """Return whether the audience uses a list that was created empty and is still empty."""
        used = find_list(self.api, audience)
        name = get_list_name(used)
        if not used or not name or name.initial_count is None:
            return False
        return not self._may_exceed(used, limit=name.initial_count, is_final=True)

    def _may_exceed(self, customer_list: CustomerList, *, limit: int, is_final: bool) -> bool:
        """Return whether the list may have more than `limit` records. Also True if Pinterest gives no count.

        `is_final`: before it returns False, wait until Pinterest's counters include all that was added before this run.
        """
        read = self.api.find_customer_list(customer_list.id)
        listed = (listed for listed in self.api.list_customer_lists() if listed.id == customer_list.id)
        counts = [seen.uploaded for seen in (customer_list, read, *listed) if seen and seen.uploaded is not None]
        may_exceed = not counts or max(counts) > limit
        if may_exceed or not is_final:
            return may_exceed
        wait_for_consistency(self.api.client)
        return self._may_exceed(customer_list, limit=limit, is_final=False)

    def is_of_this_session(self, audience: Audience) -> bool:
        """Return whether this workflow session created the audience's list."""
        if audience.customer_list_id in self.created_ids:  # which reads may not show yet
            return True
        used = find_list(self.api, audience)
        return used is not None and self._parse_own_list_name(used) is not None

    def create(self, name: str, list_type: str, records: Batch | None) -> CustomerList:
        """Create a list with its first records (or None), or return the list of that name from an earlier request."""

        def create_list() -> CustomerList:
            """Create the list with its first records, and store its id in `created_ids`."""
            made = api.create_customer_list(name=name, list_type=list_type, records=records, is_nca=self.is_nca)
            self.created_ids.add(made.id)
            return made

        def find_earlier_list() -> CustomerList | None:
            """Return the oldest list that has the new list's name and that an earlier request created, or None."""
            named = (listed for listed in self._find_fillable_lists(name) if listed.name == name)
            return min(named, key=age_key, default=None)

        api, has_several_records = self.api, records is not None and len(records) > 1
        wait_for_consistency(api.client)
        made = find_earlier_list()
        if made is None:
            made, _ = create_once(
                create=create_list, find=find_earlier_list, client=api.client, has_several_records=has_several_records
            )
        log.info('using customer list %s "%s"', made.id, escape(name))
        return made

    def add(self, list_id: str, records: Batch) -> Response:
        """Add records to a customer list. Returns the response.

        While Pinterest does not find the list, which may be new, the request is repeated, for a limited time.
        """
        request = partial(self.api.change_records, list_id, records, operation="ADD")
        return repeat_until_list_is_ready(request, self.api, list_id=list_id, sends_records=True)


@dataclass(slots=True, kw_only=True)
class TargetList:
    """A customer list that a run fills, or creates empty. `is_shared`: somebody else may have added people to the list.

    `id`: "" until it is created. Several threads may call `add`.
    """

    lists: CustomerLists
    name: str
    list_type: str
    id: str
    is_shared: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, records: Batch) -> Response | None:
        """Add records, or create a missing list with them. Returns the response, or None if the list was created."""
        with self._lock:
            if is_new := not self.id:
                self.id = self.lists.create(self.name, self.list_type, records).id
                if self.id in self.lists.created_ids:
                    return None
        # Also if the list was found: the request that created it may have had these records, or others.
        try:
            return self.lists.add(self.id, records)
        except ExportError as error:
            error.maybe_applied = error.maybe_applied or is_new
            raise

    def create_empty(self) -> None:
        """Create the list if it does not exist: empty, or with a single dummy record if Pinterest requires records."""
        if self.id:
            return
        try:
            made = self.lists.create(self.name, self.list_type, None)
        except RequestRefusedError as error:
            if error.status != 400 or error.is_read:
                raise
            log.info(
                "Pinterest refuses a customer list without records: the new list gets one digest that belongs to nobody"
            )
            # Made of the name: a second run of this task computes the same digest and the same name.
            nobody = hashlib.sha256(f"nobody in {self.name}".encode("utf-8", "surrogatepass")).digest()
            name = self.name.removesuffix(f"{compute_fingerprint()})") + f"{compute_fingerprint([nobody])})"
            made = self.lists.create(name, self.list_type, Batch([(SINGLE_DIGEST, nobody)]))
        self.id = made.id


def find_list(api: Api, audience: Audience) -> CustomerList | None:
    """Return the customer list that an audience uses, or None. Searches the listing if a read by id finds no list."""
    list_id = audience.customer_list_id
    if list_id is None:
        return None
    same = (listed for listed in api.list_customer_lists() if listed.id == list_id)
    return api.find_customer_list(list_id) or next(same, None)
