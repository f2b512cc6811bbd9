"""What a rehearsal found out: the facts, the steps and the advice, and their JSON.

They hold no id, no name of the account, no secret and no person: the file may be attached to a bug report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from td_pinterest_op import __version__

# As an export has them without a setting: limit_records_per_request and max_in_flight.
DEFAULT_BATCH, DEFAULT_AT_ONCE = 10_000, 8
# The operator looks for what it has just created for so long before it creates it again, in seconds.
_LOOKED_FOR = 10.0


@dataclass(slots=True, kw_only=True)
class Facts:
    """Each is None until it is found out. `…_seconds`: from the answer to a write until a read shows it.

    largest_batch: the most records that one request took. batch_too_large_status: of the answer to the next larger one,
    None if there was none. batches_at_once: the most that were taken at the same time.
    """

    refresh_rotates: bool | None = None
    old_refresh_token_lives: bool | None = None
    list_without_records: bool | None = None
    records_v2: bool | None = None
    largest_batch: int | None = None
    batch_too_large_status: int | None = None
    batches_at_once: int | None = None
    list_readable_seconds: float | None = None
    list_listed_seconds: float | None = None
    move_obeyed: bool | None = None
    move_seconds: float | None = None
    removed_readable: bool | None = None
    removed_again: bool | None = None


def advice(facts: Facts) -> list[str]:
    """What to set, and what to leave alone, with a service that behaves so."""
    batch, at_once = facts.largest_batch, facts.batches_at_once
    return [
        text
        for applies, text in (
            (batch not in (None, DEFAULT_BATCH), f"set limit_records_per_request: {batch}"),
            (at_once is not None and at_once < DEFAULT_AT_ONCE, f"set max_in_flight: {at_once}"),
            (facts.records_v2 is False, "leave records: identifiers, rows with several keys are refused"),
            (facts.move_obeyed is False, "use add, remove and create; replace and clear need a move"),
            (
                facts.refresh_rotates and facts.old_refresh_token_lives is False,
                "keep the refresh token in one place: every refresh ends the one before",
            ),
            (
                (facts.list_listed_seconds or 0.0) > _LOOKED_FOR,
                "look at `td-pinterest lists` after a run with a lost answer: new lists are listed late",
            ),
        )
        if applies
    ]


def content(
    facts: Facts, steps: Sequence[Mapping[str, Any]], *, announced: int, made: int, at: datetime
) -> dict[str, Any]:
    """The content of `rehearsal.json`.

    `announced`: the writes that were said first; `made`: all that were made, repeats included. A step: what was asked,
    the answer that decided (null: there was none), and what it means.
    """
    return {
        "version": __version__,
        "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "writes": {"announced": announced, "made": made},
        "facts": {name: round(it, 2) if isinstance(it, float) else it for name, it in asdict(facts).items()},
        "steps": list(steps),
        "advice": advice(facts),
    }
