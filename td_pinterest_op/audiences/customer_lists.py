"""Name, find, create and fill the customer lists of this operator.

By their names, `{audience name} (td {session key} {jobs} {fingerprint} {records})`, a rerun of a session, or a second
run of its task (digdag is at-least-once), finds the list that another try has begun, and a run knows whether a list is
newer than its own. Version 0.5 did not write the number of records.
"""

import hashlib
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from td_pinterest_op.audiences.consistency import create_once, repeat_until_list_is_ready, wait_out_listing_lag
from td_pinterest_op.errors import ExportError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api, CustomerList, build_age_key
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.prepared import SINGLE_DIGEST_LAYOUT, Batch, compute_fingerprint
from td_pinterest_op.redaction.secret import escape_for_message

log = logging.getLogger(__name__)

NO_JOB_MARK = "-"
"""Replaces the job ids in the name of a list for which no query ran."""
_LIST_NAME_PATTERN = re.compile(
    r"(?P<audience>.*) \(td (?P<session>[0-9a-f]{8}) "
    r"(?P<jobs>(?:[0-9]{1,40}|-)(?:\+[0-9]{1,40})?) (?P<fingerprint>[0-9a-f]{8})(?: (?P<records>[0-9]{1,12}))?\)",
    re.DOTALL,
)
# A list's name may have 255 characters; 65 of them follow the audience's name.
_LONGEST_AUDIENCE_PART = 190
_NAME_HASH_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class ListName:
    """The parts of a list's name.

    `jobs`: the id of the job that selected the people and, after a plus sign, of the last job of an opt-out or consent
    list. Examples: "1000002", "1000002+1000007", and NO_JOB_MARK for no query.
    """

    audience: str
    session: str  # the key of the digdag session, eight hex digits
    jobs: str
    fingerprint: str  # a hash of the list's records, eight hex digits
    records: int | None  # how many records the list was made for; None in a name of version 0.5

    def __str__(self) -> str:
        records = "" if self.records is None else f" {self.records}"
        return f"{self.audience} (td {self.session} {self.jobs} {self.fingerprint}{records})"

    @property
    def dummy_record_count(self) -> int | None:
        """How many records an empty list was created with: 0, or 1 that is nobody's. None for a list with people."""
        if self.fingerprint != compute_fingerprint():
            return None
        return self.records or 0

    def has_newer_jobs(self, other: "ListName") -> bool | None:
        """Whether the job ids here are greater than those in `other`. None if equal or not comparable."""
        ids = self.jobs.split("+")
        other_ids = other.jobs.split("+")
        if self.jobs == other.jobs or NO_JOB_MARK in (*ids, *other_ids):
            return None
        return list(map(int, ids)) > list(map(int, other_ids))


def shorten_for_list_name(name: str) -> str:
    """Return an audience's name as in its lists' names: a long one is cut, and its hash follows."""
    if len(name) <= _LONGEST_AUDIENCE_PART:
        return name
    whole = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_NAME_HASH_DIGITS]
    return f"{name[: _LONGEST_AUDIENCE_PART - _NAME_HASH_DIGITS - 1]} {whole}"


def parse_list_name(customer_list: CustomerList | None) -> ListName | None:
    """Return the parts of a list's name, or None if there is no list or this operator did not name it."""
    match = _LIST_NAME_PATTERN.fullmatch(customer_list.name) if customer_list else None
    if not match:
        return None
    parts = match.groupdict()
    records = parts.pop("records")
    return ListName(**parts, records=None if records is None else int(records))


@dataclass(kw_only=True)
class TargetList:
    """A customer list that a run fills with records, or creates empty.

    Several threads may call `add` once a call has succeeded: until then a sender sends one request at a time.
    """

    api: Api
    name: ListName
    list_type: str
    is_nca: bool
    older_id: str | None  # the audience's list; None without an audience
    begins: float  # the earliest begin of the session, in seconds since 1970
    id: str = ""  # "" until the list is found or created
    created_ids: set[str]  # all lists that this run created

    def add(self, records: Batch) -> Response | None:
        """Add a batch of records. Returns the response, or None if these records created the list."""
        is_new = not self.id
        if is_new:
            self._find_or_create(records)
            if self.id in self.created_ids:
                return None
        # Also if the list was found: the request that created it may have had these records, or others.
        request = partial(self.api.change_records, self.id, records, operation="ADD")
        try:
            # A 404 may be due to a new list, a 400 to the records.
            return repeat_until_list_is_ready(request, self.api.client, is_unready=lambda error: error.status == 404)
        except ExportError as error:
            error.maybe_applied = error.maybe_applied or is_new
            raise

    def ensure_created_empty(self) -> None:
        """Find or create the list: empty, or with a single dummy record if Pinterest requires records."""
        try:
            self._find_or_create(None)
        except RequestRefusedError as error:
            if error.status != 400 or error.is_read:
                raise
            log.info(
                "Pinterest refuses a customer list without records: the new list gets one digest that belongs to nobody"
            )
            self.name = replace(self.name, records=1)
            self._find_or_create(Batch([(SINGLE_DIGEST_LAYOUT, secrets.token_bytes(DIGEST_BYTES))]))

    def _find_or_create(self, records: Batch | None) -> None:
        """Find the list that an interrupted run began, or create it with `records`, and store its `id`."""
        api = self.api

        def create() -> CustomerList:
            created = api.create_customer_list(
                name=str(self.name), list_type=self.list_type, records=records, is_nca=self.is_nca
            )
            self.created_ids.add(created.id)
            return created

        wait_out_listing_lag(api.client)
        made = None
        if self.older_id is None:
            # An earlier try's list may have been used by an audience that is removed now, and have somebody else's
            # people: only lists that are made from now on count as this run's.
            newest = api.list_customer_lists(until=lambda _: True)
            self.older_id = max((made.id for made in newest), key=build_age_key, default="")
        else:
            made = self._find_unfinished_list()
        if made is None:
            made = create_once(create=create, find_created=self._find_unfinished_list, client=api.client)
            try:
                made = self._find_unfinished_list() or made  # a second run may have created it at the same time
            except ExportError as error:
                error.maybe_applied = True  # the list has the records
                raise
        log.info('using customer list %s "%s"', made.id, escape_for_message(made.name))
        self.id = made.id

    def _find_unfinished_list(self) -> CustomerList | None:
        """Return the list with this name that an interrupted run of the task began to fill, or None.

        It is younger than the list that the audience used, and the youngest that was made for the audience's name.
        Lists that an audience uses do not count: somebody may have added people to them. Of several, returns the
        oldest, which two runs at once both find.
        """
        own_lists = find_own_lists(self.api, self.name.audience, self._is_too_old)
        named = list(takewhile(lambda made: made.name == str(self.name), own_lists))
        if not named:
            return None
        used_ids = {each.customer_list_id for each in self.api.list_audiences()}
        unused = list(takewhile(lambda made: made.id not in used_ids, named))
        return unused[-1] if unused else None

    def _is_too_old(self, made: CustomerList) -> bool:
        is_older = build_age_key(made.id) <= build_age_key(self.older_id or "")
        return is_older or (made.created is not None and made.created < self.begins)


def find_own_lists(api: Api, audience_name: str, is_too_old: Callable[[CustomerList], bool]) -> list[CustomerList]:
    """Return the customer lists that this operator made for audiences of a name, the youngest first.

    `audience_name`: as `shorten_for_list_name` returns it.
    """
    own = []
    for made in api.list_customer_lists(until=is_too_old):
        name = parse_list_name(made)
        if name and name.audience == audience_name and not is_too_old(made):
            own.append(made)
    return sorted(own, key=lambda made: build_age_key(made.id), reverse=True)
