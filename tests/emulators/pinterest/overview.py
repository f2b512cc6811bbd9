"""A page of what the emulator holds and of its last requests, for people who try things in the sandbox."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from aiohttp import web

from tests.emulators.pinterest import views
from tests.emulators.pinterest.calls import Call, CallLog
from tests.emulators.pinterest.control import CONTROLS
from tests.emulators.pinterest.faults import Faults
from tests.emulators.pinterest.pages import page
from tests.emulators.pinterest.switches import Switches
from tests.emulators.pinterest.world import Audience, CustomerList, World

LIVE = "/_test/overview"
_LAST_REQUESTS = 25


class Overview:
    """The page at `/`, and the part of it that its script asks for again and again."""

    def __init__(self, *, world: World, calls: CallLog, faults: Faults, clock: Callable[[], float]) -> None:
        self._world, self._calls, self._faults, self._clock = world, calls, faults, clock

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self._page), web.get(LIVE, self._live)]

    async def _page(self, request: web.Request) -> web.Response:
        address = f"{request.scheme}://{request.host}"
        return page("overview.html", live_path=LIVE, address=address, controls=CONTROLS, **self._values())

    async def _live(self, request: web.Request) -> web.Response:
        return page("overview_live.html", **self._values())

    def _values(self) -> dict[str, Any]:
        world, calls = self._world, self._calls.all()
        with world.lock:
            return {
                "accounts": list(world.accounts.values()),
                "usernames": {user.id: user.username for user in world.users.values()},
                "audiences": [self._audience(audience) for audience in reversed(world.audiences.values())],
                "lists": [self._list(customer_list) for customer_list in reversed(world.lists.values())],
                "requests": [self._request(call) for call in reversed(calls[-_LAST_REQUESTS:])],
                "request_count": len(calls),
                "write_count": sum(call.is_write for call in calls),
                "busiest": self._calls.busiest(),
                "most_at_once": self._calls.max_writes_under_way,
                "switches": _changed_switches(world.switches),
                "faults": self._faults.pending(),
            }

    def _audience(self, audience: Audience) -> dict[str, Any]:
        list_id = audience.rule.get("customer_list_id")
        customer_list = self._world.lists.get(str(list_id))
        shown = views.show_audience(self._world, audience)
        return shown | {"list_id": list_id, "list_name": customer_list.name if customer_list else None}

    def _list(self, customer_list: CustomerList) -> dict[str, Any]:
        used_by = [
            audience.name
            for audience in self._world.audiences.values()
            if not audience.removed and audience.rule.get("customer_list_id") == customer_list.id
        ]
        shown = views.show_list(self._world, customer_list)
        return shown | {"list_type": customer_list.list_type, "members": len(customer_list.members), "used_by": used_by}

    def _request(self, call: Call) -> dict[str, Any]:
        end = self._clock() if call.finished is None else call.finished
        return {
            "number": call.number,
            "method": call.method,
            "path": call.path,
            "operation_type": call.operation_type,
            "records": call.records,
            "status": call.status,
            "is_under_way": call.finished is None,
            "milliseconds": round((end - call.arrived) * 1000),
            "seconds_ago": max(round(self._clock() - call.arrived), 0),
            "fault": call.fault,
        }


def _changed_switches(switches: Switches) -> dict[str, Any]:
    """Return the switches that differ from the defaults; sets are counted, since they may hold digests."""
    plain = Switches()
    now = {field.name: getattr(switches, field.name) for field in fields(switches)}
    changed = {name: value for name, value in now.items() if value != getattr(plain, name)}
    return {name: f"{len(value)} values" if isinstance(value, frozenset) else value for name, value in changed.items()}
