"""Drives and inspects an emulator in another process: JSON endpoints under /_test/."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from tests.emulators.pinterest.accounts import AD_ACCOUNT_ID
from tests.emulators.pinterest.calls import CallLog
from tests.emulators.pinterest.faults import (
    Answer,
    Effect,
    Fault,
    Faults,
    Mangle,
    Redirect,
    Reset,
    Stall,
    StopReading,
    When,
)
from tests.emulators.pinterest.world import World
from tests.emulators.server import get_control, post_control

# What a person or another process can do to the emulator: method, path, what it does, and a body that works.
CONTROLS = (
    ("GET", "/_test/state", "all that Pinterest holds, except members", ""),
    ("GET", "/_test/members/{list_id}", "the members of a list, as digests", ""),
    ("GET", "/_test/requests", "all requests so far, without their bodies", ""),
    ("POST", "/_test/seed", "create users, ad accounts, lists and audiences", '{"lists": [{"name": "VIP"}]}'),
    ("POST", "/_test/switches", "change how the emulator behaves", '{"listing_lag_seconds": 2}'),
    (
        "POST",
        "/_test/faults",
        "let the next matching request fail",
        '{"operation": "customer_lists/update", "effect": {"type": "answer", "status": 503}}',
    ),
    ("DELETE", "/_test/faults", "remove all faults", ""),
    (
        "POST",
        "/_test/move",
        "switch an audience to another customer list",
        '{"audience_id": "…", "customer_list_id": "…"}',
    ),
)

EFFECTS: dict[str, Callable[..., Effect]] = {
    kind.__name__.lower(): kind for kind in (Answer, Redirect, Mangle, Reset, Stall, StopReading)
}


def parse_fault(values: Mapping[str, Any]) -> Fault:
    """A fault from JSON: the fields of Fault, `when` by name in any case, `effect` with its name as `type`.

    Raises ValueError or TypeError for what it does not know.
    """
    effect = dict(values.get("effect", {}))
    kind = str(effect.pop("type", "")).lower()
    if kind not in EFFECTS:
        raise ValueError(f"an effect's type is one of {', '.join(EFFECTS)}")
    name = str(values.get("when", "BEFORE")).upper()
    if name not in When.__members__:
        raise ValueError(f"when is one of {', '.join(When.__members__)}")
    return Fault(**{**values, "effect": EFFECTS[kind](**effect), "when": When[name]})


def seed(world: World, values: Mapping[str, Any]) -> dict[str, Any]:
    """Make users, ad accounts, lists, audiences; returns the lists and audiences made, as `World.state` shows them.

    The fields are those of `World.add_user`, `add_ad_account` (with `id`; `owner` is a username), `add_list` and
    `add_audience` (with `name`); an audience may name its list in `customer_list` (the newest of that name) instead of
    `customer_list_id`. `campaigns`, `ad_groups`, `templates` and `segments` have the fields of `Advertising.add_…`.
    """
    with world.lock:
        for user in values.get("users", ()):
            world.add_user(**user)
        for account in values.get("ad_accounts", ()):
            _seed_account(world, dict(account))
        lists = {world.add_list(**fields).id for fields in values.get("lists", ())}
        audiences = {_seed_audience(world, dict(fields)) for fields in values.get("audiences", ())}
        for kind in ("campaign", "ad_group", "template", "segment"):
            for fields in values.get(f"{kind}s", ()):
                getattr(world.advertising, f"add_{kind}")(**fields)
        for more in values.get("members", ()):
            world.lists[more["list_id"]].members.update(bytes.fromhex(member) for member in more["members"])
        state = world.state()
    return {
        "lists": [shown for shown in state["lists"] if shown["id"] in lists],
        "audiences": [shown for shown in state["audiences"] if shown["id"] in audiences],
    }


def _seed_account(world: World, fields: dict[str, Any]) -> None:
    if "owner" in fields:
        fields["owner"] = {user.username: user for user in world.users.values()}[fields["owner"]]
    world.add_ad_account(fields.pop("id"), **fields)


def _seed_audience(world: World, fields: dict[str, Any]) -> str:
    if "customer_list" in fields:
        account_id = fields.get("ad_account_id", AD_ACCOUNT_ID)
        named = [each for each in world.lists_named(fields.pop("customer_list")) if each.ad_account_id == account_id]
        if not named:
            raise ValueError("no customer list has that name")
        fields["customer_list_id"] = named[-1].id
    return world.add_audience(**fields).id


class Control:
    """The control endpoints."""

    def __init__(self, *, world: World, faults: Faults, calls: CallLog) -> None:
        self._world, self._faults, self._calls = world, faults, calls

    def routes(self) -> list[web.RouteDef]:
        return [
            post_control("/_test/faults", self._add_faults),
            post_control("/_test/switches", self._set_switches),
            post_control("/_test/seed", lambda values: seed(self._world, values)),
            post_control("/_test/move", self._move),
            get_control("/_test/state", self._world.state),
            get_control("/_test/requests", self._requests),
            web.delete("/_test/faults", self._clear_faults),
            web.get("/_test/members/{list_id}", self._members),
        ]

    def _add_faults(self, values: Any) -> dict[str, int]:
        self._faults.add(*[parse_fault(fault) for fault in (values if isinstance(values, list) else [values])])
        return {"pending": self._faults.pending()}

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response({"pending": 0})

    def _set_switches(self, values: Any) -> dict[str, list[str]]:
        self._world.switches.set(values)
        return {"set": sorted(values)}

    def _move(self, values: Any) -> dict[str, str]:
        """Switch an audience to another list: `audience_id`, and `customer_list_id` or the fields of a new list."""
        fields = dict(values)
        audience_id, list_id = fields.pop("audience_id"), fields.pop("customer_list_id", None)
        list_id = list_id or self._world.add_list(**fields).id
        self._world.move_audience(audience_id, list_id)
        return {"audience_id": audience_id, "customer_list_id": list_id}

    def _requests(self) -> dict[str, Any]:
        calls = [dataclasses.asdict(call) for call in self._calls.all()]
        most = {"max_writes_under_way": self._calls.max_writes_under_way, "most_writes_a_minute": self._calls.busiest()}
        return {"requests": calls} | most

    async def _members(self, request: web.Request) -> web.Response:
        list_id = request.match_info["list_id"]
        if list_id not in self._world.lists:
            return web.json_response({"error": "no such list"}, status=404)
        return web.json_response({"members": sorted(self._world.members(list_id))})
