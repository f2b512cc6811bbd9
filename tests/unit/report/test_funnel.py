import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from td_pinterest_op.report.entry import ReportEntry
from td_pinterest_op.report.funnel import LOST_BAR, MATCHED_BAR, REMAINING_BAR, Bar, build_funnel
from tests.unit.report.samples import MIRROR, follow_up, mirror, page, run

WITHHELD = {"suppressed": 90, "without_consent": 0, "control": 60}
RECORDS = {"unique": 1000, "duplicate": 250, "sent": 830, "refused": 20, "withheld": WITHHELD}
TWO_COLUMNS = {"read": 800, "valid": 1250, "invalid": 350, "invalid_by_reason": {"null": 350}}
REMOVE: dict[str, Any] = {"action": "remove_people_from_current_audience"}
RUNS: dict[str, ReportEntry] = {
    "plain": run(),
    "withheld": run(records=RECORDS),
    "mirror": mirror(9),
    "failed": run(records=RECORDS | {"sent": 400}, error="Pinterest was down."),
    "failed mirror": mirror(records={"unique": 2000, "sent": 60}, error="Pinterest was down."),
    "failed before it sent": run(records={"unique": 0, "sent": 0}, rows={"read": 10, "invalid": 10}, error="Too few."),
    "dry run": run(records=RECORDS | {"sent": 0, "refused": 0}, dry_run=True),
    "two columns": run(rows=TWO_COLUMNS),
    "remove": run(**REMOVE),
    "nothing unique": run(rows={"read": 100, "invalid": 100}, records={"unique": 0, "sent": 0}),
}


def text_of(bar: Bar) -> str:
    return f"{bar.label} {bar.count}"


def sums(bars: Sequence[tuple[str, float]]) -> list[tuple[float, float]]:
    """Between each two bars of what is left: the former without the losses, and the latter."""
    kept = [index for index, (kind, _) in enumerate(bars) if kind == REMAINING_BAR]
    return [
        (bars[first][1] - sum(count for _, count in bars[first + 1 : second]), bars[second][1])
        for first, second in pairwise(kept)
    ]


@pytest.mark.parametrize("name", RUNS)
def test_figures_of_the_funnel_on_the_page_add_up(name: str) -> None:
    """Read from the page, as a person does."""
    html = page(RUNS[name], follow_up(10))
    pattern = r'<li class="(\w+)">.*?<span class="count">−?([\d,]+|–)</span>'
    bars = [(kind, int(count.replace(",", ""))) for kind, count in re.findall(pattern, html, re.DOTALL) if count != "–"]
    bars = [bar for bar in bars if bar[0] != MATCHED_BAR][name == "two columns" :]
    assert len(bars) > 1
    for expected, actual in sums(bars):
        assert actual == expected


def test_funnel_of_a_mirror_has_the_same_bars_as_that_of_an_export() -> None:
    assert [text_of(bar) for bar in build_funnel(mirror(9), later_entry_with_size=follow_up(9))] == [
        "Rows read 2000", "Valid 2000", "Different people 2000", "Opted out 200", "Without consent 5",
        "Control group 100", "In the audience 1695", "Matched by Pinterest 900",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("last_run", "label"),
    [
        (mirror(), '"label">In the audience <small>40 joining, 12 leaving, 56 resent</small>'),
        (RUNS["failed mirror"], "Should be in the audience <small>40 joining, 12 leaving, 56 resent</small>"),
        (mirror(mirror=MIRROR | dict.fromkeys(("joined", "left", "resent"), 0)), "In the audience</span>"),
    ],
)
def test_changes_of_a_mirror_are_shown_only_once_it_has_finished(last_run: ReportEntry, label: str) -> None:
    assert label in page(last_run)


@pytest.mark.parametrize(
    ("last_run", "end"),
    [
        (run(records=RECORDS), ["Refused by Pinterest 20", "Sent 830", "Matched by Pinterest None"]),
        (RUNS["failed"], ["Not confirmed 430", "Sent 400"]),
        (RUNS["failed mirror"], ["Different people 2000", "Should be in the audience 2000"]),
        (mirror(members=1690), ["Refused by Pinterest 5", "In the audience 1690", "Matched by Pinterest None"]),
        (RUNS["dry run"], ["Control group 60", "Would be sent 850"]),
        (run(**REMOVE), ["Different people 1000", "Taken out 1000"]),
        (run(**REMOVE, dry_run=True), ["Different people 1000", "Would be taken out 1000"]),
    ],
)
def test_the_last_bars_show_the_result(last_run: ReportEntry, end: list[str]) -> None:
    assert end == [text_of(bar) for bar in build_funnel(last_run, later_entry_with_size=None)][-len(end) :]


def test_a_loss_is_drawn_right_of_the_rest_and_omitted_if_zero() -> None:
    bars = {bar.label: bar for bar in build_funnel(run(records=RECORDS), later_entry_with_size=None)}
    html = page(run(records=RECORDS))
    assert re.findall(r'<span style="(.*?)">', html)[:2] == [
        "margin-left: 0%; width: 100.0%",
        "margin-left: 78.12%; width: 21.88%",
    ]
    assert bars["Opted out"].kind == LOST_BAR
    assert "Without consent" not in bars
    assert bars["Rejected"].note == "null 260, not an email 90"


@pytest.mark.parametrize("rows", [{"read": 0}, {}])
def test_a_run_that_read_no_row_has_no_picture(rows: dict[str, Any]) -> None:
    assert build_funnel(run(rows=rows), later_entry_with_size=None) == []
