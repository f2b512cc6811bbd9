"""When a workflow runs: its schedule and its time zone, and whether its actions fit them."""

from __future__ import annotations

import difflib
import re
import zoneinfo

from td_pinterest_op.cli.lint.dig_file import DigFile, Value
from td_pinterest_op.settings.types import closest

# What digdag's schedule knows.
_OFTEN = ("hourly>", "minutes_interval>")
_KINDS = (*_OFTEN, "daily>", "weekly>", "monthly>", "cron>")
# Besides names, Java takes offsets.
_OFFSET = re.compile(r"Z|(?:UTC|GMT|UT)?[+-][0-9]{1,2}(?::?[0-9]{2}){0,2}|UTC|GMT|UT")


def check(dig: DigFile) -> None:
    """Note a schedule or a time zone that digdag does not know."""
    root = dig.root or Value(value=None, path=dig.path, line=1)
    schedule, zone = root.get("schedule"), root.get("timezone")
    for key, value in schedule.mapping.items() if schedule else ():
        if key.endswith(">") and key not in _KINDS:
            dig.find(value, "schedule", f"digdag has no schedule {key}{closest(key, _KINDS)}")
    known = zoneinfo.available_timezones()
    name = str(zone.value).strip() if zone else ""
    if zone and known and "${" not in name and name not in known and not _OFFSET.fullmatch(name):
        near = difflib.get_close_matches(name[:64], known, n=1)
        suggestion = f"; did you mean {near[0]}?" if near else ""
        dig.find(zone, "timezone", f"digdag knows no time zone {name}{suggestion}")


def runs_within_a_day(schedule: Value) -> bool:
    """Whether the workflow runs more often than once a day."""
    for key, value in schedule.mapping.items():
        if key in _OFTEN:
            return True
        if key == "cron>":
            fields = str(value.value).split()
            return len(fields) >= 5 and not all(field.isdecimal() for field in fields[:2])
    return False
