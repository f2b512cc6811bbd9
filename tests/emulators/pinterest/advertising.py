"""Campaigns and ad groups, and what they target: added by tests, only read by the API."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.pinterest.accounts import AD_ACCOUNT_ID

STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED", "DRAFT", "DELETED_DRAFT")
# Of any of what is here, in epoch seconds.
_MADE = 1_700_000_000


@dataclass(kw_only=True)
class AdvertisingEntity:
    """A campaign, ad group, targeting template or customer segment. `fields`: those that its kind has besides."""

    id: str
    ad_account_id: str
    name: str
    status: str = "ACTIVE"
    fields: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the entity as the API shows it."""
        times = {"created_time": _MADE, "updated_time": _MADE}
        shown = {"id": self.id, "ad_account_id": self.ad_account_id, "name": self.name, "status": self.status} | times
        return shown | self.fields


class Advertising:
    """The advertising entities of all ad accounts. Ids come from `new_id`."""

    def __init__(self, *, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self.campaigns: dict[str, AdvertisingEntity] = {}
        self.ad_groups: dict[str, AdvertisingEntity] = {}
        self.templates: dict[str, AdvertisingEntity] = {}
        self.segments: dict[str, AdvertisingEntity] = {}

    def add_campaign(self, name: str, *, status: str = "ACTIVE", ad_account_id: str = AD_ACCOUNT_ID) -> str:
        """Add a campaign; returns its id."""
        fields = {"objective_type": "AWARENESS", "summary_status": "RUNNING", "type": "campaign"}
        return self._add(self.campaigns, name, status, ad_account_id, fields)

    def add_ad_group(
        self,
        name: str,
        *,
        campaign_id: str,
        status: str = "ACTIVE",
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        template_id: str | None = None,
        segment_id: str | None = None,
        ad_account_id: str = AD_ACCOUNT_ID,
    ) -> str:
        """Add an ad group; returns its id. With a template it has no targeting of its own."""
        fields: dict[str, Any] = {
            "campaign_id": campaign_id,
            "billable_event": "IMPRESSION",
            "conversion_learning_mode_type": None,
            "summary_status": "RUNNING",
            "type": "adgroup",
            "targeting_template_ids": [template_id] if template_id else None,
            "targeting_spec": None if template_id else _spec(include, exclude),
        } | ({"customer_segment_id": segment_id} if segment_id else {})
        return self._add(self.ad_groups, name, status, ad_account_id, fields)

    def add_template(self, name: str, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> str:
        """Add a targeting template; returns its id."""
        fields = {"targeting_attributes": _spec(include, exclude), "sizing": None, "valid": True}
        return self._add(self.templates, name, "ACTIVE", AD_ACCOUNT_ID, fields)

    def add_segment(self, name: str, *, audience_ids: Sequence[str]) -> str:
        """Add a customer segment; returns its id."""
        return self._add(self.segments, name, "ACTIVE", AD_ACCOUNT_ID, {"audience_ids": list(audience_ids)})

    def _add(
        self, kind: dict[str, AdvertisingEntity], name: str, status: str, ad_account_id: str, fields: Mapping[str, Any]
    ) -> str:
        entity = AdvertisingEntity(
            id=self._new_id(), ad_account_id=ad_account_id, name=name, status=status, fields=dict(fields)
        )
        kind[entity.id] = entity
        return entity.id


def _spec(include: Sequence[str], exclude: Sequence[str]) -> dict[str, Any]:
    # What is not used is left out or null: one of each here.
    included = {"AUDIENCE_INCLUDE": list(include)} if include else {}
    return {"LOCATION": ["US"], "AUDIENCE_EXCLUDE": list(exclude) or None} | included
