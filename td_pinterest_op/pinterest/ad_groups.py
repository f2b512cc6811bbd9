"""The calls of Pinterest's API v5 that show what ad groups target: no filter by audience exists, all are listed.

Source: API description 5.28.0. An ad group names audiences in its targeting_spec, in its targeting template or through
its customer segment. Audience ids are meant, whatever the description's text says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.content import text_of

# Statuses of ad groups that deliver, or may again. Stated, since a default may change.
_LIVE = ("ACTIVE", "PAUSED")
_ALL_CAMPAIGNS = ("ACTIVE", "PAUSED", "ARCHIVED", "DRAFT")
# "0" clears a template or a segment.
_NONE = ("", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdGroup:
    """An ad group. `included` and `excluded`: the ids of audiences in its own targeting."""

    id: str
    name: str
    status: str
    campaign_id: str
    included: frozenset[str]
    excluded: frozenset[str]
    template_ids: frozenset[str]
    segment_id: str | None


def ad_groups(api: Api) -> Iterator[AdGroup]:
    """All that are ACTIVE or PAUSED, over all pages. Raises the client's errors and PinterestError."""
    return map(_ad_group, api.listed("ad_groups", entity_statuses=_LIVE))


def template_audiences(api: Api) -> Iterator[tuple[str, frozenset[str], frozenset[str]]]:
    """Of each targeting template the id, and the audiences that it includes and excludes."""
    for content in api.listed("targeting_templates"):
        yield (text_of(content["id"]), *_targeted(content.get("targeting_attributes")))


def segment_audiences(api: Api) -> Iterator[tuple[str, frozenset[str]]]:
    """Of each customer segment the id, and its audiences."""
    for content in api.listed("customer_segments"):
        yield text_of(content["id"]), _ids(content.get("audience_ids"))


def campaign_names(api: Api, campaign_ids: Iterable[str]) -> dict[str, str]:
    """The names of up to 250 campaigns by id."""
    campaigns = api.listed("campaigns", campaign_ids=sorted(campaign_ids), entity_statuses=_ALL_CAMPAIGNS)
    return {text_of(content["id"]): text_of(content.get("name")) for content in campaigns}


def _ad_group(content: dict[str, Any]) -> AdGroup:
    included, excluded = _targeted(content.get("targeting_spec"))
    segment_id = text_of(content.get("customer_segment_id"))
    return AdGroup(
        id=text_of(content["id"]),
        name=text_of(content.get("name")),
        status=text_of(content.get("status")),
        campaign_id=text_of(content.get("campaign_id")),
        included=included,
        excluded=excluded,
        template_ids=_ids(content.get("targeting_template_ids")) - set(_NONE),
        segment_id=None if segment_id in _NONE else segment_id,
    )


def _targeted(spec: object) -> tuple[frozenset[str], frozenset[str]]:
    given = spec if isinstance(spec, dict) else {}
    return _ids(given.get("AUDIENCE_INCLUDE")), _ids(given.get("AUDIENCE_EXCLUDE"))


def _ids(value: object) -> frozenset[str]:
    return frozenset(map(text_of, value)) if isinstance(value, list) else frozenset()
