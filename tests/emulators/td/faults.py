"""What a test makes go wrong, and for which request."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_KINDS = {
    "status": "answered with `status`, `headers` and `body` (Treasure Data's error JSON unless given)",
    "reset": "the connection is reset before anything is done or answered",
    "lost": "the request is carried out, but the connection is reset instead of an answer",
    "cut": "the body ends at the mark; without a length (`with_length` false) the client cannot tell",
    "stall": "the body pauses at the mark for `seconds`, then goes on",
    "delay": "nothing is done for `seconds`, then all goes well",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong for `times` requests that match, after `skip` of them went well.

    `path` is searched in the request's path as a regular expression; `method` empty is any. The mark of "cut" and
    "stall" is `after_bytes` of the body, else `after_fraction` of it. Raises ValueError for what makes no sense.
    """

    kind: str
    method: str = ""
    path: str = ""
    skip: int = 0
    times: int = 1
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    after_bytes: int | None = None
    after_fraction: float = 0.5
    with_length: bool = True
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"no fault of kind {self.kind!r}; there are {', '.join(_KINDS)}")
        if not 0 <= self.after_fraction <= 1:
            raise ValueError("after_fraction is a share of the body, 0 to 1")
        re.compile(self.path)

    def matches(self, method: str, path: str) -> bool:
        return self.method.upper() in ("", method) and re.search(self.path, path) is not None

    def mark(self, length: int) -> int:
        """Bytes of a body of `length` bytes that are sent before the fault shows."""
        return int(length * self.after_fraction) if self.after_bytes is None else min(self.after_bytes, length)


@dataclass(slots=True)
class _Queued:
    fault: Fault
    seen: int = 0

    def fires(self) -> bool:
        self.seen += 1
        return self.fault.skip < self.seen <= self.fault.skip + self.fault.times


class FaultQueue:
    """Faults in the order they were added; a request meets the first of them that is due and none after it."""

    def __init__(self) -> None:
        self._queued: list[_Queued] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._queued += [_Queued(fault) for fault in faults]

    def clear(self) -> None:
        with self._lock:
            self._queued.clear()

    def next_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for queued in self._queued:
                if queued.fault.matches(method, path) and queued.fires():
                    return queued.fault
        return None


def fault_from_json(payload: Mapping[str, Any]) -> Fault:
    """A fault from its fields as a JSON object; raises ValueError for a field that there is not."""
    try:
        return Fault(**payload)
    except TypeError as error:
        raise ValueError(str(error)) from error
