"""Find the ad groups that use an audience, and would stop delivering if it were deleted or emptied by mistake.

Source: API description 5.28.0. It has no filter by audience, so all ad groups are listed. An ad group names audiences
in its targeting_spec, its targeting template or its customer segment: by their ids, whatever the description says.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from td_pinterest_op.errors import AudienceError, ExportError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.models import Audience, to_text
from td_pinterest_op.redaction.format import escape, format_count

log = logging.getLogger(__name__)

_NAMED = 10
# The most that one request may name.
_MOST_CAMPAIGNS = 250
_FORBIDDEN = 403
_LONGEST_NAME = 100
ROLES = "OWNER, ADMIN, ANALYST or CAMPAIGN_MANAGER"
# Statuses of ad groups that deliver, or may again. Sent explicitly, since a default may change.
_LIVE = ("ACTIVE", "PAUSED")
_ALL_CAMPAIGNS = ("ACTIVE", "PAUSED", "ARCHIVED", "DRAFT")
# "0" clears a template or a segment.
_NONE = ("", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An ad group that uses an audience. `how`: "includes" or "excludes", and by which template or segment.

    `campaign_name` is "" if it is not known.
    """

    id: str
    name: str
    status: str
    campaign_id: str
    campaign_name: str
    how: str

    @property
    def is_active(self) -> bool:
        """Whether the ad group is active. Its campaign may not be."""
        return self.status.upper() == "ACTIVE"

    def __str__(self) -> str:
        campaign = f' "{_shorten_name(self.campaign_name)}"' if self.campaign_name else ""
        return f'"{_shorten_name(self.name)}" ({self.id}) of campaign{campaign} {self.campaign_id}'.rstrip()


def find_uses(api: Api, audience_id: str) -> list[Use] | None:
    """Return the ad groups, ACTIVE or PAUSED, that include or exclude an audience, the active ones first.

    None: the token may not read ad groups, templates or segments. Raises any other error of the API.
    """
    try:
        all_uses = list(_iterate_uses(api, audience_id))
    except ExportError as error:
        if error.status != _FORBIDDEN:
            raise
        return None
    all_uses.sort(key=lambda use: not use.is_active)
    names = _read_campaign_names(api, {use.campaign_id for use in all_uses[:_MOST_CAMPAIGNS]})
    return [replace(use, campaign_name=names.get(use.campaign_id, "")) for use in all_uses]


def require_unused(api: Api, audience: Audience) -> None:
    """Raise AudienceError if active ad groups use the audience. The message names them.

    Logs a warning if the token may not read ad groups.
    """
    known = find_uses(api, audience.id)
    if known is None:
        log.warning(
            "could not check whether ad groups, templates or segments use %s: the token may not read them (403). To "
            "enable the check, ask the owner of the ad account for a role that can read campaigns: %s",
            audience.label,
            ROLES,
        )
        return
    active = [use for use in known if use.is_active]
    if active:
        more = f", and {len(active) - _NAMED} more" if len(active) > _NAMED else ""
        raise AudienceError(
            f"{audience.label} is used by {format_count(len(active), 'active ad group')}: "
            f"{', '.join(map(str, active[:_NAMED]))}{more}. Nothing was changed. Pause them, take the audience out of "
            "their targeting, or set even_if_used: true"
        )


def _iterate_uses(api: Api, audience_id: str) -> Iterator[Use]:
    """Yield the ad groups that include or exclude an audience, without the names of their campaigns."""
    templates: Mapping[str, str] | None = None
    segments: frozenset[str] | None = None
    for group in api.list_entities("ad_groups", entity_statuses=_LIVE):
        template_ids = _read_ids(group.get("targeting_template_ids")) - set(_NONE)
        segment_id = to_text(group.get("customer_segment_id"))
        how = _usage_of(group.get("targeting_spec"), audience_id)
        # Most accounts have neither, so they are listed only if an ad group has one.
        if not how and template_ids:
            templates = _find_templates(api, audience_id) if templates is None else templates
            how = next((f"{templates[id_]} by template {id_}" for id_ in template_ids & templates.keys()), None)
        if not how and segment_id not in _NONE:
            segments = _find_segments(api, audience_id) if segments is None else segments
            how = f"includes by segment {segment_id}" if segment_id in segments else None
        if how:
            yield Use(
                id=to_text(group["id"]),
                name=to_text(group.get("name")),
                status=to_text(group.get("status")),
                campaign_id=to_text(group.get("campaign_id")),
                campaign_name="",
                how=how,
            )


def _find_templates(api: Api, audience_id: str) -> dict[str, str]:
    """Return "includes" or "excludes" by the id of each targeting template that names an audience."""
    templates = {
        to_text(content["id"]): _usage_of(content.get("targeting_attributes"), audience_id)
        for content in api.list_entities("targeting_templates")
    }
    return {id_: how for id_, how in templates.items() if how}


def _find_segments(api: Api, audience_id: str) -> frozenset[str]:
    """Return the ids of the customer segments that contain an audience."""
    segments = api.list_entities("customer_segments")
    return frozenset(
        to_text(segment["id"]) for segment in segments if audience_id in _read_ids(segment.get("audience_ids"))
    )


def _usage_of(spec: Any, audience_id: str) -> str | None:
    """Return "includes" or "excludes" if a targeting spec names an audience, else None."""
    targeting = spec if isinstance(spec, dict) else {}
    if audience_id in _read_ids(targeting.get("AUDIENCE_INCLUDE")):
        return "includes"
    return "excludes" if audience_id in _read_ids(targeting.get("AUDIENCE_EXCLUDE")) else None


def _read_ids(value: object) -> frozenset[str]:
    """Return the ids in a list of a response, none if it is not a list."""
    return frozenset(map(to_text, value)) if isinstance(value, list) else frozenset()


def _read_campaign_names(api: Api, campaign_ids: set[str]) -> dict[str, str]:
    """Return the campaigns' names by id, none if the token may not read campaigns."""
    if not campaign_ids:
        return {}
    try:
        campaigns = api.list_entities("campaigns", campaign_ids=sorted(campaign_ids), entity_statuses=_ALL_CAMPAIGNS)
        return {to_text(content["id"]): to_text(content.get("name")) for content in campaigns}
    except ExportError as error:
        if error.status != _FORBIDDEN:
            raise
        return {}


def _shorten_name(name: str) -> str:
    return escape(name)[:_LONGEST_NAME]
