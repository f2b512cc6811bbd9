"""What an audience brought: the last comparison with the control group, as a page shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.history import LIFT, SUCCESS
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.figures import day, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A row of the table: one of the two groups; texts, ready to be shown."""

    label: str
    people: str
    converted: str
    rate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """`verdict` says in words whether the comparison can be trusted and what it says; `trusted`: whether it can."""

    when: str
    verdict: str
    trusted: bool
    arms: tuple[Arm, ...]
    absolute: str
    relative: str
    split: str


def last_lift(entries: Sequence[Entry]) -> Lift | None:
    """The newest comparison among `entries`, which are in the order of time; None without one."""
    lifts = [entry for entry in entries if entry.kind == LIFT and entry.outcome == SUCCESS and entry.text("lift")]
    return _lift(lifts[-1]) if lifts else None


def _lift(entry: Entry) -> Lift:
    # A page carries an earlier page's data as it was read: text from a table, a mapping from JSON.
    given = entry.values["lift"]
    figures: Mapping[str, Any] = json.loads(given) if isinstance(given, str) else given
    verdict = entry.text("summary")
    return Lift(
        when=day(entry.at),
        verdict=verdict,
        trusted=not verdict.startswith("Do not trust"),
        arms=tuple(
            Arm(
                label=label,
                people=number(figures.get(f"people_{arm}")),
                converted=number(figures.get(f"converted_{arm}")),
                rate=_percent(figures.get(f"rate_{arm}")),
            )
            for arm, label in (("sent", "were sent"), ("control", "control group, left out"))
        ),
        absolute=_interval(figures, "lift_absolute", "percentage points"),
        relative=_interval(figures, "lift_relative", "%"),
        split=_percent(figures.get("split_p")),
    )


def _interval(figures: Mapping[str, Any], name: str, unit: str) -> str:
    """ "+1.20 %, between +0.40 and +2.00"; "not known" where a figure is missing."""
    values = [figures.get(f"{name}{end}") for end in ("", "_low", "_high")]
    if any(value is None for value in values):
        return "not known"
    about, low, high = (f"{100 * float(value):+.2f}".replace("-", "−") for value in values if value is not None)
    return f"{about} {unit}, between {low} and {high}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * float(share):.2f} %"
