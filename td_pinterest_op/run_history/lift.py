"""Compare the people who were sent with the control group, from the counts that queries/lift.sql returns."""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

COUNT_NAMES = ("people_sent", "converted_sent", "people_control", "converted_control")
"""The columns of queries/lift.sql."""

_DOUBT_PREFIX = "Do not trust this comparison: "
NO_CONTROL_GROUP_SUMMARY = (
    f"{_DOUBT_PREFIX}the history has no run of this audience that withheld a control group. Check audience_id in "
    "config/lift.yml, and `control` in the settings of its export."
)
"""The summary of a comparison of groups that were treated alike."""
_NORMAL_DISTRIBUTION = NormalDist()
# From the middle of a 95 % interval to its end, in standard deviations.
_Z = _NORMAL_DISTRIBUTION.inv_cdf(0.975)
_LEAST_CONVERTED = 10
_LEAST_SPLIT_P = 0.001


def compare_with_control_group(counts: Mapping[str, int], *, control_share: float) -> dict[str, Any]:
    """Return the figures of a comparison by name, and a sentence (`summary`).

    `counts`: by the names in COUNT_NAMES. `control_share`: the control group's part of the people, from 0 to 1, as it
    was set. The figures: counts, rates, lift with its 95 % intervals, and `split_p`, the probability that chance splits
    the people at least as unevenly (binomial, by its normal approximation with the correction for continuity). A figure
    that the counts do not allow is None.
    """
    sent = counts["people_sent"]
    control = counts["people_control"]
    figures: dict[str, Any] = {name: counts[name] for name in COUNT_NAMES}
    figures |= dict.fromkeys(("rate_sent", "rate_control", "split_p"))
    figures |= dict.fromkeys(f"lift_{kind}{end}" for kind in ("absolute", "relative") for end in ("", "_low", "_high"))
    if sent and control:
        people = sent + control
        distance = max(abs(control - people * control_share) - 0.5, 0.0)
        split_z = distance / math.sqrt(people * control_share * (1 - control_share))
        rate_sent = counts["converted_sent"] / sent
        rate_control = counts["converted_control"] / control
        low_sent, high_sent = _compute_score_interval(rate_sent, sent)
        low_control, high_control = _compute_score_interval(rate_control, control)
        lift = rate_sent - rate_control
        figures |= {
            "split_p": min(1.0, 2 * _NORMAL_DISTRIBUTION.cdf(-split_z)),
            "rate_sent": rate_sent,
            "rate_control": rate_control,
            "lift_absolute": lift,
            # Newcombe's hybrid score for the difference of two shares.
            "lift_absolute_low": lift - math.hypot(rate_sent - low_sent, high_control - rate_control),
            "lift_absolute_high": lift + math.hypot(high_sent - rate_sent, rate_control - low_control),
        }
        if rate_control:
            ratio = rate_sent / rate_control
            figures["lift_relative"] = ratio - 1
            if rate_sent:
                # The interval of the logarithm of a ratio.
                inverses = (1 / counts[f"converted_{arm}"] - 1 / counts[f"people_{arm}"] for arm in ("sent", "control"))
                factor = math.exp(_Z * math.sqrt(sum(inverses)))
                figures["lift_relative_low"] = ratio / factor - 1
                figures["lift_relative_high"] = ratio * factor - 1
    return figures | {"summary": _summarise_lift(figures)}


def _compute_score_interval(rate: float, people: int) -> tuple[float, float]:
    """Return both ends of Wilson's 95 % interval for a share that was found among `people`."""
    square = _Z * _Z / people
    middle = rate + square / 2
    half = _Z * math.sqrt(rate * (1 - rate) / people + square / people / 4)
    return (middle - half) / (1 + square), (middle + half) / (1 + square)


def _summarise_lift(figures: Mapping[str, Any]) -> str:
    control = figures["people_control"]
    people = figures["people_sent"] + control
    converted_sent = figures["converted_sent"]
    converted_control = figures["converted_control"]
    if figures["split_p"] is None:
        return f"{_DOUBT_PREFIX}one of the two groups is empty."
    if figures["split_p"] < _LEAST_SPLIT_P:
        return (
            f"{_DOUBT_PREFIX}{control} of {people} people are in the control group, which is hardly chance. Check "
            "percent, salt and queries/control.sql."
        )
    if min(converted_sent, converted_control) < _LEAST_CONVERTED:
        return (
            f"{_DOUBT_PREFIX}too few people converted ({converted_sent} of those sent, {converted_control} of the "
            "control group). Wait for ten in each group."
        )
    if figures["lift_absolute_low"] > 0:
        return "The audience brought conversions: the interval of the lift lies above zero."
    if figures["lift_absolute_high"] < 0:
        return "Those who were sent converted less than the control group: the interval of the lift lies below zero."
    return "No difference can be told: the interval of the lift contains zero."
