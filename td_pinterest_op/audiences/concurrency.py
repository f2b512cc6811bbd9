"""The number of requests in flight, and the threads that send them."""

import concurrent.futures
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from td_pinterest_op.runtime.threads import start_thread

# Seconds between two calls that show the progress while no job ends.
_POLL_SECONDS = 1.0

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class ConcurrencyLimit:
    """The number of requests that may be in flight. It grows from 1, and halves after a 429, as in TCP."""

    def __init__(self, *, maximum: int) -> None:
        self._maximum, self._size, self._has_halved = maximum, 1.0, False
        self._unsettled = 0  # responses still to come to requests from before the last halving

    @property
    def size(self) -> int:
        """How many requests may be in flight now."""
        return int(self._size)

    def record_response(self, *, throttled: bool) -> None:
        """Adjust the size after a response. `throttled`: Pinterest answered 429 to one of the attempts."""
        self._unsettled = max(self._unsettled - 1, 0)
        if not throttled:
            # At first one more for each response, which doubles the size every round trip; later one more a round trip.
            self._size = min(self._maximum, self._size + (1 / self._size if self._has_halved else 1))
        elif not self._unsettled:
            self._unsettled, self._size, self._has_halved = self.size, max(1.0, self._size / 2), True


def run_concurrently(
    work: Callable[[_Job], _Result], jobs: Iterator[_Job], *, limit: ConcurrencyLimit, poll: Callable[[], None]
) -> Iterator[_Result]:
    """Call `work` for each job in a thread, as many at once as `limit` allows. Yields the results as they arrive.

    Calls `poll` every second while no job ends. Raises RuntimeError if a thread cannot be started.
    """
    # Daemon threads: a run that is stopped must not wait for a response that may take minutes.
    running: set[concurrent.futures.Future[_Result]] = set()
    while True:
        while len(running) < limit.size and (job := next(jobs, None)) is not None:
            running.add(start_thread(partial(work, job), name="send-batch"))
        if not running:
            return
        first = concurrent.futures.FIRST_COMPLETED
        ended, running = concurrent.futures.wait(running, timeout=_POLL_SECONDS, return_when=first)
        if not ended:
            poll()
        for future in ended:
            yield future.result()
