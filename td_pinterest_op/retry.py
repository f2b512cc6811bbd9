"""How often a request is repeated, and how long is waited before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how long: times in seconds. `random` gives 0 to 1."""

    count: int
    initial_wait: float
    longest_wait: float
    random: Callable[[], float]

    def waits(self) -> Iterator[float]:
        """The waits before the first, second, … retry, without end: doubling, plus up to half as much again."""
        doubling = backoff.expo(base=2, factor=self.initial_wait, max_value=self.longest_wait)
        next(doubling)  # it yields nothing of use before it is started
        for wait in doubling:
            yield min(wait * (1 + self.random() / 2), self.longest_wait)
