"""Drives and inspects an emulator in another process: JSON endpoints under /_test/."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

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
    When,
)
from tests.emulators.pinterest.world import World
from tests.emulators.server import get_control, post_control

# What a person or another process can do to the emulator: method, path, what it does, and a body that works.
CONTROLS = (
    ("GET", "/_test/state", "all that Pinterest holds, except members", ""),
    ("GET", "/_test/requests", "all requests so far, without their bodies", ""),
    ("POST", "/_test/switches", "change how the emulator behaves", '{"listing_lag_seconds": 2}'),
    (
        "POST",
        "/_test/faults",
        "let the next matching request fail",
        '{"operation": "customer_lists/update", "effect": {"type": "answer", "status": 503}}',
    ),
    (
        "POST",
        "/_test/move",
        "switch an audience to another customer list",
        '{"audience_id": "…", "customer_list_id": "…"}',
    ),
)

EFFECTS: dict[str, Callable[..., Effect]] = {
    kind.__name__.lower(): kind for kind in (Answer, Redirect, Mangle, Reset, Stall)
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


class Control:
    """The control endpoints."""

    def __init__(self, *, world: World, faults: Faults, calls: CallLog) -> None:
        self._world = world
        self._faults = faults
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        return [
            post_control("/_test/faults", self._add_fault),
            post_control("/_test/switches", self._set_switches),
            post_control("/_test/move", self._move),
            get_control("/_test/state", self._world.state),
            get_control("/_test/requests", self._requests),
        ]

    def _add_fault(self, values: Any) -> dict[str, str]:
        fault = parse_fault(values)
        self._faults.add(fault)
        return {"added": repr(fault)}

    def _set_switches(self, values: Any) -> dict[str, list[str]]:
        self._world.switches.set(values)
        return {"set": sorted(values)}

    def _move(self, values: Any) -> dict[str, str]:
        """Switch an audience to another list: `audience_id`, and `customer_list_id` or the fields of a new list."""
        fields = dict(values)
        audience_id = fields.pop("audience_id")
        list_id = fields.pop("customer_list_id", None)
        list_id = list_id or self._world.add_list(**fields).id
        self._world.move_audience(audience_id, list_id)
        return {"audience_id": audience_id, "customer_list_id": list_id}

    def _requests(self) -> dict[str, Any]:
        calls = [dataclasses.asdict(call) for call in self._calls.all()]
        most = {"max_writes_under_way": self._calls.max_writes_under_way, "most_writes_a_minute": self._calls.busiest()}
        return {"requests": calls} | most
