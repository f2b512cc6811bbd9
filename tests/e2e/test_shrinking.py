"""`max_leave_ratio` of a replace: a list that is much smaller than the one in use stops the run before it writes."""

import logging
from typing import Any

import pytest

from td_pinterest_op.errors import LimitError
from tests.e2e.audiences import ADD, CREATE, NEW, NEXT_DAY, REPLACE, settings_of
from tests.exporting import Services, digests, people

OVER_OLD = NEW | {"if_exists": "replace"}


def fill(services: Services, action: str, count: int) -> dict[str, Any]:
    """Let the operator fill an audience with people, and return the settings that replace them by half at least."""
    settings = settings_of(services, REPLACE) if action == REPLACE else dict(OVER_OLD)
    services.export(settings, job_id=services.job(people(count)))
    return settings | {"max_leave_ratio": 0.5}


@pytest.mark.parametrize("action", [REPLACE, CREATE])
@pytest.mark.parametrize(("count", "stops"), [(47, True), (239, True), (240, False), (480, False)])
def test_replace_that_shrinks_by_more_than_the_limit_writes_nothing(
    services: Services, action: str, count: int, stops: bool
) -> None:
    settings = fill(services, action, 480)
    (audience,) = services.pinterest.audiences.values()
    services.pinterest.calls.clear()
    job = services.job(people(count))
    for is_dry in (True, False):
        wanted = settings | {"dry_run": is_dry}
        if not stops:
            services.export(wanted, job_id=job, session_time=NEXT_DAY)
            continue
        message = rf"{count} records would take the place of 480, .* max_leave_ratio allows \(0\.5\).* Nothing was sent"
        with pytest.raises(LimitError, match=message):
            services.export(wanted, job_id=job, session_time=NEXT_DAY)
        assert services.pinterest.calls.writes() == []
    assert services.pinterest.members_of_audience(audience.id) == digests(480 if stops else count)


def test_limit_is_raised_for_one_run(services: Services) -> None:
    settings = fill(services, REPLACE, 480)
    job = services.job(people(47))
    services.export(settings, job_id=job, session_time=NEXT_DAY, settings_for_this_run={"max_leave_ratio": 0.95})
    assert services.pinterest.members_of_audience(settings["audience_id"]) == digests(47)


def test_people_added_since_the_last_replace_count_as_leavers_below_the_limit(services: Services) -> None:
    settings = fill(services, REPLACE, 100)
    add = {"action": ADD, "audience_id": settings["audience_id"]}
    services.export(add, job_id=services.job(people(300, first=100)))
    services.export(settings, job_id=services.job(people(60)), session_time=NEXT_DAY)
    assert services.pinterest.members_of_audience(settings["audience_id"]) == digests(60)


def test_replace_of_a_list_without_a_record_count_is_sent_with_a_warning(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(services, REPLACE, people(480)) | {"max_leave_ratio": 0.5}
    (used,) = services.pinterest.lists.values()
    services.export(settings, job_id=services.job(people(47)))
    said = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert [text for text in said if f"customer list {used.id}" in text and "max_leave_ratio" in text] != []
    assert services.pinterest.members_of_audience(settings["audience_id"]) == digests(47)
