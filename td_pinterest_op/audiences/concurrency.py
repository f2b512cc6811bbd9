"""The number of requests in flight, and the threads that send them."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from td_pinterest_op.errors import WorkflowError

log = logging.getLogger(__name__)

# Latency counts as rising when its average doubles and grows by this many seconds: jitter of a fast server does not.
_RISE = 2.0
_RISE_SECONDS = 0.25
_WEIGHT = 0.25
# Seconds between two calls that show the progress while no job ends.
_POLL_SECONDS = 1.0

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


class ConcurrencyLimit:
    """The number of requests that may be in flight. It grows from 1, and halves if responses slow down, as in TCP."""

    def __init__(self, *, maximum: int) -> None:
        self._maximum = maximum
        self._size = 1.0
        self._steady = False
        self._average: float | None = None
        self._best = float("inf")
        self._hold = 0

    @property
    def size(self) -> int:
        """How many requests may be in flight now."""
        return int(self._size)

    def lower_maximum(self, maximum: int) -> None:
        """Allow no more than `maximum` requests from now on."""
        self._maximum = min(self._maximum, maximum)
        self._size = min(self._size, self._maximum)

    def record_response(self, *, latency: float | None, throttled: bool) -> None:
        """Adjust the size after a response. `latency`: in seconds, None if unknown or if Pinterest refused early."""
        self._hold = max(self._hold - 1, 0)
        if throttled or self._is_rising(latency):
            self._halve_limit()
        else:
            # At first one more for each response, which doubles the size every round trip; later one more a round trip.
            self._size = min(self._maximum, self._size + (1 / self._size if self._steady else 1))

    def _is_rising(self, latency: float | None) -> bool:
        """Update the average latency, and return whether it is far above the lowest one."""
        if latency is not None:
            self._average = latency if self._average is None else self._average + _WEIGHT * (latency - self._average)
        if self._average is None:
            return False
        # With one request in flight we do not cause the latency: no lower one can be expected.
        self._best = self._average if self.size == 1 else min(self._best, self._average)
        return self._average > _RISE * self._best + _RISE_SECONDS

    def _halve_limit(self) -> None:
        # Responses to requests that were sent before the last halving are no new sign.
        if self._hold == 0:
            self._hold = self.size
            self._size = max(1.0, self._size / 2)
            self._steady = True


class Workers(Generic[_Job, _Result]):
    """Threads that call `work` for each job, as many at once as `limit` allows."""

    def __init__(self, work: Callable[[_Job], _Result], *, limit: ConcurrencyLimit) -> None:
        self._work, self._limit = work, limit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._threads = self._in_flight = 0
        self._ending = False

    def results(self, jobs: Iterator[_Job], *, poll: Callable[[], None]) -> Iterator[_Result]:
        """Yield the result of each job when it ends. Calls `poll` every second while it waits."""
        while True:
            while self._in_flight < self._limit.size and not self._ending and (job := next(jobs, None)) is not None:
                if self._in_flight >= self._threads:
                    self._start_thread()
                self._in_flight += 1
                self._jobs.put(job)
            if not self._in_flight:
                return
            try:
                result = self._results.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                poll()
                continue
            self._in_flight -= 1
            yield result

    def end(self) -> None:
        """Start no more jobs. Those in flight continue."""
        self._ending = True

    def close(self) -> None:
        """Let each thread end after its current job."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _start_thread(self) -> None:
        # A daemon: a run that is stopped must not wait for a response that may take minutes.
        thread = threading.Thread(target=self._do_jobs, name=f"send-{self._threads + 1}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise WorkflowError(
                    "the system does not let this process start a thread: raise the limit on processes or on memory"
                ) from None
            log.warning("the system allows this process only %d threads: continuing with these", self._threads)
            self._limit.lower_maximum(self._threads)
        else:
            self._threads += 1

    def _do_jobs(self) -> None:
        """Do jobs from the queue, until it contains None."""
        while (job := self._jobs.get()) is not None:
            self._results.put(self._work(job))
