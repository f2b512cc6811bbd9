"""The session of a run: its times, and those of the sessions before and after it under a schedule.

Sources: digdag-core, agent/RuntimeParams.java, workflow/AttemptBuilder.java; digdag-standards, scheduler/.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .config import DigError, Params, RefusedError

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SCHEDULE_OPTIONS = frozenset({"skip_on_overtime", "skip_delayed_by", "start", "end"})
SCHEDULES = ("daily>", "weekly>")


def session_params(given: datetime | str | None, timezone: str, schedule: Mapping[str, Any] | None = None) -> Params:
    """The parameters that every task of a session has, beside its task_name. Raises DigError for wrong texts."""
    try:
        zone = ZoneInfo(timezone)
        time = (
            given if isinstance(given, datetime) else datetime.fromisoformat(given or f"{datetime.now(zone):%Y-%m-%d}")
        )
    except (ZoneInfoNotFoundError, ValueError):
        raise DigError(f'A session has a time zone, and "yyyy-MM-dd[ HH:mm:ss]", not {timezone}, {given}') from None
    local = time.astimezone(zone) if time.tzinfo else time.replace(tzinfo=zone)
    params = _times("session", local) | _never_executed(zone)
    if schedule:
        params |= _times("last_session", next(_sessions(schedule, local, step=-1)))
        params |= _times("next_session", next(_sessions(schedule, local, step=1)))
    return params | {
        "timezone": timezone,
        "session_uuid": str(uuid.uuid4()),
        "session_id": 1,
        "project_id": 1,
        "attempt_id": 1,
    }


def check_schedule(schedule: Mapping[str, Any]) -> None:
    """Raises RefusedError for a schedule that is not known here."""
    unknown = [key for key in schedule if key not in (*SCHEDULES, *_SCHEDULE_OPTIONS)]
    if unknown or len(set(schedule) & set(SCHEDULES)) != 1:
        raise RefusedError(f"a schedule is one of {', '.join(SCHEDULES)} here, not {', '.join(unknown or schedule)}")


def _times(prefix: str, local: datetime) -> Params:
    return {
        f"{prefix}_time": local.isoformat(timespec="seconds"),
        f"{prefix}_date": f"{local:%Y-%m-%d}",
        f"{prefix}_date_compact": f"{local:%Y%m%d}",
        f"{prefix}_local_time": f"{local:%Y-%m-%d %H:%M:%S}",
        f"{prefix}_tz_offset": f"{local:%z}",
        f"{prefix}_unixtime": int(local.timestamp()),
    }


def _never_executed(zone: ZoneInfo) -> Params:
    """A run without a schedule's history: empty texts, and the offset of 1970."""
    epoch = _times("last_executed_session", datetime.fromtimestamp(0, zone))
    return {name: value if name.endswith("offset") else "" for name, value in epoch.items()}


def _sessions(schedule: Mapping[str, Any], local: datetime, *, step: int) -> Iterator[datetime]:
    """The schedule's session times before (`step` -1) or after (1) a time, nearest first.

    A session is at the begin of its day, whatever the minute at which the schedule starts it.
    """
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    days = (midnight + timedelta(days=step * count) for count in range(9))
    times = (day for day in days if _is_session_day(schedule, day))
    return (time for time in times if (time > local if step > 0 else time < local))


def _is_session_day(schedule: Mapping[str, Any], day: datetime) -> bool:
    if "weekly>" in schedule:
        return _WEEKDAYS[day.weekday()] == str(schedule["weekly>"]).split(",")[0].strip().lower()[:3]
    return True
