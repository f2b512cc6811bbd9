"""Creating a thing once, though an answer may be lost and a ghost of the same task may be at it too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from td_pinterest_op.pinterest.client import MaybeAppliedError
from td_pinterest_op.retry import Retry

log = logging.getLogger(__name__)


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


_T = TypeVar("_T", bound=_HasId)


def oldest(things: Iterable[_T]) -> _T:
    """The one with the oldest id: the one that all tries of a task agree on, whoever made it."""
    return min(things, key=lambda thing: int(thing.id))


def created_once(
    *, create: Callable[[], _T], find: Callable[[], _T | None], retry: Retry, sleep: Callable[[float], None]
) -> _T:
    """Create a thing, or find that it is there.

    A creating request is repeated only after looking whether it was carried out. When two tries of a task create at the
    same moment, both see both afterwards, and both take the one that `find` prefers.
    Raises MaybeAppliedError when the retries are used up, and what `create` and `find` raise.
    """
    waits = retry.waits()
    for attempt in range(retry.count + 1):
        try:
            made = create()
        except MaybeAppliedError as error:
            wait = next(waits)
            log.warning("%s; looking in %.1f s whether it was done", error, wait)
            sleep(wait)
            found = find()
            if found is None and attempt == retry.count:
                raise
            if found is not None:
                return found
        else:
            # A list may not show at once what was just created.
            return find() or made
    raise AssertionError("unreachable")
