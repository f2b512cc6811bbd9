"""The audiences that an action works on: found, checked, created, moved, removed, read back.

And the one audience of a name that a session creates, whatever is killed, lost or late on the way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from td_pinterest_op.audiences.create_once import (
    PATIENCE,
    age_key,
    create_once,
    poll_for,
    retry_until_ready,
    wait_for_consistency,
)
from td_pinterest_op.audiences.customer_lists import find_list
from td_pinterest_op.errors import AudienceError, PinterestError, RequestRefusedError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.models import CUSTOMER_LIST, Audience

# A create or a move that is refused with one of these may succeed once Pinterest has finished with the list. The client
# itself repeats what meets a 409 or 423.
_NOT_READY = (400, 404)
_SETTLING = ("PROCESSING", "UPLOADING")
# Seconds between the creations of two sessions that did not see each other, at most.
_AT_ONCE = 3600.0

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Audiences:
    """The audiences of one ad account. Methods raise AudienceError, as they say, and what the API raises."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def find_usable(self, audience_id: str) -> Audience:
        """The audience, fit for an action on the list behind it. Raises AudienceError when it is not."""
        audience = self.api.audience(audience_id)
        if audience is None:
            raise AudienceError(
                f"there is no audience {audience_id} in ad account {self.api.ad_account_id}: check both ids"
            )
        self._check_type(audience)
        if audience.is_removed:
            raise AudienceError(f"{audience.label} was removed: create a new one (action create_new_audience)")
        if find_list(self.api, audience) is None:
            raise AudienceError(
                f"{audience.label} has no customer list behind it: it cannot take records; create a new one"
            )
        return audience

    def find_removable(self, audience_id: str) -> Audience | None:
        """The audience, removed already or fit to be; None when it cannot be read. Raises AudienceError."""
        audience = self.api.audience(audience_id)
        if audience is not None and not audience.is_removed:
            self._check_type(audience)
        return audience

    def find_by_name(self, name: str) -> list[Audience]:
        """All audiences with a name: Pinterest lets several have the same."""
        return [audience for audience in self.api.audiences() if audience.name == name and not audience.is_removed]

    def create(self, name: str, *, description: str | None, list_id: str) -> Audience:
        """Create an audience on a list that may have been made a moment ago. See `Api.create_audience`."""
        return self._once_ready(
            list_id, lambda: self.api.create_audience(name=name, description=description, customer_list_id=list_id)
        )

    def remove(self, audience_id: str) -> bool:
        """Remove an audience; False when Pinterest does not know it."""
        try:
            self.api.remove_audience(audience_id)
        except RequestRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    def switch_list(self, audience_id: str, *, list_id: str) -> None:
        """Ask Pinterest to put a list behind an audience."""
        self._once_ready(list_id, lambda: self.api.switch_audience(audience_id, customer_list_id=list_id))

    def confirm_list(self, audience_id: str, *, list_id: str) -> Audience:
        """The audience as it is now, with that list behind it.

        Waits for as long as the retry settings allow, at least half a minute: reads may lag behind writes.
        Raises PinterestError when another list is still seen behind it.
        """
        client = self.api.client
        for wait in (*client.retry.waits_for(PATIENCE), None):
            audience = self.api.audience(audience_id)
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
        def is_early(error: RequestRefusedError) -> bool:
            """Whether Pinterest has not finished with the list: it cannot be found yet, or it is being processed."""
            if error.status not in _NOT_READY:
                return False
            customer_list = self.api.customer_list(list_id)
            return customer_list is None or customer_list.status.upper() in _SETTLING

        return retry_until_ready(request, self.api.client, list_id=list_id, is_early=is_early)

    def _check_type(self, audience: Audience) -> None:
        if audience.audience_type != CUSTOMER_LIST:
            raise AudienceError(
                f"{audience.label} is of type {audience.audience_type}: only {CUSTOMER_LIST} audiences hold records"
            )
        if audience.ad_account_id not in (None, self.api.ad_account_id):
            raise AudienceError(
                f"{audience.label} belongs to ad account {audience.ad_account_id}, not to {self.api.ad_account_id}: "
                "it is shared with it, and only its owner's account can change it"
            )


class NewAudience:
    """An audience that a session creates, or has created.

    `is_own` tells an audience of this session. Those of one session are doubles: the oldest stays. Of two sessions that
    created audiences of one name at once, the older one keeps its own. `taken` is the message for the other.

    Methods raise what the API raises.
    """

    def __init__(
        self,
        name: str,
        *,
        audiences: Audiences,
        is_own: Callable[[Audience], bool],
        taken: Callable[[Audience], str],
    ) -> None:
        self._name, self._audiences, self._client = name, audiences, audiences.api.client
        self._is_own, self._taken = is_own, taken
        self._in_doubt = False

    def named(self) -> tuple[Sequence[Audience], Audience | None]:
        """The audiences of other sessions that have the name, the oldest first, and the one that this session made."""
        others, own = self._split_by_session(self._audiences.find_by_name(self._name))
        return others, own[0] if own else None

    def wait_for_consistency(self) -> None:
        """Wait until `named` knows of all that was made before this run."""
        wait_for_consistency(self._client)

    def create(self, create: Callable[[], Audience]) -> Audience:
        """Create it; returns the one that stays. Raises AudienceError when that is another session's."""
        created = create_once(create=create, find=lambda: self.named()[1], client=self._client)
        self._in_doubt = created.lost
        return self._settled(created.thing, is_rival=lambda _: True)

    def resume(self, own: Audience) -> Audience:
        """The one that stays, after an earlier try that made `own`. Raises AudienceError as `create`."""
        self.wait_for_consistency()
        return self._settled(own, is_rival=lambda other: _at_once(other, own))

    def remove_late_doubles(self) -> None:
        """Remove doubles that show late. There can be some if the response to a request was lost."""
        if self._in_doubt:
            self._keep_oldest(self._split_by_session(self._audiences.find_by_name(self._name))[1])

    def _settled(self, audience: Audience, *, is_rival: Callable[[Audience], bool]) -> Audience:
        # A listing that shows it shows every older one as well.
        named = self._listed_with(audience) or poll_for(lambda: self._listed_with(audience), self._client) or []
        others, own = self._split_by_session(named)
        rival = next((other for other in others if age_key(other) < age_key(audience) and is_rival(other)), None)
        if rival:
            for made in own:
                log.warning("removing audience %s: another session created one of the same name first", made.id)
                self._audiences.remove(made.id)
            raise AudienceError(self._taken(rival))
        self._keep_oldest(own)
        return own[0] if own else audience

    def _listed_with(self, audience: Audience) -> list[Audience] | None:
        named = self._audiences.find_by_name(self._name)
        return named if any(other.id == audience.id for other in named) else None

    def _split_by_session(self, named: Sequence[Audience]) -> tuple[list[Audience], list[Audience]]:
        """Those of other sessions, and those of this one, the oldest first."""
        own = sorted(filter(self._is_own, named), key=age_key)
        return sorted((audience for audience in named if audience not in own), key=age_key), own

    def _keep_oldest(self, own: Sequence[Audience]) -> None:
        for double in own[1:]:
            log.warning("removing audience %s: %s was created for this session, too", double.id, own[0].id)
            self._audiences.remove(double.id)


def _at_once(audience: Audience, other: Audience) -> bool:
    """Whether they were created so close to each other that neither session saw the other's audience."""
    known = audience.created is not None and other.created is not None
    return known and abs((audience.created or 0) - (other.created or 0)) <= _AT_ONCE
