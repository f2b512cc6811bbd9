"""What an export reports before its first write: the dry run, the plan, and the limits that stop it."""

import re
from typing import Any

import pytest

from td_pinterest_op.errors import InvalidRowsError, LimitError
from tests.e2e.audiences import (
    ADD,
    CLEAR,
    CREATE,
    DELETE,
    NEW,
    REMOVE,
    REPLACE,
    current_list_id,
    fingerprint,
    is_cleared,
    only_audience_id,
    session_task_key,
    settings_of,
)
from tests.exporting import Services, digests, people

_PLAN = re.compile(
    r"rows +(?P<read>[\d,]+) read, (?P<valid>[\d,]+) valid, (?P<invalid>[\d,]+) invalid.*?"
    r"records +(?P<unique>[\d,]+) unique, (?P<duplicate>[\d,]+) duplicate.*?"
    r"requests +(?P<writes>[\d,]+) to write \((?P<batches>[\d,]+) of records\)",
    re.DOTALL,
)


def last_plan(caplog: pytest.LogCaptureFixture) -> tuple[str, dict[str, int]]:
    """Return the text and the numbers of the last logged plan."""
    text = [text for text in caplog.messages if text.startswith("plan")][-1]
    plan = _PLAN.search(text)
    assert plan is not None
    return text, {name: int(number.replace(",", "")) for name, number in plan.groupdict().items()}


@pytest.mark.parametrize("action", [ADD, REMOVE, CREATE, REPLACE, CLEAR, DELETE])
def test_dry_run_writes_nothing_and_plans_what_the_real_run_does(
    services: Services, caplog: pytest.LogCaptureFixture, action: str
) -> None:
    # If Pinterest demands records for an empty list, creating it takes one unplanned request.
    services.pinterest.switches.records_required = False
    settings = settings_of(services, action, people(5)) | {
        "limit_records_per_request": 3,
        "ignore_invalid_records": True,
    }
    job = services.job([*people(10), *people(2), "n/a", None]) if action not in (CLEAR, DELETE) else None
    before = services.pinterest.state()
    dry = services.export(settings | {"dry_run": True}, job_id=job)
    assert services.pinterest.calls.writes() == []
    assert before == services.pinterest.state()
    text, plan = last_plan(caplog)
    assert text.startswith("plan (dry run: nothing will be written):")

    real = services.export(settings, job_id=job)
    text, real_plan = last_plan(caplog)
    assert text.startswith("plan:")
    assert plan == real_plan
    assert plan["writes"] == real["requests"]["sent"] == len(services.pinterest.calls.writes())
    batches = [call for call in services.pinterest.calls.writes() if call.operation.startswith("customer_lists/")]
    assert plan["batches"] == len(batches) - (action == CLEAR)
    for counts in (real["rows"] | real["records"], dry["rows"] | dry["records"]):
        assert counts == counts | {name: plan[name] for name in ("read", "valid", "invalid", "unique", "duplicate")}
    assert (dry["dry_run"], dry["records"]["sent"], dry["requests"]["sent"]) == (True, 0, 0)


@pytest.mark.parametrize("action", [CREATE, REPLACE, CLEAR, DELETE])
def test_plan_of_a_rerun_tells_its_writes(services: Services, caplog: pytest.LogCaptureFixture, action: str) -> None:
    settings = settings_of(services, action, people(5))
    job = services.job(people(10)) if action not in (CLEAR, DELETE) else None
    services.export(settings, job_id=job)
    services.pinterest.calls.clear()
    services.export(settings, job_id=job)
    _, plan = last_plan(caplog)
    assert plan["writes"] == len(services.pinterest.calls.writes())


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        (ADD, ['add to audience {id} "Shoppers" (customer list {list})']),
        (REMOVE, ['remove from audience {id} "Shoppers" (customer list {list})']),
        (
            CREATE,
            [
                'fill customer list "Spring (td {key} {job} {records} 10)"',
                'create audience "Spring" with this list',
            ],
        ),
        (
            REPLACE,
            [
                'fill customer list "Shoppers (td {key} {job} {records} 10)"',
                'switch audience {id} "Shoppers" to this list; customer list {list} is orphaned',
            ],
        ),
        (
            CLEAR,
            [
                'fill customer list "Shoppers (td {key} - {nobody} 0)"',
                'switch audience {id} "Shoppers" to this list; customer list {list} is orphaned',
            ],
        ),
        (DELETE, ['remove audience {id} "Shoppers"; its customer list stays']),
    ],
)
def test_dry_run_names_what_it_would_create_change_or_leave_behind(
    services: Services, caplog: pytest.LogCaptureFixture, action: str, changes: list[str]
) -> None:
    settings = settings_of(services, action, people(5))
    job = services.job(people(10)) if action not in (CLEAR, DELETE) else None
    services.export(settings | {"dry_run": True}, job_id=job)
    text, _ = last_plan(caplog)
    audience_id = str(settings.get("audience_id", ""))
    behind = current_list_id(services, audience_id) if audience_id else ""
    names = {"key": session_task_key(), "job": job, "records": fingerprint(digests(10)), "nobody": fingerprint([])}
    expected = [change.format(id=audience_id, list=behind, **names) for change in changes]
    assert re.findall(r"^  change +(.*)$", text, re.MULTILINE) == expected


MANY = [*people(10), "n/a", None]
JUNK = ["n/a", None, "nobody"]
# Independent of allow_empty.
ALL_JUNK = r"3 of 3 values in 3 rows invalid \(placeholder 1, null 1, not_an_email 1\)(?!.*allow_empty)"
ONE_IN_FOUR = r"1 of 4 values in 4 rows invalid \(null 1\); the first in row 4"


# One code has the limits of all actions.
@pytest.mark.parametrize(
    ("action", "brake", "values", "error", "complaint"),
    [
        (ADD, {}, [], LimitError, r"no valid record to send \(0 rows read, 0 invalid\).*allow_empty"),
        (REMOVE, {}, [None, None], LimitError, r"no valid record to send \(2 rows read, 2 invalid\).*allow_empty"),
        (CREATE, {}, JUNK, InvalidRowsError, ALL_JUNK),
        (REPLACE, {"allow_empty": True}, JUNK, InvalidRowsError, ALL_JUNK),
        (
            REPLACE,
            {"min_records": 11},
            MANY,
            LimitError,
            r"10 unique records are fewer than min_records \(11\).*Nothing was",
        ),
        (
            CREATE,
            {"max_records": 9},
            MANY,
            LimitError,
            r"10 unique records are more than max_records \(9\).*Nothing was",
        ),
        (
            REMOVE,
            {"max_invalid_ratio": 0.1},
            MANY,
            LimitError,
            r"more than max_invalid_ratio allows \(0.1\).*Nothing was",
        ),
        (ADD, {"ignore_invalid_records": False}, [*people(3), None], InvalidRowsError, ONE_IN_FOUR),
    ],
)
def test_rows_beyond_a_limit_stop_the_export_before_the_first_write(
    services: Services,
    action: str,
    brake: dict[str, Any],
    values: list[str | None],
    error: type[Exception],
    complaint: str,
) -> None:
    settings = settings_of(services, action, people(5)) | {"ignore_invalid_records": True}
    with pytest.raises(error, match=complaint):
        services.export(settings | brake, job_id=services.job(values))
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize("action", [ADD, REMOVE])
def test_add_and_remove_with_allow_empty_do_nothing(services: Services, action: str) -> None:
    settings = settings_of(services, action, people(5)) | {"allow_empty": True}
    stored = services.export(settings, job_id=services.job([]))
    assert services.pinterest.calls.writes() == []
    assert stored["records"]["sent"] == 0


def test_replace_with_allow_empty_clears_the_audience(services: Services) -> None:
    settings = settings_of(services, REPLACE, people(5)) | {"allow_empty": True}
    job = services.job([])
    before = current_list_id(services, settings["audience_id"])
    assert before == services.export(settings, job_id=job)["previous_customer_list_id"]
    services.export(settings, job_id=job)
    assert is_cleared(services, settings["audience_id"])


def test_create_with_allow_empty_creates_an_empty_audience(services: Services) -> None:
    services.export(NEW | {"allow_empty": True}, job_id=services.job([]))
    assert is_cleared(services, only_audience_id(services))


def test_limits_stop_a_dry_run_too(services: Services) -> None:
    with pytest.raises(LimitError):
        services.export(
            settings_of(services, REPLACE, people(5)) | {"dry_run": True, "min_records": 5},
            job_id=services.job(people(3)),
        )
