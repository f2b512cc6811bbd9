"""The findings of `td-pinterest rehearse` → switches that make the emulator behave like the live service."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Bytes of a digest and its comma in a request, and of the rest of the body.
_RECORD = 65
_AROUND = 1_000
# For what did not show while the rehearsal looked, in seconds.
_TOO_LONG = 3_600.0
_MOST_AT_ONCE = 8


def switches_like(path: Path) -> dict[str, Any]:
    """The switches by name, for `Switches.set`. A fact that is not known leaves its switch unchanged.

    Raises ValueError for a file that is no `rehearsal.json`, and OSError.
    """
    try:
        rehearsal = json.loads(path.read_text(encoding="utf-8"))
        facts = rehearsal["facts"]
        steps = {step["name"]: step for step in rehearsal["steps"]}
        switches = (
            _token_switches(facts)
            | _list_switches(facts)
            | _batch_switches(facts, steps)
            | _audience_switches(facts, steps)
        )
        limits = steps.get("account", {}).get("limits")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no rehearsal.json ({type(error).__name__})") from None
    return switches | ({"ratelimit_limit_header": limits} if limits else {})


def _token_switches(facts: Mapping[str, Any]) -> dict[str, Any]:
    rotates = facts["refresh_rotates"]
    lives = facts["old_refresh_token_lives"]
    return {
        "rotate_refresh_tokens": bool(rotates) and lives is False,
        "renew_refresh_tokens": bool(rotates) and lives is not False,
    }


def _list_switches(facts: Mapping[str, Any]) -> dict[str, Any]:
    switches = {} if facts["records_v2"] is None else {"takes_rows": facts["records_v2"]}
    if facts["list_without_records"] is not None:
        switches["records_required"] = not facts["list_without_records"]
    if facts["largest_batch"] is None:  # there was no list to look for
        return switches
    lags = {"new_list_missing_seconds": "list_readable_seconds", "listing_lag_seconds": "list_listed_seconds"}
    return switches | {switch: _TOO_LONG if facts[fact] is None else facts[fact] for switch, fact in lags.items()}


def _batch_switches(facts: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, Any]:
    most = facts["largest_batch"]
    status = facts["batch_too_large_status"]
    at_once = facts["batches_at_once"]
    switches: dict[str, Any] = {}
    if at_once is not None and at_once < _MOST_AT_ONCE:
        switches["batches_at_once"] = at_once
    if status is not None:
        switches |= {"max_records": most, "max_records_answer": str(status)}
    elif "cut off" in steps.get("batches", {}).get("verdict", ""):
        switches |= {"largest_body": most * _RECORD + _AROUND}
    return switches


def _audience_switches(facts: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, Any]:
    switches: dict[str, Any] = {}
    if facts["move_obeyed"] is not None:
        switches |= {"moves_rules": facts["move_obeyed"], "move_lag_seconds": facts["move_seconds"] or 0.0}
    if steps.get("move", {}).get("status") == 400:
        switches |= {"moves_rules": True, "refuses_moves": True}
    if facts["removed_readable"] is not None:
        switches["removed_audiences"] = "readable" if facts["removed_readable"] else "gone"
    if facts["removed_again"] is not None:
        switches["second_remove"] = "accepted" if facts["removed_again"] else "404"
    return switches
