"""Name, find, create and fill the customer lists of this operator.

Their names are `{audience name} (td {session key} {jobs} {fingerprint})`: for which workflow session, by which Treasure
Data jobs and of which records a list was made. By its name, a rerun of a session, or a second run of its task (digdag
is at-least-once), finds the list that another try has begun, and a run knows whether a list is newer than its own.
"""

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from td_pinterest_op.audiences.audiences import create_once, repeat_until_list_is_ready, wait_for_consistency
from td_pinterest_op.errors import ExportError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api, CustomerList, age_key
from td_pinterest_op.records.prepared import Batch, compute_fingerprint
from td_pinterest_op.records.rows import SINGLE_DIGEST
from td_pinterest_op.redaction.secret import escape

log = logging.getLogger(__name__)

NO_JOB = "-"
"""In place of the job ids, in the name of a list for which no query was asked."""
FILE = "file"
"""In place of the people's job id, in the name of a list whose people are from a file."""
_LIST_NAME = re.compile(
    r"(?P<audience>.*) \(td (?P<session>[0-9a-f]{8}) "
    r"(?P<jobs>(?:[0-9]{1,40}|file|-)(?:\+[0-9]{1,40})?) (?P<fingerprint>[0-9a-f]{8})\)",
    re.DOTALL,
)
# A list's name may have 255 characters; 55 of them follow the audience's name.
_AUDIENCE_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ListName:
    """The parts of a customer list's name.

    `jobs`: the id of the people's job and, after a plus sign, of the last job of an opt-out or consent list, such as
    "1000002", "1000002+1000007" or "file+1000007", or NO_JOB. `fingerprint`: of the records.
    """

    audience: str  # the audience's name, shortened
    session: str
    jobs: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.audience} (td {self.session} {self.jobs} {self.fingerprint})"

    @property
    def dummy_digest(self) -> bytes:
        """A digest that belongs to nobody, for an empty list that Pinterest only creates with a record.

        Made of the name: a second run of the task computes the same digest, and so the same name.
        """
        empty = replace(self, fingerprint=compute_fingerprint())
        return hashlib.sha256(f"nobody in {empty}".encode("utf-8", "surrogatepass")).digest()

    @property
    def initial_count(self) -> int | None:
        """The number of dummy records (0 or 1) with which an empty list was created, or None for a list with people."""
        counts = {compute_fingerprint(): 0, compute_fingerprint([self.dummy_digest]): 1}
        return counts.get(self.fingerprint)

    def has_newer_jobs(self, other: "ListName") -> bool | None:
        """Whether the jobs of this list are newer than another list's. None if they are equal or not comparable."""
        ids = self.jobs.split("+")
        other_ids = other.jobs.split("+")
        if self.jobs == other.jobs or NO_JOB in (*ids, *other_ids) or (FILE in ids) != (FILE in other_ids):
            return None
        return [int(id_) for id_ in ids if id_ != FILE] > [int(id_) for id_ in other_ids if id_ != FILE]


def shorten_audience_name(name: str) -> str:
    """Return the part of an audience's name with which the names of its lists begin."""
    return name[:_AUDIENCE_NAME_CHARACTERS]


def parse_list_name(list_name: str) -> ListName | None:
    """Return the parts of a list's name, or None if this operator did not name the list."""
    match = _LIST_NAME.fullmatch(list_name)
    return ListName(**match.groupdict()) if match else None


def get_list_name(customer_list: CustomerList | None) -> ListName | None:
    """Return the parsed name of a customer list, or None without a list or if this operator did not name it."""
    return parse_list_name(customer_list.name) if customer_list else None


@dataclass(slots=True, kw_only=True)
class TargetList:
    """A customer list that a run fills, or creates empty. `id`: "" until it is found or created.

    Several threads may call `add` once the first call has ended: a sender begins with one request.
    """

    api: Api
    name: ListName
    list_type: str
    is_nca: bool
    id: str = ""
    created_ids: set[str]  # of the lists that this run created; those of all its targets

    def add(self, records: Batch) -> Response | None:
        """Add records, or create a missing list with them. Returns the response, or None if the list was created."""
        is_new = not self.id
        if is_new:
            self._find_or_create(records)
            if self.id in self.created_ids:
                return None
        # Also if the list was found: the request that created it may have had these records, or others.
        request = partial(self.api.change_records, self.id, records, operation="ADD")
        try:
            # A 404 may be due to a new list, a 400 to the records.
            return repeat_until_list_is_ready(request, self.api.client, statuses=(404,))
        except ExportError as error:
            error.maybe_applied = error.maybe_applied or is_new
            raise

    def create_empty(self) -> None:
        """Create the list: empty, or with a single dummy record if Pinterest requires records."""
        try:
            self._find_or_create(None)
        except RequestRefusedError as error:
            if error.status != 400 or error.is_read:
                raise
            log.info(
                "Pinterest refuses a customer list without records: the new list gets one digest that belongs to nobody"
            )
            nobody = self.name.dummy_digest
            self.name = replace(self.name, fingerprint=compute_fingerprint([nobody]))
            self._find_or_create(Batch([(SINGLE_DIGEST, nobody)]))

    def _find_or_create(self, records: Batch | None) -> None:
        """Set `id` to that of a new list with its first records, or of one that another try of the run has begun."""
        api = self.api

        def create() -> CustomerList:
            """Create the list with its first records, and store its id."""
            created = api.create_customer_list(
                name=str(self.name), list_type=self.list_type, records=records, is_nca=self.is_nca
            )
            self.created_ids.add(created.id)
            return created

        wait_for_consistency(api.client)
        made = self._find_unfinished()
        if made is None:
            made = create_once(create=create, find=self._find_unfinished, client=api.client)
            try:
                made = self._find_unfinished() or made  # a second run may have created it at the same time
            except ExportError as error:
                error.maybe_applied = True  # the list has the records
                raise
        log.info('using customer list %s "%s"', made.id, escape(made.name))
        self.id = made.id

    def _find_unfinished(self) -> CustomerList | None:
        """Return the list of this name that another try of the run has begun to fill, or None.

        No list of ours for the audience's name is younger, and no audience uses it: somebody may have added people to
        a list that is or was in use. Of several, it is the oldest: two runs at once find the same one.
        """
        own_lists = find_own_lists(self.api, self.name.audience)
        named = list(takewhile(lambda made: made.name == str(self.name), own_lists))
        if not named:
            return None
        used_ids = {audience.customer_list_id for audience in self.api.list_audiences()}
        unused = list(takewhile(lambda made: made.id not in used_ids, named))
        return unused[-1] if unused else None


def find_own_lists(api: Api, audience_name: str) -> list[CustomerList]:
    """Return the customer lists that this operator made for audiences of a (shortened) name, the youngest first."""
    own = []
    for made in api.list_customer_lists():
        name = get_list_name(made)
        if name and name.audience == audience_name:
            own.append(made)
    return sorted(own, key=lambda made: age_key(made.id), reverse=True)
