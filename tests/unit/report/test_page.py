from __future__ import annotations

import re

import pytest

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.reasons import REASONS
from td_pinterest_op.report.sources import DATA
from tests import guard
from tests.unit.report.samples import FIRST_DAY, follow_up, page, run

NOTHING_READ = {"rows": {"read": 0, "invalid": 0, "invalid_by_reason": {}}, "records": {"unique": 0, "sent": 0}}


def shown(html: str) -> str:
    """The text of a page, without tags and without the data that it carries."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", DATA.sub("", html), flags=re.DOTALL))


def test_the_previous_run_stands_beside_this_one() -> None:
    text = shown(page([run(0), run(1)], now=FIRST_DAY))
    assert "taken by Pinterest 1,100 1,000 +100" in text
    assert "This run Run before Change" in text


def test_the_records_in_the_audience_and_the_share_that_is_matched_stand_on_the_tile_in_the_table_and_over_time() -> (
    None
):
    looks = [follow_up(day, size=900, members=1200 + 300 * day, match_ratio=900 / (1200 + 300 * day)) for day in (0, 1)]
    html = page([run(0), *looks], now=FIRST_DAY)
    assert "; about 60 % of the 1,500 records in it" in shown(html)
    assert "READY 900 1,500 60 %" in shown(html)
    for label in ("Records known to be in the audience", "Share of these records that Pinterest matched, about"):
        assert f'aria-label="{label}, over time' in html


def test_where_the_records_in_the_audience_are_not_known_nothing_is_said_of_them() -> None:
    html = page([run(0), follow_up(0), follow_up(1)], now=FIRST_DAY)
    assert "records in it" not in html
    assert "Records known" not in html


def test_a_single_run_has_no_empty_columns() -> None:
    text = shown(page([run(0)], now=FIRST_DAY))
    assert "Run before" not in text
    assert "no earlier run" in text
    assert "There is no line to draw yet" in text


def test_each_reason_comes_with_what_to_do_and_the_sql_that_finds_the_rows() -> None:
    text = shown(page([run(0)], now=FIRST_DAY))
    for reason in ("null", "not_an_email"):
        assert REASONS[reason].advice in text
    assert "SELECT * FROM people WHERE email IS NULL" in text


def test_a_reason_that_this_version_does_not_know_is_shown_with_its_count() -> None:
    assert "moved_house 3" in shown(
        page([run(0, rows={"read": 3, "invalid_by_reason": {"moved_house": 3}})], now=FIRST_DAY)
    )


def test_a_follow_up_before_the_last_run_does_not_speak_for_it() -> None:
    html = page([run(0), follow_up(0), run(1)], now=FIRST_DAY)
    assert "1,100 people are on their way to Pinterest" in html
    assert "The audience is ready" in page([run(0), run(1), follow_up(1)], now=FIRST_DAY)


def test_a_row_that_was_written_twice_is_shown_once() -> None:
    assert page([run(0)], now=FIRST_DAY) == page([run(0), run(0)], now=FIRST_DAY)


def test_an_audience_is_chosen_among_several() -> None:
    several = [run(0), run(1, audience_id="99", audience_name="Others")]
    assert "<h1>Others</h1>" in page(several, audience_id="99", now=FIRST_DAY)
    assert "<h1>Newsletter readers</h1>" in page(several, audience_id="549755885175000002", now=FIRST_DAY)
    with pytest.raises(SettingsError, match=r"several audiences .*--audience"):
        page(several, now=FIRST_DAY)
    with pytest.raises(SettingsError, match="no audience 7; it has 549755885175000002, 99"):
        page(several, audience_id="7", now=FIRST_DAY)


def test_a_failed_run_without_an_audience_counts_for_the_one_of_the_history() -> None:
    html = page([run(0), run(1, audience_id=None, error="No such job.")], now=FIRST_DAY)
    assert "The last run failed" in html


@pytest.mark.parametrize(
    ("failed", "is_there"),
    [
        ({"audience_name": None}, True),
        ({}, True),
        ({"audience_name": "Others"}, False),
        ({"audience_name": None, "workflow": "others"}, False),
    ],
)
def test_a_run_that_failed_before_its_audience_was_known_stays_in_the_history(
    failed: dict[str, str | None], is_there: bool
) -> None:
    early = run(1, audience_id=None, error="No such job.", **NOTHING_READ, **failed)
    html = page([run(0), early, run(2)], audience_id="549755885175000002", now=FIRST_DAY)
    assert is_there == (">failed<" in html)


def test_a_run_that_failed_before_it_read_a_row_shows_no_figures_of_rows() -> None:
    text = shown(page([run(0), run(1, error="No such job.", summary="", **NOTHING_READ)], now=FIRST_DAY))
    assert "it failed before it read any row" in text
    assert "What the run did It failed." in text
    assert "No row was read." in text
    assert "Nothing was rejected" not in text
    assert "Rows rejected" not in text


@pytest.mark.parametrize(
    ("earlier", "last", "title"),
    [
        ({}, {"audience_name": None}, "Newsletter readers"),
        ({"audience_name": None}, {"audience_name": None}, "audience 549755885175000002"),
        ({"audience_name": None}, {"audience_name": None, "audience_id": None}, "audience without an id"),
    ],
)
def test_the_title_is_the_newest_name_that_is_known_or_else_the_id(
    earlier: dict[str, None], last: dict[str, None], title: str
) -> None:
    assert f"<h1>{title}</h1>" in page([run(0, **earlier), run(1, **last)], now=FIRST_DAY)


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    html = page([run(day) for day in range(5)], now=FIRST_DAY)
    assert "default-src 'none'" in html
    assert [] == re.findall(r"<(?:script|link|img|iframe|object|embed|form|base)\b|@import|url\(|\bon\w+=", html)
    assert [] == re.findall(r"\b(?:src|href|action)=", html)


def test_markup_in_a_name_is_shown_as_text() -> None:
    name = '</template><script>alert(1)</script>"&'
    html = page([run(0, audience_name=name)], now=FIRST_DAY)
    assert "<script" not in html
    assert page([run(0, audience_name=name)], now=FIRST_DAY).count("<template") == 1


def test_nothing_of_a_person_or_a_secret_is_on_the_page() -> None:
    person, digest = "ann@shop.example", "ab" * 32
    html = page([run(0, error=f"{person} {digest}", summary=person, audience_name=f"for {person}")], now=FIRST_DAY)
    guard.check(html, "the page")


def test_a_long_history_shows_the_newest_entries_and_says_how_many_it_hides() -> None:
    html = page([run(day) for day in range(70)], now=FIRST_DAY)
    assert "10 older entries are not shown" in html
