"""Create a thing exactly once, even if the response is lost or a second run of the task creates it too."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from td_pinterest_op.errors import ConnectionBrokenError, ExportError, MaybeAppliedError, RequestRefusedError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.runtime.clock import format_duration

log = logging.getLogger(__name__)

# Seconds in which Pinterest may still show what it has just written, whatever the retry settings are.
PATIENCE = 30.0
_BROKEN = 2
# Listings may lag behind writes. Seconds before each look after a lost response, ten in all.
_LOOKS = (0.5, 1.5, 2.0, 3.0, 3.0)


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


_T = TypeVar("_T", bound=_HasId)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(Generic[_T]):
    """A created thing. `answered`: its request got a response. `lost`: the response to a request was lost."""

    thing: _T
    answered: bool
    lost: bool


def find_oldest(things: Iterable[_T]) -> _T | None:
    """Return the thing with the lowest id, None without things. All tries of a task find the same one."""
    return min(things, key=age_key, default=None)


def age_key(thing: _HasId) -> tuple[int, str]:
    """Return a sort key that puts the oldest thing first. Ids are ascending numbers without leading zeros."""
    return len(thing.id), thing.id


def wait_for_consistency(client: Client) -> None:
    """Wait until listings show everything created before this run. Returns at once if the run is old enough.

    An earlier try of this task may have been killed just after it created something.
    """
    wait = sum(_LOOKS) - client.age
    if wait > 0:
        log.info(
            "waiting %s, until Pinterest lists everything that an earlier try of this task may have created",
            format_duration(wait),
        )
        client.rate_limiter.wait(wait)


def retry_until_ready(
    request: Callable[[], _Answer], client: Client, *, list_id: str, is_early: Callable[[RequestRefusedError], bool]
) -> _Answer:
    """Send a request that uses a list, and repeat it while it is refused because the list is not ready."""
    for wait in client.retry.iterate_waits_for(PATIENCE):
        try:
            return request()
        except RequestRefusedError as error:
            if not is_early(error):
                raise
            log.info("customer list %s is not ready (%s); trying again in %s", list_id, error, format_duration(wait))
        client.rate_limiter.wait(wait)
    return request()


def poll_for(find: Callable[[], _Answer | None], client: Client) -> _Answer | None:
    """Call `find` for about ten seconds until it finds something, and return that. None if it finds nothing."""
    for wait in _LOOKS:
        client.rate_limiter.wait(wait)
        thing = find()
        if thing is not None:
            return thing
    return None


def create_once(
    *, create: Callable[[], _T], find: Callable[[], _T | None], client: Client, divisible: bool = False
) -> Created[_T]:
    """Create a thing. If the response is lost, look for the thing before repeating the request.

    A request to create is repeated only if `find` does not find the thing. If two runs of a task create at once, both
    find both things afterwards, and take the one that `find` prefers.

    Raises MaybeAppliedError when the retries are used up, and what `create` and `find` raise, with `maybe_applied` if
    the thing may exist. If the request is `divisible`, raises ConnectionBrokenError after two requests without any
    response.
    """
    lost, made = 0, None
    try:
        while made is None:
            try:
                made = create()
            except MaybeAppliedError as error:
                lost += 1
                log.warning(
                    "%s; checking for up to %s whether the request succeeded, before repeating it",
                    error,
                    format_duration(sum(_LOOKS)),
                )
                earlier = poll_for(find, client)
                if earlier is not None:
                    return Created(thing=earlier, answered=False, lost=True)
                if lost > client.retry.count:
                    raise
                if divisible and error.status is None and lost == _BROKEN:
                    raise ConnectionBrokenError(str(error)) from None
        # A listing may not show a new thing yet.
        first = find() or made
        return Created(thing=first, answered=first.id == made.id, lost=lost > 0)
    except ExportError as error:
        # If `find` fails, the thing may have been created.
        error.maybe_applied = error.maybe_applied or lost > 0 or made is not None
        raise
