"""The calls of the API: their paths, scopes and rate limit categories, and what each does to the world."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.emulators.pinterest import shapes, views
from tests.emulators.pinterest.accounts import User
from tests.emulators.pinterest.refusals import (
    RefusalError,
    invalid,
    invalid_audience,
    not_found,
    not_permitted,
    not_ready,
    too_large,
)
from tests.emulators.pinterest.tokens import Tokens
from tests.emulators.pinterest.world import Audience, CustomerList, World


@dataclass(frozen=True, kw_only=True)
class ApiRequest:
    """A request that was let in: `ids` from its path, its query, its body (parsed, shape not yet checked).

    `user` is the one in whose name the token acts; the first one where there is no token.
    """

    world: World
    tokens: Tokens
    user: User
    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    @property
    def account_id(self) -> str:
        return self.ids["ad_account_id"]


@dataclass(frozen=True, kw_only=True)
class Success:
    """The content of a successful answer; `creates`: it created something (200 or 201)."""

    content: dict[str, Any]
    creates: bool = False


@dataclass(frozen=True)
class Operation:
    """A call by its operationId. `scope` None: HTTP Basic with the app's credentials, and a form as its body."""

    id: str
    method: str
    path: str
    category: str
    scope: str | None
    carry_out: Callable[[ApiRequest], Success]


def _token(request: ApiRequest) -> Success:
    grant_type = shapes.grant_type(request.body)
    form = shapes.check_fields(request.body, shapes.GRANTS[grant_type])
    if grant_type == "refresh_token":
        return Success(content=request.tokens.refresh(form["refresh_token"]), creates=True)
    return Success(content=request.tokens.exchange(form["code"], redirect_uri=form["redirect_uri"]), creates=True)


def _accounts_list(request: ApiRequest) -> Success:
    shapes.check_query(request.query, shapes.ACCOUNT_QUERY)
    shared = request.query.get("include_shared_accounts", "true").lower() == "true"
    readable = (
        account
        for account in request.world.accounts.values()
        if account.may_read(request.user) and (shared or account.owner == request.user)
    )
    shown = views.page(
        request.world, readable, request.query, lambda _, account: views.show_account(account, request.user)
    )
    return Success(content=shown)


# -- customer lists -------------------------------------------------------------------------------------------------


def _lists_list(request: ApiRequest) -> Success:
    shapes.check_query(request.query, shapes.LIST_QUERY)
    world = request.world
    lag_of = world.switches.listing_lag
    lists = (each for each in world.lists.values() if each.ad_account_id == request.account_id)
    versions = (version for each in lists if (version := world.lagging_list(each, lag_of(each.id))) is not None)
    return Success(content=views.page(world, versions, request.query, views.show_listed))


def _lists_get(request: ApiRequest) -> Success:
    version = request.world.lagging_list(_visible_list(request), request.world.switches.reading_lag_seconds)
    if version is None:
        raise not_found("Customer list")
    return Success(content=views.show_list(request.world, version))


def _visible_list(request: ApiRequest) -> CustomerList:
    customer_list = request.world.require_list(request.account_id, request.ids["customer_list_id"])
    if request.world.lagging_list(customer_list, request.world.switches.new_list_missing_seconds) is None:
        raise not_found("Customer list")
    return customer_list


def _lists_create(request: ApiRequest) -> Success:
    body = shapes.check_fields(request.body, shapes.LIST_CREATE)
    _check_account(request, body, invalid)
    batch = _batch(request, body, required=request.world.switches.records_required)
    customer_list = request.world.add_list(
        body["name"], ad_account_id=request.account_id, list_type=body.get("list_type", "EMAIL")
    )
    request.world.record_list(customer_list, is_new=True)
    customer_list.is_nca = body.get("is_nca", False)
    customer_list.num_uploaded = len(batch)
    if request.world.switches.keeps_members:
        customer_list.members.update(itertools.chain.from_iterable(batch))
    return Success(content=views.show_list(request.world, customer_list) | {"exceptions": {}}, creates=True)


def _lists_update(request: ApiRequest) -> Success:
    customer_list = _visible_list(request)
    body = shapes.check_fields(request.body, shapes.LIST_UPDATE)
    _check_account(request, body, invalid)
    batch = _batch(request, body, required=True)
    request.world.record_list(customer_list)
    customer_list.num_batches += 1
    customer_list.updated = request.world.clock()
    adds = body["operation_type"] == "ADD"
    if adds:
        customer_list.num_uploaded += len(batch)
    else:
        customer_list.num_removed += len(batch)
    if request.world.switches.keeps_members:
        change = customer_list.members.update if adds else customer_list.members.difference_update
        change(itertools.chain.from_iterable(batch))
    return Success(content=views.show_list(request.world, customer_list) | {"exceptions": {}})


def _batch(request: ApiRequest, body: Mapping[str, Any], *, required: bool) -> Sequence[Sequence[bytes]]:
    """Return the records to apply, as the digests of their keys."""
    switches = request.world.switches
    if "records_v2" in body and not switches.takes_rows:
        raise invalid("unknown field 'records_v2'")
    if "records" in body and "records_v2" in body:
        raise invalid("exactly one of records and records_v2")
    if "records_v2" in body:
        records: Sequence[Sequence[bytes]] = shapes.parse_rows(body["records_v2"])
    elif "records" in body:
        records = shapes.parse_digests(body["records"])
    elif required:
        raise invalid("records is missing")
    else:
        records = []
    if switches.max_records is not None and len(records) > switches.max_records:
        raise too_large(switches.max_records, status=int(switches.max_records_answer))
    removes = body.get("operation_type") == "REMOVE"
    refused = switches.refused_to_remove if removes else switches.refused_to_add
    poison = {bytes.fromhex(digest) for digest in switches.poison | refused}
    if any(not poison.isdisjoint(record) for record in records):
        raise invalid("some of the records cannot be processed")
    return records


# -- audiences ------------------------------------------------------------------------------------------------------


def _audiences_list(request: ApiRequest) -> Success:
    shapes.check_query(request.query, shapes.AUDIENCE_QUERY)
    wanted = request.query.get("ownership_type")
    world = request.world
    lag_of = world.switches.listing_lag
    audiences = (
        each
        for each in world.audiences.values()
        if _ownership(each, request.account_id) in ({wanted} if wanted else shapes.OWNERSHIPS)
    )
    versions = (
        version
        for each in audiences
        if (version := world.lagging_audience(each, lag_of(each.id))) is not None and not version.removed
    )
    return Success(content=views.page(world, versions, request.query, views.show_listed_audience))


def _ownership(audience: Audience, account_id: str) -> str | None:
    if audience.ad_account_id == account_id:
        return "OWNED"
    return "RECEIVED" if account_id in audience.shared_with else None


def _audiences_get(request: ApiRequest) -> Success:
    switches = request.world.switches
    version = request.world.lagging_audience(_require_audience(request), switches.reading_lag_seconds)
    if version is None or (version.removed and switches.removed_audiences == "gone"):
        raise not_found("Audience")
    return Success(content=views.show_audience(request.world, version))


def _require_audience(request: ApiRequest) -> Audience:
    return request.world.require_audience(request.account_id, request.ids["audience_id"])


def _audiences_create(request: ApiRequest) -> Success:
    body = shapes.check_fields(request.body, shapes.AUDIENCE_CREATE, invalid_audience)
    _check_account(request, body, invalid_audience)
    rules = {"CUSTOMER_LIST": _customer_list_rule, "ACTALIKE": _actalike_rule}
    if body["audience_type"] not in rules:
        raise invalid_audience("only CUSTOMER_LIST and ACTALIKE audiences can be made here")
    audience = request.world.add_audience(
        body["name"],
        ad_account_id=request.account_id,
        audience_type=body["audience_type"],
        rule=rules[body["audience_type"]](request, body["rule"]),
        description=body.get("description"),
    )
    request.world.record_audience(audience, is_new=True)
    return Success(content=views.show_audience(request.world, audience), creates=True)


def _customer_list_rule(request: ApiRequest, rule: object) -> dict[str, Any]:
    return {"customer_list_id": _list_of_rule(request, rule)}


def _actalike_rule(request: ApiRequest, rule: object) -> dict[str, Any]:
    rule = shapes.check_fields(rule, shapes.ACTALIKE_RULE, invalid_audience)
    (seed_id,) = rule["seed_id"] if isinstance(rule["seed_id"], list) else (rule["seed_id"],)
    seed = request.world.audiences.get(seed_id)
    if seed is None or seed.removed or seed.ad_account_id != request.account_id:
        raise invalid_audience("the seed audience does not exist in this ad account")
    if views.audience_status(request.world, seed) != "READY":
        raise invalid_audience("the seed audience is not ready")
    return rule


def _check_account(request: ApiRequest, body: Mapping[str, Any], refuse: Callable[[str], RefusalError]) -> None:
    if body.get("ad_account_id", request.account_id) != request.account_id:
        raise refuse("ad_account_id is another than the path's")


def _list_of_rule(request: ApiRequest, raw: object) -> str:
    rule = shapes.check_rule(raw)
    _check_account(request, rule, invalid_audience)
    customer_list = request.world.lists.get(rule["customer_list_id"])
    if customer_list is None or customer_list.ad_account_id != request.account_id:
        raise invalid_audience("the customer list does not exist in this ad account")
    refusal = request.world.switches.processing_refusal
    if refusal != "off" and views.list_status(request.world, customer_list) == "PROCESSING":
        raise not_ready(int(refusal))
    return customer_list.id


def _audiences_update(request: ApiRequest) -> Success:
    audience = _require_audience(request)
    body = shapes.check_fields(request.body, shapes.AUDIENCE_UPDATE, invalid_audience)
    _check_account(request, body, invalid_audience)
    if audience.ad_account_id != request.account_id:
        raise not_permitted()
    return _UPDATES[body.get("operation_type", "UPDATE")](request, audience, body)


def _update_audience(request: ApiRequest, audience: Audience, body: Mapping[str, Any]) -> Success:
    if audience.removed:
        raise not_found("Audience")
    if body.get("audience_type", audience.audience_type) != audience.audience_type:
        raise invalid_audience("the type of an audience cannot be changed")
    rule = audience.rule
    if "rule" in body:
        if audience.audience_type != "CUSTOMER_LIST":
            raise invalid_audience("only the rule of CUSTOMER_LIST audiences can be changed here")
        rule = {"customer_list_id": _list_of_rule(request, body["rule"])}
        if rule != audience.rule and request.world.switches.refuses_moves:
            raise invalid_audience("the customer list of an audience cannot be changed")
    request.world.record_audience(audience)
    audience.name = body.get("name", audience.name)
    audience.description = body.get("description", audience.description)
    audience.updated = request.world.clock()
    if request.world.switches.moves_rules:
        audience.rule = rule
    # A server that ignores the rule may well repeat it in its answer: only a later read shows it.
    return Success(content=views.show_audience(request.world, audience) | {"rule": dict(rule)}, creates=True)


def _remove_audience(request: ApiRequest, audience: Audience, body: Mapping[str, Any]) -> Success:
    if audience.removed and request.world.switches.second_remove == "404":
        raise not_found("Audience")
    request.world.record_audience(audience)
    audience.removed = True
    return Success(content=views.show_audience(request.world, audience, tells_removal=False), creates=True)


_UPDATES: dict[str, Callable[[ApiRequest, Audience, Mapping[str, Any]], Success]] = {
    "UPDATE": _update_audience,
    "REMOVE": _remove_audience,
}


_READ = ("ads_read", "ads:read")
_WRITE = ("ads_write", "ads:write")
_ACCOUNT = "/ad_accounts/{ad_account_id}"
_LISTS = f"{_ACCOUNT}/customer_lists"
_LIST = f"{_ACCOUNT}/customer_lists/{{customer_list_id}}"
_AUDIENCES = f"{_ACCOUNT}/audiences"
_AUDIENCE = f"{_ACCOUNT}/audiences/{{audience_id}}"

OPERATIONS = (
    Operation("oauth/token", "POST", "/oauth/token", "org_read", None, _token),
    Operation("ad_accounts/list", "GET", "/ad_accounts", *_READ, _accounts_list),
    Operation("customer_lists/list", "GET", _LISTS, *_READ, _lists_list),
    Operation("customer_lists/create", "POST", _LISTS, *_WRITE, _lists_create),
    Operation("customer_lists/get", "GET", _LIST, *_READ, _lists_get),
    Operation("customer_lists/update", "PATCH", _LIST, *_WRITE, _lists_update),
    Operation("audiences/list", "GET", _AUDIENCES, *_READ, _audiences_list),
    Operation("audiences/create", "POST", _AUDIENCES, *_WRITE, _audiences_create),
    Operation("audiences/get", "GET", _AUDIENCE, *_READ, _audiences_get),
    Operation("audiences/update", "PATCH", _AUDIENCE, *_WRITE, _audiences_update),
)
