"""Which ad groups use an audience: what ends with a deletion or an emptying that nobody meant.

Source: API description 5.28.0. No filter by audience exists, so all ad groups are listed. One names audiences in its
targeting_spec, in its targeting template or through its customer segment. Audience ids are meant, whatever the
description's text says.
"""

from __future__ import annotations

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
# As many as one request may ask for.
_MOST_CAMPAIGNS = 250
_FORBIDDEN = 403
_LONGEST_NAME = 100
ROLES = "OWNER, ADMIN, ANALYST or CAMPAIGN_MANAGER"
# Statuses of ad groups that deliver, or may again. Stated, since a default may change.
_LIVE = ("ACTIVE", "PAUSED")
_ALL_CAMPAIGNS = ("ACTIVE", "PAUSED", "ARCHIVED", "DRAFT")
# "0" clears a template or a segment.
_NONE = ("", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An ad group that uses an audience. `how`: "includes" or "excludes", and through what.

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
        """Whether it delivers, whatever its campaign's status."""
        return self.status.upper() == "ACTIVE"

    def __str__(self) -> str:
        campaign = f' "{_short(self.campaign_name)}"' if self.campaign_name else ""
        return f'"{_short(self.name)}" ({self.id}) of campaign{campaign} {self.campaign_id}'.rstrip()


def find_uses(api: Api, audience_id: str) -> list[Use] | None:
    """The ad groups, ACTIVE or PAUSED, that include or exclude an audience, the active ones first.

    None: the token may not read them, their templates or their segments. Raises what the API raises else.
    """
    try:
        all_uses = list(_uses(api, audience_id))
    except ExportError as error:
        if error.status != _FORBIDDEN:
            raise
        return None
    all_uses.sort(key=lambda use: not use.is_active)
    names = _campaigns(api, {use.campaign_id for use in all_uses[:_MOST_CAMPAIGNS]})
    return [replace(use, campaign_name=names.get(use.campaign_id, "")) for use in all_uses]


def require_unused(api: Api, audience: Audience) -> None:
    """Raises AudienceError that names the active ad groups which use the audience, and what the API raises.

    Logs one warning if the token may not read them.
    """
    known = find_uses(api, audience.id)
    if known is None:
        log.warning(
            "the token may not read ad groups, templates or segments (403): whether any of them uses %s is not known. "
            "To have it looked after, have a role granted that may read campaigns: %s",
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


def _uses(api: Api, audience_id: str) -> Iterator[Use]:
    templates: Mapping[str, str] | None = None
    segments: frozenset[str] | None = None
    for group in api.list_entities("ad_groups", entity_statuses=_LIVE):
        template_ids = _ids(group.get("targeting_template_ids")) - set(_NONE)
        segment_id = to_text(group.get("customer_segment_id"))
        how = _how(group.get("targeting_spec"), audience_id)
        # Of most accounts no ad group has either: they are listed only if one does.
        if not how and template_ids:
            templates = _templates(api, audience_id) if templates is None else templates
            how = next((f"{templates[id_]} by template {id_}" for id_ in template_ids & templates.keys()), None)
        if not how and segment_id not in _NONE:
            segments = _segments(api, audience_id) if segments is None else segments
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


def _templates(api: Api, audience_id: str) -> dict[str, str]:
    """The targeting templates that name an audience, with what they do."""
    done = {
        to_text(content["id"]): _how(content.get("targeting_attributes"), audience_id)
        for content in api.list_entities("targeting_templates")
    }
    return {id_: how for id_, how in done.items() if how}


def _segments(api: Api, audience_id: str) -> frozenset[str]:
    """The customer segments that an audience is in."""
    segments = api.list_entities("customer_segments")
    return frozenset(to_text(segment["id"]) for segment in segments if audience_id in _ids(segment.get("audience_ids")))


def _how(spec: Any, audience_id: str) -> str | None:
    """What a targeting does with an audience."""
    targeting = spec if isinstance(spec, dict) else {}
    if audience_id in _ids(targeting.get("AUDIENCE_INCLUDE")):
        return "includes"
    return "excludes" if audience_id in _ids(targeting.get("AUDIENCE_EXCLUDE")) else None


def _ids(value: object) -> frozenset[str]:
    return frozenset(map(to_text, value)) if isinstance(value, list) else frozenset()


def _campaigns(api: Api, campaign_ids: set[str]) -> dict[str, str]:
    """The names; none if the token may not read campaigns."""
    if not campaign_ids:
        return {}
    try:
        campaigns = api.list_entities("campaigns", campaign_ids=sorted(campaign_ids), entity_statuses=_ALL_CAMPAIGNS)
        return {to_text(content["id"]): to_text(content.get("name")) for content in campaigns}
    except ExportError as error:
        if error.status != _FORBIDDEN:
            raise
        return {}


def _short(name: str) -> str:
    return escape(name)[:_LONGEST_NAME]
