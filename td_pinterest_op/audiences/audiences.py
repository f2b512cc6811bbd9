"""The audiences that an action works on: found, checked, created, moved, removed, read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from td_pinterest_op.audiences.create_once import PATIENCE, once_ready
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.errors import AudienceError, PinterestError, RequestRefusedError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.content import CUSTOMER_LIST, Audience

# A create or a move that is refused with one of these may succeed once Pinterest has finished with the list. The client
# itself repeats what meets a 409 or 423.
_NOT_READY = (400, 404)

_T = TypeVar("_T")


class Audiences:
    """The audiences of one ad account. `lists` tells which ones this session made.

    Methods raise AudienceError, as they say, and what the API raises.
    """

    def __init__(self, *, api: Api, lists: CustomerLists) -> None:
        self._api, self._lists = api, lists

    def usable(self, audience_id: str) -> Audience:
        """The audience, fit for an action on the list behind it. Raises AudienceError when it is not."""
        audience = self._api.audience(audience_id)
        if audience is None:
            raise AudienceError(
                f"there is no audience {audience_id} in ad account {self._api.ad_account_id}: check both ids"
            )
        self._check_type(audience)
        if audience.is_removed:
            raise AudienceError(f"{audience.label} was removed: create a new one (action create_new_audience)")
        if audience.customer_list_id is None or self._lists.find(audience.customer_list_id) is None:
            raise AudienceError(
                f"{audience.label} has no customer list behind it: it cannot take records; create a new one"
            )
        return audience

    def removable(self, audience_id: str) -> Audience | None:
        """The audience, removed already or fit to be; None when it cannot be read. Raises AudienceError."""
        audience = self._api.audience(audience_id)
        if audience is not None and not audience.is_removed:
            self._check_type(audience)
        return audience

    def with_name(self, name: str) -> list[Audience]:
        """All audiences with a name: Pinterest lets several have the same."""
        return [audience for audience in self._api.audiences() if audience.name == name and not audience.is_removed]

    def is_of_this_session(self, audience: Audience) -> bool:
        """Whether this session created it, on a list of its own."""
        return audience.customer_list_id is not None and self._lists.is_of_this_session(audience.customer_list_id)

    def create(self, name: str, *, description: str | None, list_id: str) -> Audience:
        """Create an audience on a list that may have been made a moment ago. See `Api.create_audience`."""
        return self._once_ready(
            list_id, lambda: self._api.create_audience(name=name, description=description, customer_list_id=list_id)
        )

    def remove(self, audience_id: str) -> bool:
        """Remove an audience; False when Pinterest does not know it."""
        try:
            self._api.remove_audience(audience_id)
        except RequestRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    def move(self, audience_id: str, *, list_id: str) -> None:
        """Ask Pinterest to put a list behind an audience."""
        self._once_ready(list_id, lambda: self._api.move_audience(audience_id, customer_list_id=list_id))

    def confirm_list(self, audience_id: str, *, list_id: str) -> Audience:
        """The audience as it is now, with that list behind it.

        Waits for as long as the retry settings allow, at least half a minute: reads may lag behind writes.
        Raises PinterestError when another list is still seen behind it.
        """
        client = self._api.client
        for wait in (*client.retry.waits_for(PATIENCE), None):
            audience = self._api.audience(audience_id)
            if audience and audience.customer_list_id == list_id:
                return audience
            if wait is not None:
                client.rate_limiter.wait(wait)
        seen = f"customer list {audience.customer_list_id} was behind it" if audience else "it was not found"
        raise PinterestError(
            f"Pinterest accepted customer list {list_id} for audience {audience_id}, but at the last look {seen}: the "
            "change may still show"
        )

    def _once_ready(self, list_id: str, request: Callable[[], _T]) -> _T:
        return once_ready(
            request,
            self._api.client,
            list_id=list_id,
            is_early=lambda error: error.status in _NOT_READY and self._lists.is_settling(list_id),
        )

    def _check_type(self, audience: Audience) -> None:
        if audience.audience_type != CUSTOMER_LIST:
            raise AudienceError(
                f"{audience.label} is of type {audience.audience_type}: only {CUSTOMER_LIST} audiences hold records"
            )
        if audience.ad_account_id not in (None, self._api.ad_account_id):
            raise AudienceError(
                f"{audience.label} belongs to ad account {audience.ad_account_id}, not to {self._api.ad_account_id}: "
                "it is shared with it, and only its owner's account can change it"
            )
