"""The table of settings that restrict an export, with the actions that honour each; the others reject it by name."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from td_pinterest_op.audiences.actions import ACTIONS
from td_pinterest_op.settings.table import ExportSettings, find_declared_settings
from tests.e2e.audiences import ADD, CREATE, REMOVE, REPLACE, is_in_control, members_of
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import NEEDED, Services, digests, people

ACTALIKE = "create_actalike_audience"
MIRROR = "mirror_current_audience"
SENDING = {ADD, REMOVE, CREATE, REPLACE, MIRROR}
EVERY = [each.action.name for each in ACTIONS]
# By setting: a value that stops a run of ROWS or withholds a person, and the actions that honour it.
RESTRICTIONS: Mapping[str, tuple[object, set[str]]] = {
    "dry_run": (True, {*EVERY}),
    "expected_audience_name": ("Somebody else's", {*EVERY}),
    "max_invalid_ratio": (0.001, SENDING),
    "min_records": (1000, SENDING),
    "max_records": (1, SENDING),
    "expect_values": ("hashed", SENDING),
    "control": ({"percent": 50, "salt": "spring"}, SENDING - {REMOVE}),
    "suppress": (f"SELECT '{people(1)[0].upper()}' AS email", SENDING - {REMOVE}),
    "consent": (f"SELECT email FROM people WHERE email <> '{people(1)[0]}'", SENDING - {REMOVE}),
    "max_leave_ratio": (0.01, {MIRROR, REPLACE}),
}
# These send the others.
WITHHOLDING = {"control", "suppress", "consent"}
# These limit nothing in an action that sends nobody.
LIMITS = {key.name for key in find_declared_settings(ExportSettings) if key.limits_rows}
PEOPLE = people(260)
ROWS = [*PEOPLE, "nobody"]
IN_CONTROL = {key for key in digests(260) if is_in_control(key, 50)}
_numbers = itertools.count(1)

# Runs an export by an entry point with settings and a restriction; returns the error, "" after a success.
RunExport = Callable[[dict[str, Any], dict[str, Any]], str]


def create_people(services: Services, count: int = 260) -> None:
    """Create the table `people` of the task and of the activation, with an invalid row each."""
    for database in ("crm", "cdp_audience_1"):
        services.td.create_people(database, [*people(count), "nobody"])


def settings_for(services: Services, action: str) -> dict[str, Any]:
    """Return the minimal settings of an action, for an audience of its own."""
    number = next(_numbers)
    spec = next(each.action for each in ACTIONS if each.action.name == action)
    settings: dict[str, Any] = {"ad_account_id": AD_ACCOUNT_ID, "action": action, "ignore_invalid_records": True}
    known = services.audience(people(150, first=500), name=f"Audience {number}")
    needed = NEEDED | {"audience_name": f"New {number}", "seed_audience_id": known}
    settings |= {name: needed[name] for name in spec.needs}
    if "old audience" in spec.scopes:
        settings["audience_id"] = known
    return settings | ({"begin": "replace"} if "begin" in spec.uses else {})


def check_restrictions(
    services: Services, action: str, run: RunExport, *, refusal: str = "", replaces: bool = False
) -> None:
    """Run an action with each restricting setting, right, blank and misspelt.

    `refusal`: this entry point rejects the action with this text. `replaces`: it sets `if_exists: replace`.
    """
    for setting, (value, honoured_by) in RESTRICTIONS.items():
        if replaces and setting == "max_leave_ratio":
            honoured_by = honoured_by | {CREATE}
        settings = settings_for(services, action)
        if setting == "max_leave_ratio" and action in honoured_by and not refusal:
            assert run(settings, {}) == ""
            create_people(services, 240)
        before = len(services.pinterest.calls.writes())
        error = run(settings, {setting: value})
        writes = services.pinterest.calls.writes()[before:]
        if refusal:
            unused = f"{setting}: {action} cannot apply this setting"
            assert refusal in error or (action not in honoured_by and unused in error), (setting, error)
            assert writes == [], setting
        elif action not in honoured_by and setting not in LIMITS:
            assert f"{setting}: {action} cannot apply this setting" in error, (setting, error)
            assert writes == [], setting
        elif action in honoured_by and setting not in WITHHOLDING:
            assert (setting == "dry_run") == (error == ""), (setting, error)
            assert setting == "dry_run" or setting in error, (setting, error)
            assert writes == [], setting
        else:
            assert error == "", (setting, error)
            if setting in WITHHOLDING:
                withheld = IN_CONTROL if setting == "control" else digests(1)
                sent = members_of(services, settings)
                assert (sent & withheld, len(sent)) == (set(), len(PEOPLE) - len(withheld) + (action == ADD) * 150)
        before = len(services.pinterest.calls.writes())
        for wrong, said in (
            ({setting: " "}, f"{setting}: is blank"),
            ({f"{setting}_": value}, f"{setting}_: is unknown"),
        ):
            error = run(settings, wrong)
            assert said in error or (refusal and refusal in error), (wrong, error)
        assert len(services.pinterest.calls.writes()) == before
