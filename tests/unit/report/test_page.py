import json
import re
from datetime import timedelta
from typing import Any

import pytest

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS
from td_pinterest_op.report.entry import ReportEntry, build_entry
from td_pinterest_op.run_history.history_table import FAILED_OUTCOME, LIFT_ROW, RUN_ROW
from tests import guard
from tests.unit.report.samples import AUDIENCE_ID, FIRST_DAY, follow_up, mirror, other_action, page, run

NOBODY = {"audience_name": None, "audience_id": None}
NOTHING_READ = {"rows": {"read": 0, "invalid": 0, "invalid_by_reason": {}}, "records": {"unique": 0, "sent": 0}}


def shown(html: str) -> str:
    """The text of a page, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


def text_of(*entries: ReportEntry, **options: Any) -> str:
    """The text of the page about a history."""
    return shown(page(*entries, **options))


MATCHING_TIME = " Pinterest takes 24 to 48 hours to update an audience and its size: run pinterest_status.dig then."
CHECKED = " Status check, 2 Nov 2026, 12:00 UTC"
DOWN: dict[str, Any] = {"error": "Pinterest was down.", "outcome": FAILED_OUTCOME}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([run(0)], f"✓ 1000 people were added.{MATCHING_TIME}"),
        ([run(0, **NOTHING_READ)], "✓ 1000 people were added."),
        ([run(0, summary="")], f"✓ The last run succeeded{MATCHING_TIME}"),
        ([run(0), follow_up(1)], f"✓ The audience is ready, with about 900 matched people.{CHECKED}"),
        ([follow_up(1, status="X")], f"… Pinterest is still matching people (status X). Look again tomorrow.{CHECKED}"),
        ([follow_up(1, summary=None)], f"✓ Status READY, 900 matched people{CHECKED}"),
        ([run(0), follow_up(1, **DOWN)], f"! The status check failed Pinterest was down.{CHECKED}"),
        ([run(0, **DOWN), follow_up(1)], "! The last run failed Pinterest was down."),
        ([run(0, dry_run=True, summary="Dry run.", **NOTHING_READ), follow_up(1)], "✓ Dry run."),
    ],
)
def test_the_page_begins_with_what_happened_and_why_it_failed(entries: list[ReportEntry], said: str) -> None:
    verdict = re.findall('<section class="verdict.*?</section>', page(*entries), flags=re.DOTALL)[0]
    assert said == shown(verdict).strip().replace("\N{NO-BREAK SPACE}", " ")


def test_the_table_compares_a_run_with_the_last_success() -> None:
    text = text_of(run(0), run(1))
    assert "sent to Pinterest 1,100 1,000 +100" in text
    assert "This run Last success Change" in text


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ([], "no earlier success"),
        ([run(0)], "+100 compared with the last success"),
        ([run(0, records={"sent": 1100})], "as many as in the last success"),
        ([run(-1), run(0, outcome=FAILED_OUTCOME, records=None, rows=None)], "+200 compared with the last success"),
        ([run(-1), run(0, dry_run=True, records={"unique": 1000, "sent": 0})], "+200 compared with the last success"),
    ],
)
def test_the_card_of_sent_people_has_one_comparison_with_the_last_success(before: list[ReportEntry], said: str) -> None:
    text = text_of(*before, run(1))
    assert f"People sent by this run 1,100 {said} Size at the end of the run" in text


@pytest.mark.parametrize(
    ("rows", "share", "note"),
    [
        ({"read": 1600, "valid": 1250, "invalid": 350}, "21.9 %", "350 of 1,600 values"),
        # Of two columns or of arrays, a row may have several values.
        ({"read": 200, "valid": 100, "invalid": 300}, "75.0 %", "300 of 400 values"),
    ],
)
def test_rejected_values_are_shown_as_a_share_of_all_values(rows: dict[str, int], share: str, note: str) -> None:
    html = page(run(rows=rows))
    assert f"Values rejected {share} {note}" in shown(html)
    assert f'data-label="Rejected">{share}<' in html


def test_records_and_matched_share_are_on_the_card_in_the_table_and_over_time() -> None:
    looks = [follow_up(day, size=900, members=1200 + 300 * day, match_ratio=900 / (1200 + 300 * day)) for day in (0, 1)]
    html = page(run(0), *looks)
    assert "; about 60.0 % of the 1,500 records in it" in shown(html)
    assert "ready 900 1,500 60.0 %" in shown(html)
    for label in ("Records known to be in the audience", "Share of these records that Pinterest matched, about"):
        assert f'aria-label="{label}, over time' in html


def test_a_single_run_has_no_empty_columns_or_sections() -> None:
    text = text_of(run(0))
    for missing in ("Last success", "Records known", "records in it", "What the audience brought"):
        assert missing not in text
    assert "no earlier success" in text
    assert "A chart of the matched people needs two known sizes" in text


def test_each_known_reason_has_advice_and_sql_and_an_unknown_one_is_left_out() -> None:
    reasons = {"null": 260, "not_an_email": 90, "Jane Doe": 1, "moved_house": 2}
    text = text_of(run(0, rows={"read": 1600, "invalid_by_reason": reasons}))
    for reason in ("null", "not_an_email"):
        assert REASON_EXPLANATIONS[reason].advice in text
    assert "SELECT * FROM people WHERE email IS NULL" in text
    assert "Jane Doe" not in text


def test_a_run_that_was_tried_again_is_shown_with_each_try_the_newest_on_top() -> None:
    tries = [run(day, session_uuid="s", **outcome) for day, outcome in enumerate((DOWN, {}))]
    rows = re.findall(
        r"(\d Nov) 2026, 07:00 UTC (Add failed|Added) 1,", text_of(*tries).replace("\N{NO-BREAK SPACE}", " ")
    )
    assert rows == [("2 Nov", "Added"), ("1 Nov", "Add failed")]


def test_an_audience_is_chosen_among_several() -> None:
    several = [run(0), run(1, audience_id="99", audience_name="Others")]
    assert "<h1>Others</h1>" in page(*several, audience_id="99")
    assert "<h1>Newsletter readers</h1>" in page(*several, audience_id=AUDIENCE_ID)


KILLED = build_entry(
    {"kind": RUN_ROW, "outcome": FAILED_OUTCOME, "audience_id": AUDIENCE_ID, "error": "no result was stored"}
)


@pytest.mark.parametrize(
    ("last", "note"),
    [
        (run(1, error="No such job.", summary="", **NOTHING_READ), "it failed before it read any row"),
        (KILLED, "nothing is known of what it did"),
    ],
)
def test_a_failed_run_without_rows_shows_no_figures_of_rows(last: ReportEntry, note: str) -> None:
    text = text_of(run(0), last)
    assert f"People sent by this run – {note}" in text
    assert "What the run did, in figures It failed." in text
    assert "Values rejected" not in text


@pytest.mark.parametrize(
    ("earlier", "last", "title"),
    [
        ({}, {"audience_name": None}, "Newsletter readers"),
        ({"audience_name": None}, {"audience_name": None}, f"audience {AUDIENCE_ID}"),
    ],
)
def test_the_title_is_the_newest_known_name_or_the_id(
    earlier: dict[str, None], last: dict[str, None], title: str
) -> None:
    assert f"<h1>{title}</h1>" in page(run(0, **earlier), run(1, **last))


def test_a_page_has_no_script_and_loads_nothing() -> None:
    html = page(*map(run, range(5)))
    assert "default-src 'none'" in html
    assert re.findall(r"<(?:script|link|img|iframe|object|embed|form|base)\b|@import|url\(|\bon\w+=", html) == []
    assert re.findall(r"\b(?:src|href|action)=", html) == []


def test_markup_in_a_name_is_shown_as_text() -> None:
    html = page(run(0, audience_name='</template><script>alert(1)</script>"&'))
    assert "<script" not in html


def test_a_page_shows_no_person_and_no_secret() -> None:
    person = "ann@shop.example"
    digest = "ab" * 32
    html = page(run(0, error=f"{person} {digest}", summary=person, audience_name=f"for {person}"))
    guard.check(html, "the page")


# -- what an audience brought

FIGURES = {
    "people_sent": 90_000, "converted_sent": 1_800, "rate_sent": 0.02,
    "people_control": 10_000, "converted_control": 150, "rate_control": 0.015,
    "lift_absolute": 0.005, "lift_absolute_low": 0.0023, "lift_absolute_high": 0.0074,
    "lift_relative": 1 / 3, "lift_relative_low": 0.13, "lift_relative_high": 0.57,
    "split_p": 0.98,
}  # fmt: skip


def comparison(day: int = 3, summary: str = "The audience brought conversions.", **others: Any) -> ReportEntry:
    row = {"kind": LIFT_ROW, "audience_id": AUDIENCE_ID, "summary": summary, "lift": json.dumps(FIGURES)}
    return build_entry(
        row | {"time": (FIRST_DAY + timedelta(days=day)).timestamp(), "session_uuid": f"lift {day}"} | others
    )


def test_a_lift_shows_both_groups_its_intervals_and_the_split() -> None:
    text = text_of(run(0), comparison())
    assert "What the audience brought The audience brought conversions." in text
    assert "were sent 90,000 1,800 2.00 % control group, left out 10,000 150 1.50 %" in text
    assert "lift of the rate +0.50 percentage points, between +0.23 and +0.74" in text
    assert "relative lift +33.33 %, between +13.00 and +57.00 probability of so uneven a split 98.00 %" in text
    unknown = comparison(lift=json.dumps(FIGURES | {"lift_relative": None, "lift_absolute_low": None}))
    assert text_of(run(0), unknown).count("lift not known") == 1


def test_the_newest_successful_comparison_is_shown() -> None:
    later = comparison(4, summary="No difference can be told.")
    failed = comparison(5, outcome=FAILED_OUTCOME, lift=None)
    text = text_of(run(0), comparison(), later, failed)
    assert "What the audience brought No difference can be told." in text
    assert "Lift failed" in text


@pytest.mark.parametrize("entries", [[], [comparison()], [follow_up(status="")], [follow_up(audience_status=None)]])
def test_a_history_without_run_and_status_is_an_error(entries: list[ReportEntry]) -> None:
    with pytest.raises(SettingsError, match="has no runs and no status checks"):
        page(*entries)


# -- several audiences, failed runs, sizes

OTHERS = {"audience_id": "99", "audience_name": "Others", "session_uuid": "o"}


def test_page_of_several_audiences_shows_that_of_the_newest_row() -> None:
    other = run(1, **OTHERS, action="replace_current_audience")
    assert "<h1>Others</h1>" in page(run(0), other, run(2, **NOBODY))
    assert "<h1>Newsletter readers</h1>" in page(other, follow_up(1))


def test_a_failed_run_has_its_reason_and_its_workflow() -> None:
    failed = run(1, error="No such job.", workflow="evening", action="replace_current_audience")
    text = text_of(run(0), failed, run(2))
    assert "Failed runs 2 Nov 2026, 07:00 UTC Replace – Newsletter readers , workflow evening No such job." in text
    text = text_of(run(0), failed)
    assert "Last run: Replace failed , 2 Nov 2026, 07:00 UTC, workflow evening" in text
    assert "Failed runs" not in text
    assert text.count("No such job.") == 1


def test_a_figure_that_is_zero_in_both_runs_is_left_out() -> None:
    text = text_of(run(0), run(1))
    assert "refused by Pinterest" not in text
    records = {"unique": 1000, "duplicate": 250, "sent": 990, "refused": 10}
    assert "refused by Pinterest and skipped 0 10 −10" in text_of(run(0, records=records), run(1))


@pytest.mark.parametrize(
    "action",
    ["delete_current_audience", "clear_current_audience"],
)
def test_an_audience_without_people_shows_no_size(action: str) -> None:
    html = page(run(0), follow_up(0), run(1, action=action, **NOTHING_READ))
    assert "<dt>Matched by Pinterest" not in html


@pytest.mark.parametrize(
    ("before", "last", "tile", "members"),
    [
        (other_action(0), mirror(1), "People in the audience 1,695 not known for the last success", "1,695"),
        (mirror(0), mirror(1, members=None), "People of the query in the audience 1,695 other people may be", "–"),
        (mirror(0), other_action(1), "People sent by this run 1,100", "–"),
        (mirror(0), mirror(1, dry_run=True), "", "–"),
        (mirror(0), mirror(1, error="Too few."), "", "–"),
        (mirror(0), other_action(1, action="mirror_current_audience", error="Set begin."), "", "–"),
    ],
    ids=["add, then mirror", "adopted people", "add", "dry run", "failed", "failed early"],
)
def test_page_says_how_many_are_in_the_audience_only_if_the_last_run_knows_it(
    before: ReportEntry, last: ReportEntry, tile: str, members: str
) -> None:
    html = page(before, last)
    text = shown(html)
    assert tile in text
    assert members == re.findall('data-label="In the audience">(.*?)<', html)[0]
    assert (members != "–") == ("People in the audience" in text)
    assert (members != "–") == ("known to be in the audience after the run" in text)
    assert (members != "–") == ('label">In the audience' in html)


def test_erasures_are_listed_and_are_about_no_audience() -> None:
    erased = run(1, action="erase", audience_id=None, audience_name=None, summary="Removed 3 people from 7 lists.")
    text = text_of(run(0), erased, run(2))
    assert "Erasures 2 Nov 2026, 07:00 UTC Erased Removed 3 people from 7 lists." in text
    assert text.count("Removed 3 people") == 1


def test_failed_run_names_its_audience() -> None:
    failed = run(0, outcome=FAILED_OUTCOME, audience_name=None, error="job 7 ended with status error")
    text = text_of(failed, run(1), audience_id=AUDIENCE_ID)
    assert f"Added – audience {AUDIENCE_ID}".replace("Added", "Add") in text
    assert "job 7 ended with status error" in text


def test_matched_has_one_number_until_the_run_is_matched() -> None:
    text = text_of(run(0), follow_up(0, size=20_538), run(1, audience=None))
    assert "Matched before this run 20,538" in text
    assert "Matched by Pinterest not known yet" in text


def test_chart_of_matched_people_has_no_sizes_from_the_ends_of_runs() -> None:
    """Pinterest has not matched a run's people when the run ends."""
    chart = 'aria-label="Matched by Pinterest, over time'
    assert chart not in page(run(0), run(1), run(2))
    assert chart not in page(run(0), follow_up(0), run(1))
    assert chart in page(run(0), follow_up(0), run(1), follow_up(1))
