"""The audiences that an action works on: found, checked, created once, removed, read back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from td_pinterest_op.audiences.create_once import created_once, oldest
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.errors import AudienceError, PinterestError, RequestRefusedError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Api, Audience

log = logging.getLogger(__name__)

# Statuses of an audience that was removed, where it can still be read. Not in the API description.
_REMOVED = frozenset({"REMOVED", "DELETED", "ARCHIVED"})
_READ_BACK = 5


class Audiences:
    """Those of one ad account. `lists` are this session's: by them it knows its own audiences.

    Methods raise AudienceError, as they say, and what the API raises.
    """

    def __init__(self, *, api: Api, ad_account_id: str, lists: CustomerLists, sleep: Callable[[float], None]) -> None:
        self._api, self._account, self._lists, self._sleep = api, ad_account_id, lists, sleep

    def usable(self, audience_id: str) -> Audience:
        """The audience, fit for an action on the list behind it. Raises AudienceError when it is not."""
        found = self._api.audience(audience_id)
        if found is None:
            raise AudienceError(f"there is no audience {audience_id} in ad account {self._account}: check both ids")
        self._check_type(found)
        if is_removed(found):
            raise AudienceError(f"{label(found)} was removed: create a new one (action create_new_audience)")
        if found.customer_list_id is None or self._api.customer_list(found.customer_list_id) is None:
            raise AudienceError(
                f"{label(found)} has no customer list behind it: it cannot take records; create a new one"
            )
        return found

    def removable(self, audience_id: str) -> Audience | None:
        """The audience, removed already or fit to be; None when it cannot be read. Raises AudienceError."""
        found = self._api.audience(audience_id)
        if found is not None and not is_removed(found):
            self._check_type(found)
        return found

    def with_name(self, name: str) -> list[Audience]:
        """All that have a name: Pinterest does not keep names apart."""
        return [audience for audience in self._api.audiences() if audience.name == name and not is_removed(audience)]

    def made_by_this_session(self, named: Iterable[Audience]) -> Audience | None:
        """The one that this session created, on a list of its own; of several, the oldest."""
        own = [audience for audience in named if self._made_by_this_session(audience)]
        return oldest(own) if own else None

    def create(self, name: str, *, description: str | None, list_id: str) -> Audience:
        """A new audience, or the one that an earlier try or a ghost of this task created."""
        return created_once(
            create=lambda: self._api.create_audience(name=name, description=description, customer_list_id=list_id),
            find=lambda: self.made_by_this_session(self.with_name(name)),
            retry=self._api.client.retry,
            sleep=self._sleep,
        )

    def remove_duplicates(self, kept: Audience) -> None:
        """A ghost of this task may have created the audience at the same moment: the one with the lower id stays."""
        for double in self.with_name(kept.name):
            if int(double.id) > int(kept.id) and self._made_by_this_session(double):
                log.warning("removing audience %s: %s was created for this session, too", double.id, kept.id)
                self.remove(double.id)

    def remove(self, audience_id: str) -> bool:
        """Remove an audience; False when Pinterest does not know it."""
        try:
            self._api.remove_audience(audience_id)
        except RequestRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    def confirm_list(self, audience_id: str, *, list_id: str, message: str) -> Audience:
        """The audience as it is now. Raises PinterestError, saying `message`, when another list is behind it."""
        waits = self._api.client.retry.waits()
        for attempt in range(_READ_BACK):
            if attempt:
                self._sleep(next(waits))
            audience = self._api.audience(audience_id)
            if audience and audience.customer_list_id == list_id:
                return audience
        raise PinterestError(message)

    def _made_by_this_session(self, audience: Audience) -> bool:
        return audience.customer_list_id is not None and self._lists.is_of_this_session(audience.customer_list_id)

    def _check_type(self, audience: Audience) -> None:
        if audience.audience_type != CUSTOMER_LIST:
            raise AudienceError(
                f"{label(audience)} is of type {audience.audience_type}: only {CUSTOMER_LIST} audiences hold records"
            )
        if audience.ad_account_id not in (None, self._account):
            raise AudienceError(
                f"{label(audience)} belongs to ad account {audience.ad_account_id}, not to {self._account}: "
                "it is shared with it, and only its owner's account can change it"
            )


def is_removed(audience: Audience) -> bool:
    return audience.status.upper() in _REMOVED


def label(audience: Audience) -> str:
    """An audience as messages name it."""
    return f'audience {audience.id} "{audience.name}"'
