"""The listings of campaigns, ad groups, targeting templates and customer segments, as API 5.28.0 describes them."""

from collections.abc import Callable, Mapping

from tests.emulators.pinterest import shapes, views
from tests.emulators.pinterest.advertising import STATUSES, Advertising, AdvertisingEntity
from tests.emulators.pinterest.operations import ApiRequest, Operation, Success
from tests.emulators.pinterest.refusals import invalid, not_permitted

# Roles that may read campaigns and their like. Source: Pinterest's help; for ad groups the description names no role.
READERS = frozenset({"OWNER", "ADMIN", "ANALYST", "CAMPAIGN_MANAGER"})
_MOST_IDS = 250

_Check = Callable[[str], bool]
_PAGE: Mapping[str, _Check] = {name: shapes.LIST_QUERY[name] for name in ("page_size", "bookmark", "order")}
_OF_CAMPAIGNS: Mapping[str, _Check] = {**_PAGE, "campaign_ids": shapes.is_id, "entity_statuses": STATUSES.__contains__}


def _listing(
    kind: Callable[[Advertising], Mapping[str, AdvertisingEntity]], allowed: Mapping[str, _Check]
) -> Callable[[ApiRequest], Success]:
    def carry_out(request: ApiRequest) -> Success:
        account = request.world.require_account(request.account_id, request.user)
        if READERS.isdisjoint(account.roles.get(request.user.id, ())):
            raise not_permitted()
        shapes.check_query(request.query, allowed)
        wanted = _filter_of(request)
        entities = (
            content
            for content in kind(request.world.advertising).values()
            if content.ad_account_id == request.account_id and wanted(content)
        )
        return Success(content=views.page(request.world, entities, request.query, lambda _, content: content.to_json()))

    return carry_out


def _filter_of(request: ApiRequest) -> Callable[[AdvertisingEntity], bool]:
    campaigns = _values(request, "campaign_ids")
    statuses = _values(request, "entity_statuses") or {"ACTIVE", "PAUSED"}
    return lambda content: (
        content.status in statuses and (not campaigns or content.fields.get("campaign_id", content.id) in campaigns)
    )


def _values(request: ApiRequest, name: str) -> set[str]:
    """The values of a parameter that is repeated."""
    values = [value for key, value in request.query.items() if key == name]
    if name.endswith("_ids") and len(values) > _MOST_IDS:
        raise invalid(f"{name} are {_MOST_IDS} at most")
    return set(values)


def _operation(name: str, what: str, carry_out: Callable[[ApiRequest], Success]) -> Operation:
    path = f"/ad_accounts/{{ad_account_id}}/{what}"
    return Operation(id=name, method="GET", path=path, category="ads_read", scope="ads:read", carry_out=carry_out)


AD_OPERATIONS = (
    _operation("campaigns/list", "campaigns", _listing(lambda advertising: advertising.campaigns, _OF_CAMPAIGNS)),
    _operation("ad_groups/list", "ad_groups", _listing(lambda advertising: advertising.ad_groups, _OF_CAMPAIGNS)),
    _operation(
        "targeting_template/list",
        "targeting_templates",
        _listing(lambda advertising: advertising.templates, _PAGE),
    ),
    _operation("customer_segment/list", "customer_segments", _listing(lambda advertising: advertising.segments, _PAGE)),
)
