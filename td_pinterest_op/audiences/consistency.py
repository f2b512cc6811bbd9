"""Wait for Pinterest: listings and reads lag behind writes, and a new customer list is not ready at once."""

import logging
from collections.abc import Callable
from typing import TypeVar

from td_pinterest_op.errors import RequestRefusedError
from td_pinterest_op.http.retry import poll, retry
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.runtime.clock import format_duration

log = logging.getLogger(__name__)

# Seconds in which Pinterest may still show what it has just written, whatever the retry settings are.
PATIENCE = 30.0
# Seconds before each of the reads that look for a new entity, ten in all.
POLL_WAITS = (0.5, 1.5, 2.0, 3.0, 3.0)
# So refused, a request may succeed once Pinterest has finished with the list. The client repeats it after 409 and 423.
_NOT_READY = (400, 404)
_SETTLING = ("PROCESSING", "UPLOADING")

_T = TypeVar("_T")


def wait_for_consistency(client: Client) -> None:
    """Wait until listings are up to date. They then show what an earlier try of this task created before it died."""
    wait = sum(POLL_WAITS) - client.age
    if wait > 0:
        log.info("waiting %s for Pinterest's listings", format_duration(wait))
        client.rate_limiter.wait(wait)


def poll_until_found(find: Callable[[], _T | None], client: Client) -> _T | None:
    """Call `find` repeatedly, for about ten seconds, until it returns a result. Returns None if it never does."""
    return poll(find, POLL_WAITS, sleep=client.rate_limiter.wait)


def read_until_found(find: Callable[[], _T | None], client: Client) -> _T | None:
    """Call `find` at once, and then, if it returns nothing, as `poll_until_found` does."""
    return poll(find, (0.0, *POLL_WAITS), sleep=client.rate_limiter.wait)


def repeat_until_list_is_ready(request: Callable[[], _T], api: Api, *, list_id: str, sends_records: bool = False) -> _T:
    """Send a request about a customer list, and repeat it while Pinterest may refuse it only since the list is new.

    Returns the result of `request`. `sends_records`: the request contains records; if so, only a 404 is repeated.
    """
    waited = 0.0

    def check_repeatable(error: RequestRefusedError, wait: float) -> float:
        """Return the `wait` before the request is sent again. Raises `error` if it cannot succeed later."""
        nonlocal waited
        # A 400 may be about the records.
        may_succeed = error.status == 404 if sends_records else error.status in _NOT_READY
        if may_succeed and not sends_records and waited >= sum(POLL_WAITS):  # reads are up to date
            customer_list = api.find_customer_list(list_id)
            may_succeed = customer_list is None or customer_list.status.upper() in _SETTLING
        if not may_succeed:
            raise error
        log.info("list %s may not be ready (%s); trying again in %s", list_id, error, format_duration(wait))
        waited += wait
        return wait

    client = api.client
    waits = client.retry.iterate_waits_for(PATIENCE)
    return retry(request, waits, on=RequestRefusedError, sleep=client.rate_limiter.wait, before_wait=check_repeatable)
