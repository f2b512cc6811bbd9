"""Create an audience or a list exactly once, even if a response is lost or a second run of the task creates it too.

Listings and reads may lag behind writes, and a new list is not ready at once: functions here wait for both.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from td_pinterest_op.errors import ConnectionBrokenError, ExportError, MaybeAppliedError, RequestRefusedError
from td_pinterest_op.pinterest.api import Api, Audience, CustomerList
from td_pinterest_op.pinterest.client import MOST_BROKEN, Client
from td_pinterest_op.runtime.clock import format_duration

log = logging.getLogger(__name__)

# Seconds in which Pinterest may still show what it has just written, whatever the retry settings are.
PATIENCE = 30.0
# Seconds before each of the reads that look for a new entity, ten in all.
_POLL_WAITS = (0.5, 1.5, 2.0, 3.0, 3.0)
# So refused, a request may succeed once Pinterest has finished with the list. The client repeats it after 409 and 423.
_NOT_READY = (400, 404)
_SETTLING = ("PROCESSING", "UPLOADING")

_T = TypeVar("_T", Audience, CustomerList)
_Answer = TypeVar("_Answer")


def age_key(entity: Audience | CustomerList) -> tuple[int, str]:
    """Return a sort key that puts the oldest audience or list first. Ids are growing numbers without leading zeros."""
    return len(entity.id), entity.id


def wait_for_consistency(client: Client) -> None:
    """Wait until listings are up to date. They then show what an earlier try of this task created before it died."""
    wait = sum(_POLL_WAITS) - client.age
    if wait > 0:
        log.info(
            "waiting %s, until Pinterest lists everything that an earlier try of this task may have created",
            format_duration(wait),
        )
        client.rate_limiter.wait(wait)


def repeat_until_list_is_ready(
    request: Callable[[], _Answer], api: Api, *, list_id: str, sends_records: bool = False
) -> _Answer:
    """Send a request about a customer list, and repeat it while Pinterest may refuse it only since the list is new.

    Returns the result of `request`. `sends_records`: the request contains records; if so, only a 404 is repeated.
    """
    waited = 0.0
    for wait in api.client.retry.iterate_waits_for(PATIENCE):
        try:
            return request()
        except RequestRefusedError as error:
            is_stale = waited < sum(_POLL_WAITS)
            if not _can_succeed_later(error.status, api, list_id, sends_records=sends_records, is_stale=is_stale):
                raise
            log.info("list %s may not be ready (%s); trying again in %s", list_id, error, format_duration(wait))
        api.client.rate_limiter.wait(wait)
        waited += wait
    return request()


def _can_succeed_later(status: int | None, api: Api, list_id: str, *, sends_records: bool, is_stale: bool) -> bool:
    """Whether a request, refused with the HTTP `status`, may succeed later. `is_stale`: reads may still lag."""
    if sends_records:  # a 400 may be about them
        return status == 404
    if status not in _NOT_READY:
        return False
    customer_list = None if is_stale else api.find_customer_list(list_id)
    return customer_list is None or customer_list.status.upper() in _SETTLING


def poll_until_found(find: Callable[[], _Answer | None], client: Client) -> _Answer | None:
    """Call `find` repeatedly, for about ten seconds, until it returns a result. Returns None if it never does."""
    for wait in _POLL_WAITS:
        client.rate_limiter.wait(wait)
        if (found := find()) is not None:
            return found
    return None


def read_until_found(find: Callable[[], _Answer | None], client: Client) -> _Answer | None:
    """Call `find` at once, and then, if it returns nothing, as `poll_until_found` does."""
    return find() or poll_until_found(find, client)


def create_once(
    *, create: Callable[[], _T], find: Callable[[], _T | None], client: Client, has_several_records: bool = False
) -> tuple[_T, int]:
    """Create and return an audience or list, once despite lost responses. Also returns how many duplicates may exist.

    After a lost response, `create` is called again only if `find` finds nothing. If two runs of a task create at once,
    both return what `find` returns. Raises what the functions raise, with `maybe_applied` if the audience or list may
    exist, and MaybeAppliedError when the retries are used up. `has_several_records`: after two requests without a
    response, raise ConnectionBrokenError, so that the caller can send fewer.
    """
    lost, made, wait = 0, None, format_duration(sum(_POLL_WAITS))
    try:
        while made is None:
            try:
                made = create()
            except MaybeAppliedError as error:
                lost += 1
                log.warning("%s; checking for up to %s whether the request succeeded, before repeating it", error, wait)
                earlier = poll_until_found(find, client)
                if earlier is not None:
                    return earlier, lost
                if lost > client.retry.count:
                    raise
                if has_several_records and error.status is None and lost == MOST_BROKEN:
                    raise ConnectionBrokenError(str(error)) from None
        kept = find() or made  # a listing may not show a new entity yet
        if kept.id != made.id:  # another run created it: wait until listings show both
            client.rate_limiter.wait(sum(_POLL_WAITS))
    except ExportError as error:
        # If `find` fails, the entity may have been created.
        error.maybe_applied = error.maybe_applied or lost > 0 or made is not None
        raise
    return kept, lost + (kept.id != made.id)
