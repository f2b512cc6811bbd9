"""The report in a real browser: wide, on a phone, in the dark, on paper. It loads nothing, and axe finds no fault."""

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.report.page import render_page
from tests.browser.conftest import Browser
from tests.unit.report.samples import FIRST_DAY, follow_up, mirror, run

DELETED: dict[str, Any] = {
    "action": "delete_current_audience",
    "rows": {"read": 0},
    "records": {"sent": 0},
    "summary": "Deleted it.",
}
FAILED = {"error": f"Pinterest answered 503 to 8 of 8 tries. {'It is down. ' * 30}", "workflow": "pinterest_export"}
WITHHELD: dict[str, Any] = {"unique": 1000, "duplicate": 250, "sent": 830, "refused": 20}
WITHHELD |= {"withheld": {"suppressed": 90, "without_consent": 0, "control": 60}}


def row_counts(hour: int) -> dict[str, int]:
    return {"read": 1600, "valid": 1250 - 10 * hour, "invalid": 350 + 10 * hour}


LONG_NAME = "Newsletter readers of the spring who have bought_something_without_any_space_in_its_name " * 2
PAGES = {
    "history": [one for day in range(40) for one in (run(day), follow_up(day, size=900 + 40 * day))],
    "matched": [follow_up(day, members=1000 + 50 * day, match_ratio=900 / (1000 + 50 * day)) for day in range(9)],
    "one_run": [run(0)],
    "failed": [run(0), follow_up(0), run(1, records=WITHHELD | {"sent": 400}, **FAILED)],
    "first_run": [run(0, records=WITHHELD)],
    "killed": [run(0), run(1, summary=None, rows=None, records=None, **FAILED)],
    "mirror": [one for day in range(10) for one in (mirror(day), follow_up(day, size=900 + day, members=1695))],
    "deleted": [run(0), follow_up(0), run(1, **DELETED)],
    "hours": [
        run(0, rows=row_counts(hour), time=(FIRST_DAY + timedelta(hours=hour)).timestamp()) for hour in (0, 3, 9)
    ],
    "too_small": [run(0), follow_up(0, status="TOO_SMALL", size=40)],
    "long_names": [run(0, audience_name=LONG_NAME, summary=LONG_NAME), run(1, audience_name=LONG_NAME)],
    "follow_up_alone": [follow_up(0), follow_up(1)],
}
# The dates in the page's texts whose boxes are in more than one line.
_BROKEN_DATES = """
const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT), broken = [];
while (walker.nextNode()) {
  for (const date of walker.currentNode.data.matchAll(/\\d+\\s\\w{3}\\s\\d{4},\\s\\d\\d:\\d\\d\\sUTC/g)) {
    const range = document.createRange();
    range.setStart(walker.currentNode, date.index);
    range.setEnd(walker.currentNode, date.index + date[0].length);
    if (new Set([...range.getClientRects()].map(box => box.top)).size > 1) broken.push(date[0]);
  }
}
return broken;
"""
SCREENS = {"wide": (1200, "light"), "phone": (400, "light"), "dark": (1200, "dark"), "dark_phone": (400, "dark")}


def open_page(browser: Browser, folder: Path, name: str) -> None:
    file = folder / f"{name}.html"
    file.write_text(render_page(PAGES[name], now=FIRST_DAY), encoding="utf-8")
    browser.driver.get(file.as_uri())


# Each page is looked at on all screens, and by axe, which takes a second, on one.
@pytest.mark.parametrize(("name", "screen"), list(zip(PAGES, itertools.cycle(SCREENS), strict=False)))
def test_report_fits_every_screen_loads_nothing_and_is_accessible(
    browser: Browser, tmp_path: Path, name: str, screen: str
) -> None:
    browser.driver.get_log("browser")  # type: ignore[no-untyped-call]  # what pages of other tests have left
    open_page(browser, tmp_path, name)
    wide = "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    for width, scheme in SCREENS.values():
        browser.resize(width, 900)
        browser.prefer(scheme)
        assert not browser.is_wider_than_screen()
        assert browser.run(wide) == []
    browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    browser.resize(1200, 900)
    assert browser.run(_BROKEN_DATES) == []
    width, scheme = SCREENS[screen]
    browser.resize(width, 900)
    browser.prefer(scheme)
    assert not browser.is_wider_than_screen()
    assert browser.accessibility_faults() == []
    assert browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)") == []
    logged = browser.driver.get_log("browser")  # type: ignore[no-untyped-call]
    assert [entry for entry in logged if entry["level"] == "SEVERE"] == []


def test_chart_comes_first_on_a_wide_screen_and_paper_shows_folded_parts(browser: Browser, tmp_path: Path) -> None:
    browser.resize(1200, 900)
    open_page(browser, tmp_path, "mirror")
    left, right = browser.run("return ['.funnel', '.verdict'].map(e => document.querySelector(e).offsetLeft)")
    assert left < right
    is_shown = "return document.querySelector('table').checkVisibility()"
    assert not browser.run(is_shown)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.resize(720, 900)
    assert browser.run(is_shown)
    assert not browser.is_wider_than_screen()
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_first_screen_of_a_phone_shows_the_outcome(browser: Browser, tmp_path: Path) -> None:
    browser.resize(390, 844)
    open_page(browser, tmp_path, "too_small")
    ends = browser.run("return document.querySelector('.verdict').getBoundingClientRect().bottom")
    assert ends < 844
    assert "The audience is too small to use, with about 40 matched people" in browser.text()


@pytest.mark.parametrize(("width", "shown"), [(1280, "wide"), (390, "narrow")])
def test_only_the_chart_for_the_width_is_shown(browser: Browser, tmp_path: Path, width: int, shown: str) -> None:
    browser.resize(width, 900)
    open_page(browser, tmp_path, "history")
    visible = "return [...document.querySelectorAll('.chart')].filter(e => e.getBoundingClientRect().width)"
    assert browser.run(f"{visible}.map(e => e.classList[1])") == [shown]


def test_dark_theme_is_dark_and_paper_is_white(browser: Browser, tmp_path: Path) -> None:
    browser.prefer("dark")
    open_page(browser, tmp_path, "history")
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert browser.run(ground) == "rgb(20, 23, 27)"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.run(ground) == "rgb(255, 255, 255)"
    visible = "return [...document.querySelectorAll('.chart.wide')].every(e => e.getBoundingClientRect().width > 0)"
    assert browser.run(visible)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
