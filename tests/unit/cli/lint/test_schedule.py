"""Schedules and time zones that digdag does not know, and actions that do not fit them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.lint.samples import GOOD, found_in


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("timezone: UTC", "timezone: Asia/Tokio", [(1, "timezone")]),
        ("timezone: UTC", "timezone: asia/tokyo", [(1, "timezone")]),
        ("timezone: UTC", "timezone: Asia/Tokyo", []),
        ("timezone: UTC", "timezone: '+09:00'", []),
        ("timezone: UTC", "timezone: ${zone}", []),
        ("timezone: UTC", "schedule:\n  dayly>: 07:00:00", [(2, "schedule")]),
        ("timezone: UTC", "schedule:\n  daily>: 07:00:00\n  skip_on_overtime: true", []),
    ],
)
def test_a_schedule_or_a_time_zone_is_known_to_digdag(
    project: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    assert old in GOOD
    assert expected == found_in(project, GOOD.replace(old, new, 1))


def _scheduled(schedule: str, action: str) -> str:
    head = f"timezone: UTC\n\nschedule:\n  {schedule}\n"
    return GOOD.replace("timezone: UTC\n", head).replace(
        '    action: add_people_to_current_audience\n    audience_id_add_people: "2542620905475"\n', action
    )


_CREATE = "    action: create_new_audience\n    audience_name: Shoppers\n"


_REPLACE = '    action: replace_current_audience\n    audience_id: "2542620905475"\n'


@pytest.mark.parametrize(
    ("schedule", "action", "expected"),
    [
        ("daily>: 07:00:00", _CREATE, ["create-scheduled"]),
        ("daily>: 07:00:00", _CREATE + "    if_exists: add\n", []),
        ("daily>: 07:00:00", _REPLACE, []),
        ("hourly>: 30:00", _REPLACE, ["replace-often"]),
        ("minutes_interval>: 30", _REPLACE, ["replace-often"]),
        ('cron>: "0 */6 * * *"', _REPLACE, ["replace-often"]),
        ('cron>: "0 6 * * *"', _REPLACE, []),
    ],
)
def test_an_action_that_does_not_fit_the_schedule_is_found(
    project: Path, schedule: str, action: str, expected: list[str]
) -> None:
    assert expected == [code for _, code in found_in(project, _scheduled(schedule, action))]
