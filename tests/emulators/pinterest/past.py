"""What lists and audiences looked like a while ago, for reads that lag behind writes."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Past(Generic[_T]):
    """Earlier versions by id, oldest first. Times are seconds since 1970; the caller holds the world's lock.

    What was never noted has always looked as it does now: a test's own seeds are visible at once.
    """

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[float, _T | None]]] = {}

    def note(self, id_: str, before: _T | None, now: float) -> None:
        """Keep what `id_` looked like until now; None: it did not exist."""
        self._versions.setdefault(id_, []).append((now, copy.copy(before)))

    def seen(self, id_: str, current: _T, at: float) -> _T | None:
        """What `id_` looked like at a time; None: it did not exist yet."""
        for until, version in self._versions.get(id_, ()):
            if at < until:
                return version
        return current

    def oldest(self, id_: str, current: _T) -> _T:
        """What `id_` looked like when it was made."""
        return next((version for _, version in self._versions.get(id_, ()) if version is not None), current)
