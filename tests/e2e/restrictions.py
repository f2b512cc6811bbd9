"""What restricts an export, as a table: by action and setting, whether a run honours it or refuses it by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from td_pinterest_op.audiences.actions import ACTIONS
from tests.e2e.audiences import ADD, CREATE, REMOVE, REPLACE, in_control
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digest, people

ACTALIKE = "create_actalike_audience"
EVERY = [each.action.name for each in ACTIONS]
# By setting: a value that stops a run over ROWS, or that leaves somebody out, and the actions that honour it.
RESTRICTIONS: Mapping[str, tuple[object, set[str]]] = {
    "dry_run": (True, {*EVERY}),
    "expected_audience_name": ("Somebody else's", {*EVERY}),
    "max_invalid_ratio": (0.01, {ADD, REMOVE, CREATE, REPLACE}),
    "min_records": (1000, {ADD, REMOVE, CREATE, REPLACE}),
    "max_records": (1, {ADD, REMOVE, CREATE, REPLACE}),
    "expect_values": ("hashed", {ADD, REMOVE, CREATE, REPLACE}),
    "control": ({"percent": 50, "salt": "spring"}, {ADD, CREATE, REPLACE}),
}
# Where an action sends nobody, there is nothing that these limit.
LIMITS = {"max_invalid_ratio", "min_records", "max_records"}
ROWS = [*people(6), "nobody"]
_numbers = itertools.count(1)

# Runs an export, by some door, with the settings of an action and one that restricts; returns the error, "" for none.
Door = Callable[[dict[str, Any], dict[str, Any]], str]


def settings_of(services: Services, action: str) -> dict[str, Any]:
    """What an action needs, about an audience of its own that has five other people."""
    number = next(_numbers)
    settings = {"ad_account_id": AD_ACCOUNT_ID, "action": action, "ignore_invalid_records": True}
    if action == CREATE:
        return settings | {"audience_name": f"Audience {number}"}
    known = services.audience(people(150, first=500), name=f"Audience {number}")
    if action == ACTALIKE:
        new = {"audience_name": f"Like {number}", "country": "US", "percentage": 5}
        return settings | new | {"seed_audience_id": known}
    return settings | {"audience_id": known}


def check(services: Services, action: str, run: Door, *, refusal: str = "") -> None:
    """Run an action with each setting that restricts. `refusal`: the door refuses the action, with this text."""
    for setting, (value, honoured_by) in RESTRICTIONS.items():
        settings = settings_of(services, action)
        before = len(services.pinterest.calls.writes())
        error = run(settings, {setting: value})
        writes = services.pinterest.calls.writes()[before:]
        if refusal:
            assert refusal in error, (setting, error)
            assert [] == writes, setting
        elif action not in honoured_by and setting not in LIMITS:
            assert f"{setting}: {action} cannot honour it" in error, (setting, error)
            assert [] == writes, setting
        elif action in honoured_by and setting != "control":
            assert (setting == "dry_run") == (error == ""), (setting, error)
            assert setting == "dry_run" or setting in error, (setting, error)
            assert [] == writes, setting
        else:
            assert error == "", (setting, error)
            if setting == "control":
                assert set(_left_out()).isdisjoint(_members(services, settings))


def _left_out() -> Iterator[str]:
    left_out = [digest(person) for person in people(6) if in_control(digest(person), 50)]
    assert 0 < len(left_out) < 6
    return iter(left_out)


def _members(services: Services, settings: Mapping[str, Any]) -> set[str]:
    named = services.pinterest.audiences_named(settings["audience_name"]) if "audience_name" in settings else []
    return services.pinterest.members_of_audience(settings.get("audience_id") or named[0].id)
