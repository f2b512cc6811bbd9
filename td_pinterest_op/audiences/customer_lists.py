"""Find, create and fill the customer lists of this operator, which it knows by their names."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from td_pinterest_op.audiences.consistency import create_once, repeat_until_list_is_ready, wait_out_listing_lag
from td_pinterest_op.audiences.list_name import ListName, parse_list_name
from td_pinterest_op.errors import ExportError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api, CustomerList, build_age_key
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.prepared import SINGLE_DIGEST_LAYOUT, Batch
from td_pinterest_op.redaction.secret import escape_for_message

log = logging.getLogger(__name__)


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
