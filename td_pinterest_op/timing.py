"""The clocks and the sleep of a run, as arguments: a test gives its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """`monotonic` gives seconds for measuring, `wall` seconds since 1970, `sleep` waits for seconds."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


SYSTEM = Timing()
