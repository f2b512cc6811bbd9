from typing import Any

import pytest

from td_pinterest_op.pinterest.api import AudienceCondition
from td_pinterest_op.settings.parse import parse_settings
from td_pinterest_op.settings.table import STATUS_SETTINGS
from td_pinterest_op.status import AudienceState


def state(status: str, size: int | None = 500, *, members: int | None = None) -> AudienceState:
    return AudienceState(
        audience_id="1",
        audience_name="Shoppers",
        status=status,
        size=size,
        customer_list_id="2",
        customer_list_status="READY",
        members=members,
    )


@pytest.mark.parametrize(
    ("seen", "ratio", "summary"),
    [
        (state("READY"), None, "The audience is ready, with about 500 matched people."),
        (
            state("READY", members=1000),
            0.5,
            "The audience is ready, with about 500 matched people (50% of 1,000 records).",
        ),
        (state("READY", None, members=1000), None, "The audience is ready, with an unknown number of matched people."),
        (
            state("TOO_SMALL", 40, members=80),
            0.5,
            "The audience is too small to use, with about 40 matched people (50% of 80 records): Pinterest needs 100.",
        ),
        (
            state("INITIALIZING", 0, members=80),
            None,
            "Pinterest is still matching people (status INITIALIZING). Look again tomorrow.",
        ),
    ],
)
def test_match_ratio_is_the_matched_share_of_the_members_once_matching_is_done(
    seen: AudienceState, ratio: float | None, summary: str
) -> None:
    assert (ratio, summary) == (seen.match_ratio, seen.summary)


def limits(*fail_on: str, **more: Any) -> dict[str, Any]:
    return {"fail_on": list(fail_on), **more}


@pytest.mark.parametrize(
    ("status", "condition"),
    [
        ("READY", AudienceCondition.READY),
        ("INITIALIZING", AudienceCondition.MATCHING),
        ("ODD", AudienceCondition.MATCHING),
        ("", AudienceCondition.MATCHING),
        ("TOO_SMALL", AudienceCondition.TOO_SMALL),
        ("PERSONAS_INELIGIBLE_SIZE", AudienceCondition.TOO_SMALL),
        ("REMOVED", AudienceCondition.REMOVED),
    ],
)
def test_audience_is_usable_waiting_or_unusable_by_its_status(status: str, condition: AudienceCondition) -> None:
    assert condition is state(status).condition
    assert (condition is AudienceCondition.READY) == state(status).to_json()["usable"]
    assert state(status).summary


@pytest.mark.parametrize(
    ("seen", "limit", "previous", "broken"),
    [
        (state("READY"), limits("TOO_SMALL", "REMOVED"), None, []),
        (state("TOO_SMALL", 40), limits("TOO_SMALL"), None, ["its status is TOO_SMALL"]),
        (state("INITIALIZING", None), limits("INITIALIZING"), None, ["its status is INITIALIZING"]),
        (state("READY", 499), limits(min_size=500), None, ["it has 499 people, fewer than min_size (500)"]),
        (state("INITIALIZING", 0), limits(min_size=500, max_drop_ratio=0.1), 1000, []),
        (state("READY", None), limits(min_size=500, max_drop_ratio=0.1), 1000, []),
        (state("READY", 800), limits(max_drop_ratio=0.2), 1000, []),
        (
            state("READY", 799),
            limits(max_drop_ratio=0.2),
            1000,
            ["its size fell from 1,000 to 799 people, by 20%: max_drop_ratio (0.2) allows no fewer than 800"],
        ),
        (state("READY", 300), limits(max_drop_ratio=0.7), 1000, []),
        (state("READY", 1), limits(max_drop_ratio=0.2), None, []),
    ],
)
def test_limits_are_checked_against_the_state(
    seen: AudienceState, limit: dict[str, Any], previous: int | None, broken: list[str]
) -> None:
    raw = {"ad_account_id": "1", "audience_id": "1", **limit}
    environ = {f"PINTEREST_{name}": "7" for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")}
    settings = parse_settings(raw, table=STATUS_SETTINGS, environ=environ)
    assert broken == seen.describe_broken_limits(settings, previous_size=previous)
