"""For child processes that tests start, with this folder on PYTHONPATH: clocks that run twenty times as fast.

The operator lets ten seconds pass before it creates something, so that what an earlier try made has time to show.
"""

import time
from typing import Any

SPEED = 20

_sleep = time.sleep
_monotonic = time.monotonic
_began = time.monotonic()


def sleep(seconds: Any) -> None:
    _sleep(seconds / SPEED)


def monotonic() -> float:
    return _began + (_monotonic() - _began) * SPEED


time.sleep = sleep
time.monotonic = monotonic
