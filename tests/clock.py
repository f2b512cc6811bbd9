"""A clock that advances only by sleeping."""

import threading

from td_pinterest_op.runtime.clock import Timing


class FakeTime:
    """A clock whose `sleep` does not wait. `slept` holds every wait in seconds. Thread-safe."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> float:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += max(seconds, 0.0)
            self.slept.append(seconds)

    @property
    def timing(self) -> Timing:
        return Timing(monotonic=self.now, now=self.now, sleep=self.sleep)
