"""The one audience of a name that a session creates, whatever is killed, lost or late on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.audiences.create_once import age, created_once, let_earlier_work_show, look_for
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.content import Audience

log = logging.getLogger(__name__)

# Seconds between the creations of two sessions that did not see each other, at most.
_AT_ONCE = 3600.0


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
        client: Client,
        is_own: Callable[[Audience], bool],
        taken: Callable[[Audience], str],
    ) -> None:
        self._name, self._audiences, self._client = name, audiences, client
        self._is_own, self._taken = is_own, taken
        self._in_doubt = False

    def named(self) -> tuple[Sequence[Audience], Audience | None]:
        """The audiences of other sessions that have the name, the oldest first, and the one that this session made."""
        others, own = self._parted(self._audiences.with_name(self._name))
        return others, own[0] if own else None

    def let_earlier_work_show(self) -> None:
        """Wait until `named` knows of all that was made before this run."""
        let_earlier_work_show(self._client)

    def create(self, create: Callable[[], Audience]) -> Audience:
        """Create it; returns the one that stays. Raises AudienceError when that is another session's."""
        created = created_once(create=create, find=lambda: self.named()[1], client=self._client)
        self._in_doubt = created.lost
        return self._settled(created.thing, is_rival=lambda _: True)

    def go_on_with(self, own: Audience) -> Audience:
        """The one that stays, after an earlier try that made `own`. Raises AudienceError as `create`."""
        self.let_earlier_work_show()
        return self._settled(own, is_rival=lambda other: _at_once(other, own))

    def look_again(self) -> None:
        """Remove doubles that show late. There can be some if the response to a request was lost."""
        if self._in_doubt:
            self._keep_oldest(self._parted(self._audiences.with_name(self._name))[1])

    def _settled(self, audience: Audience, *, is_rival: Callable[[Audience], bool]) -> Audience:
        # A listing that shows it shows every older one as well.
        named = self._listed_with(audience) or look_for(lambda: self._listed_with(audience), self._client) or []
        others, own = self._parted(named)
        rival = next((other for other in others if age(other) < age(audience) and is_rival(other)), None)
        if rival:
            for made in own:
                log.warning("removing audience %s: another session created one of the same name first", made.id)
                self._audiences.remove(made.id)
            raise AudienceError(self._taken(rival))
        self._keep_oldest(own)
        return own[0] if own else audience

    def _listed_with(self, audience: Audience) -> list[Audience] | None:
        named = self._audiences.with_name(self._name)
        return named if any(other.id == audience.id for other in named) else None

    def _parted(self, named: Sequence[Audience]) -> tuple[list[Audience], list[Audience]]:
        """Those of other sessions, and those of this one, the oldest first."""
        own = sorted(filter(self._is_own, named), key=age)
        return sorted((audience for audience in named if audience not in own), key=age), own

    def _keep_oldest(self, own: Sequence[Audience]) -> None:
        for double in own[1:]:
            log.warning("removing audience %s: %s was created for this session, too", double.id, own[0].id)
            self._audiences.remove(double.id)


def _at_once(audience: Audience, other: Audience) -> bool:
    """Whether they were created so close to each other that neither session saw the other's audience."""
    known = audience.created is not None and other.created is not None
    return known and abs((audience.created or 0) - (other.created or 0)) <= _AT_ONCE
