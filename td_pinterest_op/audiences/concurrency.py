"""How many requests run at once: starts at 1, grows while responses are good, halves when throttled or slowed down."""

from __future__ import annotations

# Latency rises when its average doubles and grows by this many seconds: a fast server's jitter is no sign of strain.
_RISE = 2.0
_RISE_SECONDS = 0.25
_WEIGHT = 0.25


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease, as TCP does it. `size` is how many may be in flight now."""

    def __init__(self, *, maximum: int) -> None:
        self._maximum = maximum
        self._size = 1.0
        self._steady = False
        self._average: float | None = None
        self._best = float("inf")
        self._hold = 0

    @property
    def size(self) -> int:
        """How many requests may run at once now."""
        return int(self._size)

    def limit(self, maximum: int) -> None:
        """Never allow more than `maximum` from now on."""
        self._maximum = min(self._maximum, maximum)
        self._size = min(self._size, self._maximum)

    def answered(self, *, latency: float | None, throttled: bool) -> None:
        """Take one response into account; `latency` in seconds, None when it tells nothing (a refusal comes early)."""
        self._hold = max(self._hold - 1, 0)
        if throttled or self._is_rising(latency):
            self._halve()
        else:
            # One more for each response at first, which doubles the size every round trip; then one more a round trip.
            self._size = min(self._maximum, self._size + (1 / self._size if self._steady else 1))

    def _is_rising(self, latency: float | None) -> bool:
        if latency is not None:
            self._average = latency if self._average is None else self._average + _WEIGHT * (latency - self._average)
        if self._average is None:
            return False
        # With one in flight the latency is not our doing: no lower one can be expected.
        self._best = self._average if self.size == 1 else min(self._best, self._average)
        return self._average > _RISE * self._best + _RISE_SECONDS

    def _halve(self) -> None:
        # Responses to requests that left before the last halving say nothing new.
        if self._hold == 0:
            self._hold = self.size
            self._size = max(1.0, self._size / 2)
            self._steady = True
