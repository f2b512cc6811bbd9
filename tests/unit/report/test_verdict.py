from typing import Any

import pytest

from td_pinterest_op.report.entry import ReportEntry
from td_pinterest_op.report.verdict import choose_report_text
from tests.unit.report.samples import follow_up, mirror, run

NOBODY: dict[str, Any] = {"records": {"unique": 0, "sent": 0}}
ACTALIKE = run(action="create_actalike_audience", **NOBODY)
TOO_SMALL = "The audience is too small to use: about 40 matched people"
CLEAR = run(action="clear_current_audience")
DELETE = run(action="delete_current_audience")


@pytest.mark.parametrize(
    ("last_run", "seen", "tone", "headline"),
    [
        (run(), None, "waiting", "1,000 people are on their way to Pinterest"),
        (
            run(action="remove_people_from_current_audience"),
            None,
            "waiting",
            "Pinterest was asked to remove 1,000 people",
        ),
        (run(), follow_up(), "good", "The audience is ready: about 900 matched people"),
        (run(), follow_up(status="TOO_SMALL", size=40), "bad", TOO_SMALL),
        (run(), follow_up(status="PERSONAS_INELIGIBLE_SIZE", size=40), "bad", TOO_SMALL),
        (run(), follow_up(status="INITIALIZING", size=None), "waiting", "Pinterest is still matching people"),
        (run(), follow_up(status="REMOVED"), "bad", "The audience cannot be used"),
        (run(), follow_up(status="", outcome="failed", summary="Gone."), "bad", "The audience cannot be used"),
        (None, follow_up(), "good", "The audience is ready: about 900 matched people"),
        (run(error="Pinterest was down."), follow_up(), "bad", "The last run failed"),
        (run(dry_run=True), follow_up(), "waiting", "This was a dry run: nothing changed on Pinterest"),
        (CLEAR, follow_up(), "good", "The audience is empty"),
        (DELETE, None, "good", "The audience is deleted"),
        (ACTALIKE, None, "waiting", "The look-alike audience is created"),
        (run(**NOBODY), None, "good", "Nothing had to be sent"),
        (mirror(records={"unique": 2000, "sent": 0}), None, "good", "Nobody joined or left"),
        (run(), follow_up(status="ELIGIBLE"), "waiting", "Pinterest is still matching people"),
    ],
)
def test_the_headline_gives_the_state_of_the_audience(
    last_run: ReportEntry | None, seen: ReportEntry | None, tone: str, headline: str
) -> None:
    said = choose_report_text(last_run, seen)
    assert (tone, headline) == (said.tone, said.headline)
    assert said.next


WITHHELD = {"suppressed": 100, "without_consent": 50, "control": 50}


@pytest.mark.parametrize(
    ("failed", "reached"),
    [
        (run(error="Down.", records={"unique": 1000, "sent": 400}), "400 of 1,000 people"),
        (run(error="Down.", records={"unique": 1000, "sent": 300, "withheld": WITHHELD}), "300 of 800 people"),
        (mirror(error="Down.", records={"unique": 2000, "sent": 60}), "60 of 108 changes"),
        # Their request may have got through, without an answer.
        (run(error="Down.", records={"unique": 1000, "sent": 0}), "0 of 1,000 people"),
    ],
)
def test_a_failed_run_shows_how_many_were_confirmed_and_why_it_failed(failed: ReportEntry, reached: str) -> None:
    assert choose_report_text(failed, None).detail == f"Pinterest confirmed {reached}. Down."


@pytest.mark.parametrize("action", ["clear_current_audience", "create_new_audience", "create_actalike_audience"])
def test_a_dry_run_shows_what_would_be_done(action: str) -> None:
    said = "Dry run: would do it; nothing was written."
    assert said == choose_report_text(run(action=action, dry_run=True, summary=said), None).detail
