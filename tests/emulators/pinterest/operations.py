"""The calls of the API: their paths, scopes and rate limit categories, and what each does to the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.pinterest import shapes, views
from tests.emulators.pinterest.accounts import AdAccount, User
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that may be carried out: `ids` from its path, its query, its body (parsed, shape not yet checked).

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a success answers; `creates`: it made something (200 or 201)."""

    content: dict[str, Any]
    creates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A call by its operationId. `scope` None: HTTP Basic with the app's credentials, and a form as its body."""

    id: str
    method: str
    path: str
    category: str
    scope: str | None
    carry_out: Callable[[Asked], Done]


def _token(asked: Asked) -> Done:
    grant_type = shapes.grant_type(asked.body)
    form = shapes.check_fields(asked.body, shapes.GRANTS[grant_type])
    if grant_type == "refresh_token":
        return Done(content=asked.tokens.refresh(form["refresh_token"]), creates=True)
    return Done(content=asked.tokens.exchange(form["code"], redirect_uri=form["redirect_uri"]), creates=True)


def _user_get(asked: Asked) -> Done:
    shapes.check_query(asked.query, shapes.USER_QUERY)
    account_id = asked.query.get("ad_account_id")
    user = asked.user if account_id is None else asked.world.account(account_id, asked.user).owner
    return Done(content=views.show_user(user))


def _accounts_list(asked: Asked) -> Done:
    shapes.check_query(asked.query, shapes.ACCOUNT_QUERY)
    shared = asked.query.get("include_shared_accounts", "true").lower() == "true"
    readable = (
        account
        for account in asked.world.accounts.values()
        if account.may_read(asked.user) and (shared or account.owner == asked.user)
    )
    return Done(content=views.page(asked.world, readable, asked.query, _show_account(asked)))


def _accounts_get(asked: Asked) -> Done:
    account = asked.world.account(asked.account_id, asked.user)
    return Done(content=_show_account(asked)(asked.world, account))


def _show_account(asked: Asked) -> Callable[[World, AdAccount], dict[str, Any]]:
    return lambda _, account: views.show_account(account, asked.user)


# -- customer lists -------------------------------------------------------------------------------------------------


def _lists_list(asked: Asked) -> Done:
    shapes.check_query(asked.query, shapes.LIST_QUERY)
    world = asked.world
    lag = world.switches.listing_lag_seconds
    without_nca = asked.query.get("exclude_nca", "false").lower() == "true"
    held = (
        each
        for each in world.lists.values()
        if each.ad_account_id == asked.account_id and not (without_nca and each.is_nca)
    )
    seen = (then for each in held if (then := world.seen_list(each, lag)) is not None)
    return Done(content=views.page(world, seen, asked.query, views.show_listed))


def _lists_get(asked: Asked) -> Done:
    seen = asked.world.seen_list(_list(asked), asked.world.switches.reading_lag_seconds)
    if seen is None:
        raise not_found("Customer list")
    return Done(content=views.show_list(asked.world, seen))


def _list(asked: Asked) -> CustomerList:
    held = asked.world.customer_list(asked.account_id, asked.ids["customer_list_id"])
    if asked.world.seen_list(held, asked.world.switches.new_list_missing_seconds) is None:
        raise not_found("Customer list")
    return held


def _lists_create(asked: Asked) -> Done:
    body = shapes.check_fields(asked.body, shapes.LIST_CREATE)
    _check_account(asked, body, invalid)
    batch = _batch(asked, body, required=asked.world.switches.records_required)
    made = asked.world.add_list(body["name"], ad_account_id=asked.account_id, list_type=body.get("list_type", "EMAIL"))
    asked.world.note_list(made, is_new=True)
    made.is_nca = body.get("is_nca", False)
    made.num_uploaded = batch.records
    if asked.world.switches.keeps_members:
        made.members.update(batch.keys)
    return Done(content=views.show_list(asked.world, made) | {"exceptions": batch.exceptions}, creates=True)


def _lists_update(asked: Asked) -> Done:
    held = _list(asked)
    body = shapes.check_fields(asked.body, shapes.LIST_UPDATE)
    _check_account(asked, body, invalid)
    batch = _batch(asked, body, required=True)
    asked.world.note_list(held)
    held.num_batches += 1
    held.updated = asked.world.clock()
    adds = body["operation_type"] == "ADD"
    if adds:
        held.num_uploaded += batch.records
    else:
        held.num_removed += batch.records
    if asked.world.switches.keeps_members:
        (held.members.update if adds else held.members.difference_update)(batch.keys)
    return Done(content=views.show_list(asked.world, held) | {"exceptions": batch.exceptions})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What is to be applied: how many records, and their keys; and the `exceptions` about the rest."""

    records: int
    keys: list[bytes]
    exceptions: dict[str, Any] = field(default_factory=dict)


def _batch(asked: Asked, body: Mapping[str, Any], *, required: bool) -> _Batch:
    switches = asked.world.switches
    if "records_v2" in body and not switches.takes_rows:
        raise invalid("unknown field 'records_v2'")
    if "records" in body and "records_v2" in body:
        raise invalid("exactly one of records and records_v2")
    if "records_v2" in body:
        records = shapes.rows_of(body["records_v2"])
    elif "records" in body:
        records = [[digest] for digest in shapes.digests_of(body["records"])]
    elif required:
        raise invalid("records is missing")
    else:
        records = []
    if switches.max_records is not None and len(records) > switches.max_records:
        raise too_large(switches.max_records, "records", status=int(switches.max_records_answer))
    return _without_poison(records, {bytes.fromhex(digest) for digest in switches.poison}, switches.poison_answer)


def _without_poison(records: list[list[bytes]], poison: set[bytes], answer: str) -> _Batch:
    good = [record for record in records if poison.isdisjoint(record)] if poison else records
    refused = len(records) - len(good)
    if refused and answer == "400":
        raise invalid(f"{refused} of the records cannot be processed")
    told = {"code": 400, "message": f"{refused} records cannot be processed"}
    keys = [key for record in good for key in record]
    return _Batch(records=len(good), keys=keys, exceptions=told if refused else {})


# -- audiences ------------------------------------------------------------------------------------------------------


def _audiences_list(asked: Asked) -> Done:
    shapes.check_query(asked.query, shapes.AUDIENCE_QUERY)
    wanted = asked.query.get("ownership_type")
    world = asked.world
    lag = world.switches.listing_lag_seconds
    held = (
        each
        for each in world.audiences.values()
        if _ownership(each, asked.account_id) in ({wanted} if wanted else shapes.OWNERSHIPS)
    )
    seen = (then for each in held if (then := world.seen_audience(each, lag)) is not None and not then.removed)
    if asked.query.get("exclude_nca", "false").lower() == "true":
        seen = (each for each in seen if not views.derives_from_nca(world, each))
    return Done(content=views.page(world, seen, asked.query, views.show_listed_audience))


def _ownership(audience: Audience, account_id: str) -> str | None:
    if audience.ad_account_id == account_id:
        return "OWNED"
    return "RECEIVED" if account_id in audience.shared_with else None


def _audiences_get(asked: Asked) -> Done:
    switches = asked.world.switches
    seen = asked.world.seen_audience(_audience(asked), switches.reading_lag_seconds)
    if seen is None or (seen.removed and switches.removed_audiences == "gone"):
        raise not_found("Audience")
    return Done(content=views.show_audience(asked.world, seen))


def _audience(asked: Asked) -> Audience:
    return asked.world.audience(asked.account_id, asked.ids["audience_id"])


def _audiences_create(asked: Asked) -> Done:
    body = shapes.check_fields(asked.body, shapes.AUDIENCE_CREATE, invalid_audience)
    _check_account(asked, body, invalid_audience)
    rules = {"CUSTOMER_LIST": _customer_list_rule, "ACTALIKE": _actalike_rule}
    if body["audience_type"] not in rules:
        raise invalid_audience("only CUSTOMER_LIST and ACTALIKE audiences can be made here")
    made = asked.world.add_audience(
        body["name"],
        ad_account_id=asked.account_id,
        audience_type=body["audience_type"],
        rule=rules[body["audience_type"]](asked, body["rule"]),
        description=body.get("description"),
    )
    asked.world.note_audience(made, is_new=True)
    return Done(content=views.show_audience(asked.world, made), creates=True)


def _customer_list_rule(asked: Asked, given: object) -> dict[str, Any]:
    return {"customer_list_id": _list_of_rule(asked, given)}


def _actalike_rule(asked: Asked, given: object) -> dict[str, Any]:
    rule = shapes.check_fields(given, shapes.ACTALIKE_RULE, invalid_audience)
    (seed_id,) = rule["seed_id"] if isinstance(rule["seed_id"], list) else (rule["seed_id"],)
    seed = asked.world.audiences.get(seed_id)
    if seed is None or seed.removed or seed.ad_account_id != asked.account_id:
        raise invalid_audience("the seed audience does not exist in this ad account")
    if views.audience_status(asked.world, seed) != "READY":
        raise invalid_audience("the seed audience is not ready")
    return rule


def _check_account(asked: Asked, body: Mapping[str, Any], refuse: Callable[[str], RefusalError]) -> None:
    if body.get("ad_account_id", asked.account_id) != asked.account_id:
        raise refuse("ad_account_id is another than the path's")


def _list_of_rule(asked: Asked, given: object) -> str:
    rule = shapes.check_rule(given)
    _check_account(asked, rule, invalid_audience)
    held = asked.world.lists.get(rule["customer_list_id"])
    if held is None or held.ad_account_id != asked.account_id:
        raise invalid_audience("the customer list does not exist in this ad account")
    refusal = asked.world.switches.processing_refusal
    if refusal != "off" and views.list_status(asked.world, held) == "PROCESSING":
        raise not_ready(int(refusal))
    return held.id


def _audiences_update(asked: Asked) -> Done:
    held = _audience(asked)
    body = shapes.check_fields(asked.body, shapes.AUDIENCE_UPDATE, invalid_audience)
    _check_account(asked, body, invalid_audience)
    if held.ad_account_id != asked.account_id:
        raise not_permitted()
    return _UPDATES[body.get("operation_type", "UPDATE")](asked, held, body)


def _update(asked: Asked, held: Audience, body: Mapping[str, Any]) -> Done:
    if held.removed:
        raise not_found("Audience")
    if body.get("audience_type", held.audience_type) != held.audience_type:
        raise invalid_audience("the type of an audience cannot be changed")
    rule = held.rule
    if "rule" in body:
        if held.audience_type != "CUSTOMER_LIST":
            raise invalid_audience("only the rule of CUSTOMER_LIST audiences can be changed here")
        rule = {"customer_list_id": _list_of_rule(asked, body["rule"])}
        if rule != held.rule and asked.world.switches.refuses_moves:
            raise invalid_audience("the customer list of an audience cannot be changed")
    asked.world.note_audience(held)
    held.name = body.get("name", held.name)
    held.description = body.get("description", held.description)
    held.updated = asked.world.clock()
    if asked.world.switches.moves_rules:
        held.rule = rule
    # A server that ignores the rule may well repeat it in its answer: only reading it back tells.
    return Done(content=views.show_audience(asked.world, held) | {"rule": dict(rule)}, creates=True)


def _remove(asked: Asked, held: Audience, body: Mapping[str, Any]) -> Done:
    if held.removed and asked.world.switches.second_remove == "404":
        raise not_found("Audience")
    asked.world.note_audience(held)
    held.removed = True
    return Done(content=views.show_audience(asked.world, held, tells_removal=False), creates=True)


_UPDATES: dict[str, Callable[[Asked, Audience, Mapping[str, Any]], Done]] = {"UPDATE": _update, "REMOVE": _remove}


def _operation(
    name: str, method: str, path: str, category: str, scope: str | None, carry_out: Callable[[Asked], Done]
) -> Operation:
    return Operation(id=name, method=method, path=path, category=category, scope=scope, carry_out=carry_out)


_READ, _WRITE = ("ads_read", "ads:read"), ("ads_write", "ads:write")
_ACCOUNT = "/ad_accounts/{ad_account_id}"
_LISTS, _LIST = f"{_ACCOUNT}/customer_lists", f"{_ACCOUNT}/customer_lists/{{customer_list_id}}"
_AUDIENCES, _AUDIENCE = f"{_ACCOUNT}/audiences", f"{_ACCOUNT}/audiences/{{audience_id}}"

OPERATIONS = (
    _operation("oauth/token", "POST", "/oauth/token", "org_read", None, _token),
    _operation("user_account/get", "GET", "/user_account", "org_read", "user_accounts:read", _user_get),
    _operation("ad_accounts/list", "GET", "/ad_accounts", *_READ, _accounts_list),
    _operation("ad_accounts/get", "GET", _ACCOUNT, *_READ, _accounts_get),
    _operation("customer_lists/list", "GET", _LISTS, *_READ, _lists_list),
    _operation("customer_lists/create", "POST", _LISTS, *_WRITE, _lists_create),
    _operation("customer_lists/get", "GET", _LIST, *_READ, _lists_get),
    _operation("customer_lists/update", "PATCH", _LIST, *_WRITE, _lists_update),
    _operation("audiences/list", "GET", _AUDIENCES, *_READ, _audiences_list),
    _operation("audiences/create", "POST", _AUDIENCES, *_WRITE, _audiences_create),
    _operation("audiences/get", "GET", _AUDIENCE, *_READ, _audiences_get),
    _operation("audiences/update", "PATCH", _AUDIENCE, *_WRITE, _audiences_update),
)
