"""The parameters that every task of a session has. Sources: digdag-core, RuntimeParams.java; digdag-cli, Run.java."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from .errors import DigError
from .params import Params

_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
_STARTS: dict[str, Callable[[datetime], datetime]] = {
    "hourly": lambda now: now.replace(minute=0, second=0, microsecond=0),
    "daily": lambda now: now.replace(hour=0, minute=0, second=0, microsecond=0),
    # No state is kept here, so there is no last session: digdag then takes the day.
    "last": lambda now: now.replace(hour=0, minute=0, second=0, microsecond=0),
}


def session_start(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The time that `--session TEXT` means in `zone`. Raises DigError for text that digdag would not take."""
    if text in _STARTS:
        return _STARTS[text](now.astimezone(zone))
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=zone)
        except ValueError:
            continue
    raise DigError(f'--session must be hourly, daily, last, "yyyy-MM-dd", or "yyyy-MM-dd HH:mm:SS" format: {text}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of a workflow at `time` (aware), in its time zone; `uuid` is new for each."""

    time: datetime
    timezone: str
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    def params(self, task_name: str) -> Params:
        """The parameters of a task: session_*, project_id, attempt_id, task_name, timezone."""
        local = self.time.astimezone(ZoneInfo(self.timezone))
        return {
            "timezone": self.timezone,
            "session_uuid": self.uuid,
            "session_time": local.isoformat(timespec="seconds"),
            "session_id": 1,
            "session_date": f"{local:%Y-%m-%d}",
            "session_date_compact": f"{local:%Y%m%d}",
            "session_local_time": f"{local:%Y-%m-%d %H:%M:%S}",
            "session_tz_offset": f"{local:%z}",
            "session_unixtime": int(self.time.timestamp()),
            **self._never_executed(),
            "project_id": 1,
            "attempt_id": 1,
            "task_name": task_name,
        }

    def _never_executed(self) -> Params:
        epoch = datetime.fromtimestamp(0, ZoneInfo(self.timezone))
        empty = {
            f"last_executed_session_{name}": "" for name in ("time", "date", "date_compact", "local_time", "unixtime")
        }
        return {**empty, "last_executed_session_tz_offset": f"{epoch:%z}"}
