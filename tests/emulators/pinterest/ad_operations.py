"""The listings of campaigns, ad groups, targeting templates and customer segments, as API 5.28.0 describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.emulators.pinterest import shapes, views
from tests.emulators.pinterest.advertising import STATUSES, Advertised, Advertising
from tests.emulators.pinterest.operations import Asked, Done, Operation
from tests.emulators.pinterest.refusals import invalid, not_permitted

# Roles that may read campaigns and their like. Pinterest's help says so; for ad groups the description is silent.
READERS = frozenset({"OWNER", "ADMIN", "ANALYST", "CAMPAIGN_MANAGER"})
_MOST_IDS = 250

_Check = Callable[[str], bool]
_PAGE: Mapping[str, _Check] = {name: shapes.LIST_QUERY[name] for name in ("page_size", "bookmark", "order")}
_FLAG = shapes.LIST_QUERY["exclude_nca"]
_OF_CAMPAIGNS: Mapping[str, _Check] = {**_PAGE, "campaign_ids": shapes.is_id, "entity_statuses": STATUSES.__contains__}
_OF_AD_GROUPS: Mapping[str, _Check] = {
    **_OF_CAMPAIGNS,
    "ad_group_ids": shapes.is_audience_id,
    "translate_interests_to_names": _FLAG,
}
_OF_OTHERS: Mapping[str, _Check] = {**_PAGE, "include_sizing": _FLAG, "search_query": bool}


def _listing(
    kind: Callable[[Advertising], Mapping[str, Advertised]], allowed: Mapping[str, _Check]
) -> Callable[[Asked], Done]:
    def carry_out(asked: Asked) -> Done:
        account = asked.world.account(asked.account_id, asked.user)
        if READERS.isdisjoint(account.roles.get(asked.user.id, ())):
            raise not_permitted()
        shapes.check_query(asked.query, allowed)
        wanted = _wanted(asked)
        held = (
            content
            for content in kind(asked.world.advertising).values()
            if content.ad_account_id == asked.account_id and wanted(content)
        )
        return Done(content=views.page(asked.world, held, asked.query, lambda _, content: content.shown()))

    return carry_out


def _wanted(asked: Asked) -> Callable[[Advertised], bool]:
    campaigns, groups = _values(asked, "campaign_ids"), _values(asked, "ad_group_ids")
    statuses = _values(asked, "entity_statuses") or {"ACTIVE", "PAUSED"}
    if campaigns and groups:
        raise invalid("campaign_ids and ad_group_ids exclude each other")
    return lambda content: (
        content.status in statuses
        and (not campaigns or content.fields.get("campaign_id", content.id) in campaigns)
        and (not groups or content.id in groups)
    )


def _values(asked: Asked, name: str) -> set[str]:
    """The values of a parameter that is repeated."""
    values = [value for key, value in asked.query.items() if key == name]
    if name.endswith("_ids") and len(values) > _MOST_IDS:
        raise invalid(f"{name} are {_MOST_IDS} at most")
    return set(values)


def _operation(name: str, what: str, carry_out: Callable[[Asked], Done]) -> Operation:
    path = f"/ad_accounts/{{ad_account_id}}/{what}"
    return Operation(id=name, method="GET", path=path, category="ads_read", scope="ads:read", carry_out=carry_out)


AD_OPERATIONS = (
    _operation("campaigns/list", "campaigns", _listing(lambda held: held.campaigns, _OF_CAMPAIGNS)),
    _operation("ad_groups/list", "ad_groups", _listing(lambda held: held.ad_groups, _OF_AD_GROUPS)),
    _operation("targeting_template/list", "targeting_templates", _listing(lambda held: held.templates, _OF_OTHERS)),
    _operation("customer_segment/list", "customer_segments", _listing(lambda held: held.segments, _OF_OTHERS)),
)
