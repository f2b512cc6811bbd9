"""The section about what an audience brought."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.history_columns import FAILED, LIFT
from td_pinterest_op.report.entry import Entry, entry
from td_pinterest_op.report.sources import entries
from tests.unit.report.samples import AUDIENCE_ID, FIRST_DAY, page, run
from tests.unit.report.test_page import shown

FIGURES = {
    "people_sent": 90_000, "converted_sent": 1_800, "rate_sent": 0.02,
    "people_control": 10_000, "converted_control": 150, "rate_control": 0.015,
    "lift_absolute": 0.005, "lift_absolute_low": 0.0023, "lift_absolute_high": 0.0074,
    "lift_relative": 1 / 3, "lift_relative_low": 0.13, "lift_relative_high": 0.57,
    "split_p": 0.98,
}  # fmt: skip


def comparison(day: int = 3, summary: str = "The audience brought conversions.", **others: Any) -> Entry:
    row = {"kind": LIFT, "audience_id": AUDIENCE_ID, "summary": summary, "lift": json.dumps(FIGURES)}
    return entry(row | {"time": (FIRST_DAY + timedelta(days=day)).timestamp(), "session_uuid": f"lift {day}"} | others)


def test_both_groups_the_lift_with_its_intervals_and_the_split_are_shown() -> None:
    text = shown(page([run(0), comparison()], now=FIRST_DAY))
    assert "What the audience brought The audience brought conversions." in text
    assert "were sent 90,000 1,800 2.00 % control group, left out 10,000 150 1.50 %" in text
    assert "lift of the rate +0.50 percentage points, between +0.23 and +0.74" in text
    assert "relative lift +33.33 %, between +13.00 and +57.00 probability of so uneven a split 98.00 %" in text


def test_the_newest_comparison_that_did_not_fail_counts() -> None:
    later, failed = comparison(4, summary="No difference can be told."), comparison(5, outcome=FAILED, lift=None)
    text = shown(page([run(0), comparison(), later, failed], now=FIRST_DAY))
    assert "What the audience brought No difference can be told." in text
    assert "comparison failed" in text


def test_a_comparison_that_cannot_be_trusted_is_marked() -> None:
    html = page([run(0), comparison(summary="Do not trust this comparison: it is uneven.")], now=FIRST_DAY)
    assert '<p class="failed">Do not trust this comparison: it is uneven.</p>' in html
    assert '<p class="failed">' not in page([run(0), comparison()], now=FIRST_DAY)


def test_what_is_not_known_is_said_so() -> None:
    figures = FIGURES | {"rate_control": None, "lift_relative": None, "lift_absolute_low": None}
    text = shown(page([run(0), comparison(lift=json.dumps(figures))], now=FIRST_DAY))
    assert "relative lift not known" in text
    assert "lift of the rate not known" in text


def test_without_a_comparison_there_is_no_section() -> None:
    assert "What the audience brought" not in page([run(0)], now=FIRST_DAY)


def test_the_page_of_a_page_still_has_it() -> None:
    first = page([run(0), comparison()], now=FIRST_DAY)
    assert "90,000 1,800 2.00 %" in shown(page(entries(first, name="page"), now=FIRST_DAY))


def test_a_history_of_comparisons_alone_is_said_so() -> None:
    with pytest.raises(SettingsError, match="has no run and no follow-up yet"):
        page([comparison()], now=FIRST_DAY)
