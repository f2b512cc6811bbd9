"""Faults as values: the effect, the request and the moment in it. The gate carries them out."""

import enum
import re
from dataclasses import dataclass
from typing import Literal

from tests.emulators.fault_queue import FaultQueue, FaultTurns
from tests.emulators.pinterest.calls import Call


class When(enum.Enum):
    """A moment in a request's life."""

    BEFORE = "the body is read and the sender authorised, nothing is applied"
    AFTER = "applied, or refused; not answered yet"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Send this response. `code` defaults to the one usual for the status, `body` to an error of that code and message.

    `retry_after` in seconds, written as a date when `retry_after_is_date`.
    """

    status: int
    code: int | None = None
    message: str = "A fault was planted."
    body: str | None = None
    retry_after: int | None = None
    retry_after_is_date: bool = False


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """Redirect to any URL."""

    location: str
    status: int = 307


@dataclass(frozen=True, kw_only=True)
class Mangle:
    """Answer success with a wrong body: this `how`. With When.AFTER the operation is carried out, else not."""

    how: Literal["no_id", "exceptions", "error_body", "not_json", "truncated"]


@dataclass(frozen=True, kw_only=True)
class Reset:
    """Reset the connection."""


@dataclass(frozen=True, kw_only=True)
class Stall:
    """Never answer."""


Effect = Answer | Redirect | Mangle | Reset | Stall


@dataclass(frozen=True, kw_only=True)
class Fault(FaultTurns):
    """An effect on the requests that match.

    `method` and `path` (below the endpoint) are regular expressions, matched in full and searched; `operation` is an
    operationId such as "customer_lists/update".
    """

    effect: Effect
    when: When = When.BEFORE
    method: str = ".*"
    path: str = ""
    operation: str | None = None

    def matches(self, call: Call) -> bool:
        return (
            re.fullmatch(self.method, call.method) is not None
            and re.search(self.path, call.path) is not None
            and self.operation in (None, call.operation)
        )


Faults = FaultQueue[Fault]
