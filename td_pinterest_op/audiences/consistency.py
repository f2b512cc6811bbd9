"""Wait until Pinterest shows what was written, and repeat a request about a list that is not ready yet.

Listings and reads lag behind writes. Functions raise the API's errors.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from td_pinterest_op.errors import ExportError, MaybeAppliedError, PinterestError, RequestRefusedError, UnavailableError
from td_pinterest_op.http.retry import retry
from td_pinterest_op.pinterest.api import Api, Audience
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.runtime.clock import format_duration

log = logging.getLogger(__name__)

# Seconds before each further request about a list that is not ready yet: half a minute in all.
_LIST_READY_WAITS = (0.5, 1.0, 2.0, 4.0, 7.5, 15.0)
_NOT_READY_STATUSES = (409, 423)
# Seconds before each of the reads that look for a new entity, ten in all.
POLL_WAITS = (0.5, 1.5, 2.0, 3.0, 3.0)
_T = TypeVar("_T")


def wait_out_listing_lag(client: Client) -> None:
    """Wait until ten seconds after the run's start: listings then show what earlier runs wrote."""
    wait = sum(POLL_WAITS) - (client.timing.monotonic() - client.began)
    if wait > 0:
        log.info("waiting %s for Pinterest's listings", format_duration(wait))
        client.rate_limiter.wait(wait)


def wait_out_read_lag(client: Client) -> None:
    """Wait ten seconds after a creation or switch, so that reads show what other runs did at the same time."""
    wait = sum(POLL_WAITS)
    log.info("waiting %s to see what other runs did at the same time", format_duration(wait))
    client.rate_limiter.wait(wait)


def read_until_found(
    find: Callable[[], _T | None], client: Client, *, waits: Iterable[float] = (0.0, *POLL_WAITS)
) -> _T | None:
    """Call `find`, which reads from Pinterest, until it returns a result. Return that, or None if it never does.

    `waits`: the seconds before each call, by default ten in all.
    """
    for wait in waits:
        if wait:
            client.rate_limiter.wait(wait)
        found = find()
        if found is not None:
            return found
    return None


def create_once(*, create: Callable[[], _T], find_created: Callable[[], _T | None], client: Client) -> _T:
    """Create an audience or list by calling `create`, and return it.

    After a lost response, `create` is called again only if `find_created` returns None. Raises the errors of both, with
    `maybe_applied` if the audience or list may exist, and MaybeAppliedError when the retries are used up.
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
                found = read_until_found(find_created, client, waits=POLL_WAITS)
                if found is not None:
                    return found
                if lost > client.retry.count:
                    raise
    except ExportError as error:
        error.maybe_applied = error.maybe_applied or lost > 0
        raise


def repeat_until_list_is_ready(
    request: Callable[[], _T], client: Client, *, is_unready: Callable[[RequestRefusedError], bool]
) -> _T:
    """Call `request`, which is about a customer list that may be new, and return its result.

    While Pinterest refuses it and `is_unready` returns True for the error, or answers 409 or 423, calls it again for
    half a minute, whatever the retry settings are. Raises the last error.
    """
    clock = client.timing.monotonic
    end = clock() + sum(_LIST_READY_WAITS)

    def check_repeatable(error: PinterestError, wait: float) -> float:
        if isinstance(error, RequestRefusedError):
            is_repeatable = not error.is_read and is_unready(error)
        else:
            # The client has repeated the request as the settings say, which may have taken half a minute.
            is_repeatable = error.status in _NOT_READY_STATUSES and clock() < end
        if not is_repeatable:
            raise error
        log.info("the customer list may not be ready (%s); trying again in %s", error, format_duration(wait))
        return wait

    wait = client.rate_limiter.wait
    errors = (RequestRefusedError, UnavailableError)
    return retry(request, _LIST_READY_WAITS, on=errors, sleep=wait, before_wait=check_repeatable)


def request_new_audience(api: Api, name: str, *, description: str | None, list_id: str) -> Audience:
    """Ask Pinterest for an audience that uses a customer list, as soon as the list is ready. Return it."""
    rule = {"customer_list_id": list_id}
    request = partial(api.create_audience, name=name, description=description, rule=rule)
    return repeat_until_list_is_ready(request, api.client, is_unready=partial(_is_list_unready, api, list_id))


def request_switch(api: Api, audience_id: str, *, list_id: str) -> None:
    """Ask Pinterest to make an audience use a customer list, as soon as the list is ready."""
    request = partial(api.switch_audience, audience_id, customer_list_id=list_id)
    repeat_until_list_is_ready(request, api.client, is_unready=partial(_is_list_unready, api, list_id))


def _is_list_unready(api: Api, list_id: str, error: RequestRefusedError) -> bool:
    """Whether Pinterest refused because the list is not ready. A 400 or 404 does not tell, so the list is read."""
    if error.status not in (400, 404):
        return False
    made = api.find_customer_list(list_id)
    return made is None or made.is_processing
