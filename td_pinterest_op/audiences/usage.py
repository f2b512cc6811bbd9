"""Find the ad groups that use an audience, and would stop delivering if it were deleted or emptied by mistake.

Source: API description 5.28.0. It has no filter by audience, so all ad groups are listed. An ad group names audiences
in its targeting_spec, its targeting template or its customer segment: by their ids, whatever the description says.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from td_pinterest_op.errors import (
    NOTHING_CHANGED,
    AudienceError,
    ExportError,
)
from td_pinterest_op.pinterest.api import Api, Audience, parse_optional_field, parse_optional_id_field
from td_pinterest_op.redaction.secret import escape_and_quote
from td_pinterest_op.runtime.text import format_count

log = logging.getLogger(__name__)

_MOST_NAMED_AD_GROUPS = 10
_MOST_CAMPAIGNS_PER_REQUEST = 250
CAMPAIGN_READER_ROLES = "OWNER, ADMIN, ANALYST or CAMPAIGN_MANAGER"
"""The roles that may read ad groups."""
# The statuses of ad groups that deliver, or may again. Sent explicitly, since a default may change.
_LIVE_AD_GROUP_STATUSES = ("ACTIVE", "PAUSED")
_CAMPAIGN_STATUSES = ("ACTIVE", "PAUSED", "ARCHIVED", "DRAFT")


@dataclass(frozen=True, kw_only=True)
class AdGroup:
    """An ad group that uses an audience."""

    id: str
    name: str
    status: str
    campaign_id: str
    campaign_name: str = ""  # "" if it is not known
    how: str  # "includes" or "excludes", and the targeting template or segment that names the audience

    @property
    def is_active(self) -> bool:
        """Whether its status is ACTIVE. Its campaign may have another status."""
        return self.status.upper() == "ACTIVE"

    def __str__(self) -> str:
        campaign = f"{escape_and_quote(self.campaign_name)} " if self.campaign_name else ""
        return f"{escape_and_quote(self.name)} ({self.id}) of campaign {campaign}{self.campaign_id}".rstrip()


def find_ad_groups_using(api: Api, audience_id: str) -> list[AdGroup] | None:
    """Return the ad groups that use an audience, active ones first.

    Returns None if the token may not read all of them (403), and none that it can read is active.
    """
    denied: list[ExportError] = []

    def list_until_denied(kind: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield all entities of a `kind`, such as ad_groups, up to a 403, which is added to `denied`."""
        try:
            yield from api.list_entities(kind, **query)
        except ExportError as error:
            if error.status != 403:
                raise
            denied.append(error)

    uses = {
        ("segment", each["id"]): "includes"
        for each in list_until_denied("customer_segments")
        if audience_id in _parse_ids(each, "audience_ids")
    }
    for each in list_until_denied("targeting_templates"):
        uses["template", each["id"]] = _describe_use(
            parse_optional_field(each, "targeting_attributes", {}), audience_id
        )
    groups = []
    for group in list_until_denied("ad_groups", entity_statuses=_LIVE_AD_GROUP_STATUSES):
        how = _describe_use(parse_optional_field(group, "targeting_spec", {}), audience_id)
        sources = [("template", id_) for id_ in sorted(_parse_ids(group, "targeting_template_ids"))]
        sources.append(("segment", parse_optional_id_field(group, "customer_segment_id") or ""))
        for kind, id_ in sources:
            if not how and (use := uses.get((kind, id_))):
                how = f"{use} by {kind} {id_}"
        if how:
            texts = {key: parse_optional_field(group, key, "") for key in ("id", "name", "status", "campaign_id")}
            groups.append(AdGroup(**texts, how=how))
    groups.sort(key=lambda each: not each.is_active)
    if denied and not any(each.is_active for each in groups):
        return None
    ids = sorted({each.campaign_id for each in groups[:_MOST_CAMPAIGNS_PER_REQUEST]})
    campaigns = list_until_denied("campaigns", campaign_ids=ids, entity_statuses=_CAMPAIGN_STATUSES) if ids else ()
    names = {each["id"]: parse_optional_field(each, "name", "") for each in campaigns}
    return [replace(each, campaign_name=names.get(each.campaign_id, "")) for each in groups]


def require_unused(api: Api, audience: Audience) -> None:
    """Raise AudienceError if active ad groups use the audience. Logs a warning if the token may not read them."""
    groups = find_ad_groups_using(api, audience.id)
    if groups is None:
        log.warning(
            "could not check whether ad groups, templates or segments use %s: the token may not read them (403). To "
            "enable the check, ask the owner of the ad account for a role that can read campaigns: %s",
            audience.label,
            CAMPAIGN_READER_ROLES,
        )
        return
    active = [each for each in groups if each.is_active]
    if active:
        raise AudienceError(
            f"{audience.label} is used by {format_count(len(active), 'active ad group')}: "
            f"{', '.join(map(str, active[:_MOST_NAMED_AD_GROUPS]))}",
            sent=NOTHING_CHANGED,
            advice="Pause these ad groups, remove the audience from their targeting, or set even_if_used: true",
            subjects=[audience.subject],
        )


def _describe_use(spec: Mapping[str, Any], audience_id: str) -> str:
    if audience_id in _parse_ids(spec, "AUDIENCE_INCLUDE"):
        return "includes"
    return "excludes" if audience_id in _parse_ids(spec, "AUDIENCE_EXCLUDE") else ""


def _parse_ids(content: Mapping[str, Any], name: str) -> set[str]:
    return set(map(str, parse_optional_field(content, name, [])))
