"""`_retry`: how often, and after which waits. Source: digdag-plugin-utils, RetryControl.java."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import DigError, RefusedError
from .params import as_int, optional_text

_KEYS = ("limit", "interval", "max_interval", "interval_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """At most `limit` repetitions. Waits in whole seconds; `most` bounds the doubling ones only."""

    limit: int = 0
    interval: int = 0
    doubling: bool = False
    most: int | None = None

    def wait(self, done: int) -> int:
        """Seconds to wait after `done` repetitions."""
        if not self.doubling:
            return self.interval
        wait = self.interval << done
        return wait if self.most is None else min(wait, self.most)


def parse_retry(params: Mapping[str, Any]) -> Retry:
    """What `_retry` in `params` says; nothing: no repetition. Raises DigError for a form that digdag does not take."""
    value = params.get("_retry")
    if "_retry" not in params:
        return Retry()
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return Retry(limit=as_int(params, "_retry"))
    if not isinstance(value, dict):
        raise DigError(f"Invalid _retry format:{json.dumps(value)}")
    unknown = [key for key in value if key not in _KEYS]
    if unknown:
        raise RefusedError(f"_retry takes {', '.join(_KEYS)}, not {', '.join(unknown)}")
    kind = (optional_text(value, "interval_type") or "constant").lower()
    if kind not in ("constant", "exponential"):
        raise DigError(f"Invalid retry_interval_type: {kind}")
    return Retry(
        limit=as_int(value, "limit"),
        interval=as_int(value, "interval", 0),
        doubling=kind == "exponential",
        most=None if value.get("max_interval") is None else as_int(value, "max_interval"),
    )
