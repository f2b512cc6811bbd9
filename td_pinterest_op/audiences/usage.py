"""Which ad groups use an audience: what ends with a deletion or an emptying that nobody meant."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from td_pinterest_op.errors import AudienceError, ExportError
from td_pinterest_op.pinterest.ad_groups import (
    AdGroup,
    ad_groups,
    campaign_names,
    segment_audiences,
    template_audiences,
)
from td_pinterest_op.pinterest.api import Api, Audience
from td_pinterest_op.printable import counted, escaped

log = logging.getLogger(__name__)

_NAMED = 10
# As many as one request may ask for.
_MOST_CAMPAIGNS = 250
_FORBIDDEN = 403
_LONGEST_NAME = 100
ROLES = "OWNER, ADMIN, ANALYST or CAMPAIGN_MANAGER"


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


def uses(api: Api, audience_id: str) -> list[Use] | None:
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


def refuse_used(api: Api, audience: Audience) -> None:
    """Raises AudienceError that names the active ad groups which use the audience, and what the API raises.

    Logs one warning if the token may not read them.
    """
    known = uses(api, audience.id)
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
            f"{audience.label} is used by {counted(len(active), 'active ad group')}: "
            f"{', '.join(map(str, active[:_NAMED]))}{more}. Nothing was changed. Pause them, take the audience out of "
            "their targeting, or set even_if_used: true"
        )


def _uses(api: Api, audience_id: str) -> Iterable[Use]:
    templates: Mapping[str, str] | None = None
    segments: frozenset[str] | None = None
    for group in ad_groups(api):
        # Of most accounts no ad group has either: they are listed only if one does.
        if group.template_ids and templates is None:
            templates = _templates(api, audience_id)
        if group.segment_id and segments is None:
            segments = frozenset(id_ for id_, audiences in segment_audiences(api) if audience_id in audiences)
        how = _how(group, audience_id, templates or {}, segments or frozenset())
        if how:
            yield Use(
                id=group.id,
                name=group.name,
                status=group.status,
                campaign_id=group.campaign_id,
                campaign_name="",
                how=how,
            )


def _templates(api: Api, audience_id: str) -> dict[str, str]:
    """The templates that name an audience, with what they do."""
    return {
        id_: "includes" if audience_id in included else "excludes"
        for id_, included, excluded in template_audiences(api)
        if audience_id in included | excluded
    }


def _how(group: AdGroup, audience_id: str, templates: Mapping[str, str], segments: frozenset[str]) -> str | None:
    if audience_id in group.included:
        return "includes"
    if audience_id in group.excluded:
        return "excludes"
    for template_id in group.template_ids & templates.keys():
        return f"{templates[template_id]} by template {template_id}"
    return f"includes by segment {group.segment_id}" if group.segment_id in segments else None


def _campaigns(api: Api, campaign_ids: set[str]) -> dict[str, str]:
    """The names; none if the token may not read campaigns."""
    try:
        return campaign_names(api, campaign_ids) if campaign_ids else {}
    except ExportError as error:
        if error.status != _FORBIDDEN:
            raise
        return {}


def _short(name: str) -> str:
    return escaped(name)[:_LONGEST_NAME]
