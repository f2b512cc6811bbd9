"""Create an audience or a list exactly once, even if a response is lost or a second run of the task creates it too."""

import logging
from collections.abc import Callable
from typing import TypeVar

from td_pinterest_op.audiences.consistency import POLL_WAITS, poll_until_found
from td_pinterest_op.errors import ExportError, MaybeAppliedError
from td_pinterest_op.pinterest.api import Audience, CustomerList
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.runtime.clock import format_duration

log = logging.getLogger(__name__)

_T = TypeVar("_T", Audience, CustomerList)


def create_once(*, create: Callable[[], _T], find: Callable[[], _T | None], client: Client) -> _T:
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
                found = poll_until_found(find, client)
                if found is not None:
                    return found
                if lost > client.retry.count:
                    raise
    except ExportError as error:
        error.maybe_applied = error.maybe_applied or lost > 0
        raise
