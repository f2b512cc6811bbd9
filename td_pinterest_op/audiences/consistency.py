"""Wait for Pinterest: listings and reads lag behind writes, and a new customer list is not ready at once."""

import logging
from collections.abc import Callable, Collection
from typing import TypeVar

from td_pinterest_op.errors import ExportError, MaybeAppliedError, RequestRefusedError
from td_pinterest_op.http.retry import poll, retry
from td_pinterest_op.pinterest.api import Audience, CustomerList
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.runtime.clock import format_duration

log = logging.getLogger(__name__)

# Seconds in which Pinterest may still show what it has just written, whatever the retry settings are.
PATIENCE = 30.0
# Seconds before each of the reads that look for a new entity, ten in all.
POLL_WAITS = (0.5, 1.5, 2.0, 3.0, 3.0)
# So refused, a request may succeed once Pinterest has finished with the list. The client repeats it after 409 and 423.
_NOT_READY = (400, 404)

_T = TypeVar("_T")
_C = TypeVar("_C", Audience, CustomerList)


def wait_for_consistency(client: Client) -> None:
    """Wait until listings are up to date. They then show what an earlier try of this task created before it died."""
    wait = sum(POLL_WAITS) - client.age
    if wait > 0:
        log.info("waiting %s for Pinterest's listings", format_duration(wait))
        client.rate_limiter.wait(wait)


def read_until_found(find: Callable[[], _T | None], client: Client) -> _T | None:
    """Call `find` repeatedly, for about ten seconds, until it returns a result. Returns None if it never does."""
    return poll(find, (0.0, *POLL_WAITS), sleep=client.rate_limiter.wait)


def create_once(*, create: Callable[[], _C], find: Callable[[], _C | None], client: Client) -> _C:
    """Create and return an audience or list. After a lost response, `create` is repeated only if `find` finds nothing.

    Raises what the functions raise, with `maybe_applied` if the audience or list may exist, and MaybeAppliedError when
    the retries are used up.
    """
    lost = 0
    try:
        while True:
            try:
                return create()
            except MaybeAppliedError as error:
                lost += 1
                wait = format_duration(sum(POLL_WAITS))
                log.warning("%s; checking for up to %s whether the request succeeded, before repeating it", error, wait)
                found = poll(find, POLL_WAITS, sleep=client.rate_limiter.wait)
                if found is not None:
                    return found
                if lost > client.retry.count:
                    raise
    except ExportError as error:
        error.maybe_applied = error.maybe_applied or lost > 0
        raise


def repeat_until_list_is_ready(
    request: Callable[[], _T], client: Client, *, statuses: Collection[int] = _NOT_READY
) -> _T:
    """Send a request about a customer list, and repeat it while Pinterest may refuse it only since the list is new.

    Returns the result of `request`. `statuses`: so refused, it is repeated, as long as the retry settings allow.
    """

    def check_repeatable(error: RequestRefusedError, wait: float) -> float:
        """Return the `wait` before the request is sent again. Raises `error` if it cannot succeed later."""
        if error.status not in statuses:
            raise error
        log.info("the customer list may not be ready (%s); trying again in %s", error, format_duration(wait))
        return wait

    waits = client.retry.iterate_waits_for(PATIENCE)
    return retry(request, waits, on=RequestRefusedError, sleep=client.rate_limiter.wait, before_wait=check_repeatable)
