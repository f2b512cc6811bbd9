"""How the API shows what Pinterest holds: the JSON of accounts, lists, audiences and pages."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from tests.emulators.pinterest.accounts import AdAccount, User
from tests.emulators.pinterest.advertising import AdvertisingEntity
from tests.emulators.pinterest.refusals import invalid
from tests.emulators.pinterest.world import SMALLEST_AUDIENCE, Audience, CustomerList, World

# What a client of today has never heard of, and must tolerate.
EXTRA: dict[str, Any] = {"x_new_field": {"since": "5.99", "values": [1, None]}, "x_new_flag": None}

_DEFAULT_PAGE = 25
_T = TypeVar("_T", AdAccount, AdvertisingEntity, Audience, CustomerList)


def show_account(account: AdAccount, user: User) -> dict[str, Any]:
    return EXTRA | {
        "id": account.id,
        "name": account.name,
        "owner": {"id": account.owner.id, "username": account.owner.username},
        "country": "US",
        "currency": "USD",
        "permissions": list(account.roles[user.id]),
        "created_time": 1_600_000_000,
        "updated_time": 1_600_000_000,
    }


def list_status(world: World, customer_list: CustomerList) -> str:
    """Return a list's status: PROCESSING for a while after a write, then by its size."""
    if world.clock() < customer_list.updated + world.switches.processing_seconds:
        return "PROCESSING"
    return "READY" if len(customer_list.members) >= SMALLEST_AUDIENCE else "TOO_SMALL"


def show_list(world: World, customer_list: CustomerList) -> dict[str, Any]:
    counters = {
        "num_uploaded_user_records": customer_list.num_uploaded,
        "num_removed_user_records": customer_list.num_removed,
    }
    return (EXTRA | counters if world.switches.upload_counters else EXTRA) | {
        "id": customer_list.id,
        "type": "customerlist",
        "ad_account_id": customer_list.ad_account_id,
        "name": customer_list.name,
        "status": list_status(world, customer_list),
        "num_batches": customer_list.num_batches,
        "created_time": int(customer_list.created),
        "updated_time": int(customer_list.updated),
        "exceptions": {},
    }


def show_listed(world: World, customer_list: CustomerList) -> dict[str, Any]:
    """Return the JSON of a list in a listing: the live service shows `is_nca` only there."""
    return show_list(world, customer_list) | {"is_nca": customer_list.is_nca}


def audience_status(world: World, audience: Audience) -> str:
    if audience.status is not None:
        return audience.status
    customer_list = world.lists.get(str(audience.rule.get("customer_list_id")))
    status = "READY" if customer_list is None else list_status(world, customer_list)
    return "INITIALIZING" if status == "PROCESSING" else status


def _audience_size(world: World, audience: Audience) -> int | None:
    customer_list = world.lists.get(str(audience.rule.get("customer_list_id")))
    if audience.size is not None or customer_list is None:
        return audience.size
    return None if list_status(world, customer_list) == "PROCESSING" else len(customer_list.members)


def show_audience(world: World, audience: Audience, *, tells_removal: bool = True) -> dict[str, Any]:
    """Return the JSON of an audience. `tells_removal` False hides a removal, as the answer to the removal does."""
    removed = audience.removed and tells_removal
    return EXTRA | {
        "id": audience.id,
        "type": "audience",
        "ad_account_id": audience.ad_account_id,
        "name": audience.name,
        "audience_type": audience.audience_type,
        "description": audience.description,
        "rule": dict(audience.rule),
        "size": _audience_size(world, audience),
        "status": world.switches.removed_status if removed else audience_status(world, audience),
        "is_nca": False,
        "created_by_company_name": None,
        "created_timestamp": int(audience.created),
        "updated_timestamp": int(audience.updated),
    }


def show_listed_audience(world: World, audience: Audience) -> dict[str, Any]:
    """An audience in a listing: `is_nca` is that of its list."""
    return show_audience(world, audience) | {"is_nca": derives_from_nca(world, audience)}


def derives_from_nca(world: World, audience: Audience) -> bool:
    customer_list = world.lists.get(str(audience.rule.get("customer_list_id")))
    return customer_list is not None and customer_list.is_nca


def page(
    world: World, entities: Iterable[_T], query: Mapping[str, str], show: Callable[[World, _T], dict[str, Any]]
) -> dict[str, Any]:
    """One page of a listing, by id, as `page_size`, `bookmark` and `order` ask. Raises the refusal of a bookmark."""
    descending = query.get("order") == "DESCENDING" and not world.switches.ignores_order
    ordered = sorted(entities, key=lambda entity: int(entity.id), reverse=descending)
    if "bookmark" in query:
        last = _last_id(query["bookmark"], descending)
        ordered = [entity for entity in ordered if (int(entity.id) < last if descending else int(entity.id) > last)]
    size = int(query.get("page_size", _DEFAULT_PAGE))
    shown = ordered[:size]
    bookmark = _bookmark(shown[-1].id, descending) if len(ordered) > size else None
    return EXTRA | {"items": [show(world, entity) for entity in shown], "bookmark": bookmark}


def _bookmark(last_id: str, descending: bool) -> str:
    return base64.urlsafe_b64encode(f"{'D' if descending else 'A'}|{last_id}".encode()).decode()


def _last_id(bookmark: str, descending: bool) -> int:
    try:
        order, _, last_id = base64.urlsafe_b64decode(bookmark).decode().partition("|")
        last = int(last_id)
    except (binascii.Error, ValueError) as cause:
        raise invalid("the bookmark is unknown") from cause
    if order != ("D" if descending else "A"):
        raise invalid("the bookmark belongs to another order")
    return last
