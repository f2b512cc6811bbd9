"""The follow-up, between the two emulators."""

import json
from typing import Any

import pytest

from td_pinterest_op.status import check_audiences
from td_pinterest_op.task_runtime.task import Task
from tests import guard
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, people


def run_follow_up(services: Services, *audience_ids: str, **settings: Any) -> dict[str, Any]:
    given = {"ad_account_id": AD_ACCOUNT_ID, "audience_ids": list(audience_ids), "retry_count": 0} | settings
    stored = check_audiences(Task(params={"result_settings": given}, environ=services.environ), services.time.timing)
    guard.check(json.dumps(stored), "the store")
    return stored


def test_follow_up_stores_the_state_of_each_audience(services: Services) -> None:
    small = services.audience(people(40), name="Small")
    large = services.audience(people(120), name="Large")
    services.pinterest.switches.processing_seconds = 3600
    behind = services.pinterest.audiences[small].rule["customer_list_id"]
    services.pinterest.lists[behind].updated = services.time.now() - 7200
    services.pinterest.lists[services.pinterest.audiences[large].rule["customer_list_id"]].updated = services.time.now()
    stored = run_follow_up(services, small, large)
    assert tuple(stored[name] for name in ("usable", "waiting", "unusable")) == (0, 1, 1)
    assert stored["audiences"][0] == {
        "audience_id": small,
        "audience_name": "Small",
        "status": "TOO_SMALL",
        "size": 40,
        "customer_list_id": behind,
        "customer_list_status": "TOO_SMALL",
        "usable": False,
        "members": None,
        "match_ratio": None,
        "summary": "The audience is too small to use, with about 40 matched people: Pinterest needs 100.",
    }
    assert (stored["audiences"][1]["status"], stored["audiences"][1]["size"]) == ("INITIALIZING", None)
    assert stored["checked_at"].endswith("+00:00")
    figures = {"audiences", "usable", "waiting", "unusable", "problems", "checked_at", "ad_account_id"}
    assert stored.keys() == figures


@pytest.mark.parametrize("status", [403, 500])
def test_unreadable_audience_is_named_and_the_others_are_reported(
    services: Services, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    there = services.audience(people(120))
    services.pinterest.answer(status, path=r"/audiences/77$", times=None)
    seen = run_follow_up(services, "77", "88", there)
    assert [there] == [state["audience_id"] for state in seen["audiences"]]
    assert len(seen["problems"]) == 2
    assert "audience 77 cannot be read: " in seen["problems"][0]
    assert "there is no audience 88 in ad account" in seen["problems"][1]
    assert "audience 77 cannot be read" in caplog.text


@pytest.mark.parametrize("readable", [True, False])
def test_removed_audience_is_a_problem_whether_readable_or_not(services: Services, readable: bool) -> None:
    audience_id = services.audience(people(120))
    services.pinterest.audiences[audience_id].removed = True
    services.pinterest.switches.removed_status = "ARCHIVED"
    services.pinterest.switches.removed_audiences = "readable" if readable else "gone"
    seen = run_follow_up(services, audience_id)
    assert [audience_id in problem for problem in seen["problems"]] == [True]
    assert (["REMOVED"] if readable else []) == [state["status"] for state in seen["audiences"]]
