"""The log of the requests, without their bodies, and questions about them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(kw_only=True)
class Call:
    """One request. `path` is below the endpoint; times are monotonic seconds.

    `operation` is the API description's operationId ("customer_lists/update"), `operation_type` the body's (ADD, …),
    `records` the number of records in it and `keys` that of their keys: known once the body is read. `status` is None
    while it is under way, and when it was never answered. `fault` names the effect of one that was met.
    """

    number: int
    method: str
    path: str
    operation: str
    category: str
    arrived: float
    request_id: str
    operation_type: str | None = None
    records: int = 0
    keys: int = 0
    status: int | None = None
    fault: str | None = None

    @property
    def is_write(self) -> bool:
        return self.category == "ads_write"


class CallLog:
    """Every method may be called from any thread; returned calls are copies.

    `max_writes_under_way`: the highest number of writes that were under way at once.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: list[Call] = []
        self._lock = threading.Lock()
        self._writes_under_way = 0
        self.max_writes_under_way = 0

    def arrive(self, *, method: str, path: str, operation: str, category: str) -> Call:
        with self._lock:
            number = len(self._calls) + 1
            call = Call(
                number=number,
                method=method,
                path=path,
                operation=operation,
                category=category,
                arrived=self._clock(),
                request_id=f"{8_400_000_000_000_000 + number}",
            )
            self._calls.append(call)
            self._writes_under_way += call.is_write
            self.max_writes_under_way = max(self.max_writes_under_way, self._writes_under_way)
            return call

    def finish(self, call: Call, status: int | None) -> None:
        with self._lock:
            call.status = status
            self._writes_under_way -= call.is_write

    def all(self) -> list[Call]:
        """Return every request so far, in the order of arrival."""
        with self._lock:
            return [replace(call) for call in self._calls]

    def of(self, operation: str) -> list[Call]:
        """Return the calls of one operation."""
        return [call for call in self.all() if call.operation == operation]

    def writes(self) -> list[Call]:
        return [call for call in self.all() if call.is_write]

    def clear(self) -> None:
        """Forget all requests so far; those under way still count as under way."""
        with self._lock:
            self._calls.clear()
            self.max_writes_under_way = self._writes_under_way
