"""Look-alike audiences: people who resemble those of a seed audience."""

from __future__ import annotations

from td_pinterest_op.audiences.audiences import Audiences, is_removed, label
from td_pinterest_op.audiences.create_once import created_once
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.api import ACTALIKE, Api, Audience
from td_pinterest_op.settings.parse import Settings

_READY, _TOO_SMALL = "READY", "TOO_SMALL"
# Below this, the API description calls a list and an audience TOO_SMALL.
_SMALLEST_SEED = 100


class Actalikes(Audiences):
    """The look-alike audiences of one ad account.

    A rerun knows a customer-list audience of its session by the list behind it. A look-alike audience has none, so its
    description ends with the session key.
    """

    def __init__(self, *, api: Api, lists: CustomerLists, session_key: str, settings: Settings) -> None:
        super().__init__(api=api, lists=lists)
        self._mark, self._wanted = f"(td {session_key})", settings

    def check_seed(self) -> None:
        """Raises AudienceError, with the reason, for a seed audience that Pinterest cannot work with (yet)."""
        seed_id = self._wanted.seed_audience_id or ""
        seed = self._api.audience(seed_id)
        if seed is None or is_removed(seed):
            raise AudienceError(
                f"there is no seed audience {seed_id} in ad account {self._api.ad_account_id}: check both ids"
            )
        # The status first: the size of an audience that Pinterest still fills says nothing.
        if seed.status.upper() != _READY:
            why = (
                f"an audience of fewer than {_SMALLEST_SEED} matched people has no look-alikes; add people to it"
                if seed.status.upper() == _TOO_SMALL
                else "Pinterest takes a day or two to fill an audience; run this task again then"
            )
            raise AudienceError(
                f"seed {label(seed)} has the status {seed.status or 'unknown'}, not {_READY}: {why}. "
                "Nothing was created"
            )
        if seed.size is not None and seed.size < _SMALLEST_SEED:
            raise AudienceError(
                f"seed {label(seed)} has {seed.size} people, fewer than {_SMALLEST_SEED}: too few to find others like "
                "them. Nothing was created"
            )

    @property
    def says(self) -> str:
        """The creation, as a plan states it."""
        return (
            f'create audience "{self._wanted.audience_name}": the {self._wanted.percentage} % of the people in '
            f"{self._wanted.country} who are most like audience {self._wanted.seed_audience_id}"
        )

    def create_actalike(self) -> Audience:
        """The new audience, or the one that another run of this task created."""
        created = created_once(
            create=self._create,
            find=lambda: self.made_by_this_session(self.with_name(self._wanted.audience_name or "")),
            client=self._api.client,
        )
        self._created_in_doubt = created.lost
        return created.thing

    def _create(self) -> Audience:
        return self._api.create_actalike_audience(
            name=self._wanted.audience_name or "",
            description=" ".join(filter(None, (self._wanted.audience_description, self._mark))),
            seed_audience_id=self._wanted.seed_audience_id or "",
            country=self._wanted.country or "",
            percentage=self._wanted.percentage or 0,
        )

    def _is_own(self, audience: Audience) -> bool:
        return audience.audience_type == ACTALIKE and audience.description.endswith(self._mark)
