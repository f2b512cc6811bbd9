"""Faults that a test adds, and the requests that they meet."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.emulators.fault_queue import FaultQueue, FaultTurns


@dataclass(frozen=True, kw_only=True)
class Fault(FaultTurns):
    """One fault of the requests that match.

    `kind`: "status": answered with `status`, `headers` and `body` (Treasure Data's error JSON unless given); "stall":
    nothing is done, and nothing is answered; "reset": the connection is reset before anything is done or answered;
    "lost": the request is carried out, but the connection is reset instead of an answer; "cut": the body ends after
    `after_bytes`, else after half of it.
    `path` is searched in the request's path as a regular expression; `method` empty is any.
    """

    kind: str
    method: str = ""
    path: str = ""
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes | None = None
    after_bytes: int | None = None

    def matches(self, method: str, path: str) -> bool:
        return self.method.upper() in ("", method) and re.search(self.path, path) is not None

    def mark(self, length: int) -> int:
        """Bytes of a body of `length` bytes that are sent before the fault shows."""
        return length // 2 if self.after_bytes is None else min(self.after_bytes, length)


@dataclass(frozen=True, kw_only=True)
class JobFault(FaultTurns):
    """A job that fails, of those whose query matches the regular expression `query`.

    An INSERT or CREATE in it first writes this `share` of its rows, 0 to 1: whether Treasure Data takes them back is
    not known. `message` is the engine's.
    """

    query: str = ""
    share: float = 0.0
    message: str = "Killed by the system because this query generates too much data"


Faults = FaultQueue[Fault]
JobFaults = FaultQueue[JobFault]
