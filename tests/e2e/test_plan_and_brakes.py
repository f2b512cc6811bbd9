"""What is known and said before the first write: the dry run, the plan, and the limits that stop an export."""

from __future__ import annotations

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
    fingerprint,
    is_cleared,
    list_behind,
    session_key,
    the_audience,
)
from tests.exporting import Services, digests, people

_PLAN = re.compile(
    r"rows +(?P<read>[\d,]+) read, (?P<valid>[\d,]+) valid, (?P<invalid>[\d,]+) invalid.*?"
    r"records +(?P<unique>[\d,]+) unique, (?P<duplicate>[\d,]+) duplicate.*?"
    r"requests +(?P<writes>[\d,]+) to write \((?P<batches>[\d,]+) of records\)",
    re.DOTALL,
)


def planned(caplog: pytest.LogCaptureFixture) -> tuple[str, dict[str, int]]:
    """The plan that was logged last: its text, and its numbers."""
    text = [record.getMessage() for record in caplog.records if record.getMessage().startswith("plan")][-1]
    plan = _PLAN.search(text)
    assert plan is not None
    return text, {name: int(number.replace(",", "")) for name, number in plan.groupdict().items()}


class TestDryRun:
    @pytest.mark.parametrize("action", [ADD, REMOVE, CREATE, REPLACE, CLEAR, DELETE])
    def test_writes_nothing_and_plans_what_the_real_run_then_does(
        self, services: Services, caplog: pytest.LogCaptureFixture, action: str
    ) -> None:
        # Where records are demanded of an empty list, creating it takes one request more than can be planned.
        services.pinterest.switches.records_required = False
        settings = _settings_of(services, action) | {"limit_records_per_request": 3, "ignore_invalid_records": True}
        job = services.job([*people(10), *people(2), "n/a", None]) if action not in (CLEAR, DELETE) else None
        before = services.pinterest.state()
        dry = services.export(settings | {"dry_run": True}, job_id=job)
        assert [] == services.pinterest.calls.writes()
        assert before == services.pinterest.state()
        text, plan = planned(caplog)
        assert text.startswith("plan (dry run: nothing will be written):")

        real = services.export(settings, job_id=job)
        text, real_plan = planned(caplog)
        assert text.startswith("plan:")
        assert plan == real_plan
        assert plan["writes"] == real["requests"]["sent"] == len(services.pinterest.calls.writes())
        batches = [call for call in services.pinterest.calls.writes() if call.operation.startswith("customer_lists/")]
        assert plan["batches"] == len(batches) - (action == CLEAR)
        for counts in (real["rows"] | real["records"], dry["rows"] | dry["records"]):
            assert counts == counts | {name: plan[name] for name in ("read", "valid", "invalid", "unique", "duplicate")}
        assert (True, 0, 0) == (dry["dry_run"], dry["records"]["sent"], dry["requests"]["sent"])

    @pytest.mark.parametrize("action", [CREATE, REPLACE, CLEAR, DELETE])
    def test_plans_no_second_making_of_what_is_there(
        self, services: Services, caplog: pytest.LogCaptureFixture, action: str
    ) -> None:
        settings = _settings_of(services, action)
        job = services.job(people(10)) if action not in (CLEAR, DELETE) else None
        services.export(settings, job_id=job)
        services.pinterest.calls.clear()
        services.export(settings, job_id=job)
        _, plan = planned(caplog)
        assert plan["batches"] == plan["writes"] == len(services.pinterest.calls.writes())

    @pytest.mark.parametrize(
        ("action", "changes"),
        [
            (ADD, ['add to audience {id} "Shoppers" (customer list {list})']),
            (REMOVE, ['remove from audience {id} "Shoppers" (customer list {list})']),
            (CREATE, ['create customer list "Spring (td {key} {job} {records})"', 'create audience "Spring" on it']),
            (
                REPLACE,
                [
                    'create customer list "Shoppers (td {key} {job} {records})"',
                    'move audience {id} "Shoppers" to it; customer list {list} is left behind',
                ],
            ),
            (
                CLEAR,
                [
                    'create customer list "Shoppers (td {key} - {nobody})"',
                    'move audience {id} "Shoppers" to it; customer list {list} is left behind',
                ],
            ),
            (DELETE, ['remove audience {id} "Shoppers"; its customer list stays']),
        ],
    )
    def test_says_what_will_be_created_changed_or_left_behind(
        self, services: Services, caplog: pytest.LogCaptureFixture, action: str, changes: list[str]
    ) -> None:
        settings = _settings_of(services, action)
        job = services.job(people(10)) if action not in (CLEAR, DELETE) else None
        services.export(settings | {"dry_run": True}, job_id=job)
        text, _ = planned(caplog)
        audience_id = str(settings.get("audience_id", ""))
        behind = list_behind(services, audience_id) if audience_id else ""
        names = {"key": session_key(), "job": job, "records": fingerprint(digests(10)), "nobody": fingerprint([])}
        expected = [change.format(id=audience_id, list=behind, **names) for change in changes]
        assert expected == re.findall(r"^  change +(.*)$", text, re.MULTILINE)


def _settings_of(services: Services, action: str) -> dict[str, Any]:
    return dict(NEW) if action == CREATE else {"action": action, "audience_id": services.audience(people(5))}


class TestBrakes:
    @pytest.mark.parametrize("action", [ADD, REMOVE, CREATE, REPLACE])
    @pytest.mark.parametrize("values", [[], [None, None]], ids=["no row", "nulls only"])
    def test_a_result_without_rows_or_with_nulls_only_is_an_error(
        self, services: Services, action: str, values: list[str | None]
    ) -> None:
        settings = _settings_of(services, action) | {"ignore_invalid_records": True}
        with pytest.raises(LimitError) as caught:
            services.export(settings, job_id=services.job(values))
        assert f"no valid record to send ({len(values)} rows read, {len(values)} invalid)" in str(caught.value)
        assert "allow_empty" in str(caught.value)
        assert [] == services.pinterest.calls.writes()

    @pytest.mark.parametrize("allow_empty", [False, True])
    @pytest.mark.parametrize("action", [ADD, REMOVE, CREATE, REPLACE])
    def test_rows_that_are_all_invalid_are_an_error_whatever_allow_empty_says(
        self, services: Services, action: str, allow_empty: bool
    ) -> None:
        settings = _settings_of(services, action) | {"ignore_invalid_records": True, "allow_empty": allow_empty}
        with pytest.raises(InvalidRowsError) as caught:
            services.export(settings, job_id=services.job(["n/a", None, "nobody"]))
        assert "3 of 3 rows are invalid (placeholder 1, null 1, not_an_email 1)" in str(caught.value)
        assert "allow_empty" not in str(caught.value)
        assert [] == services.pinterest.calls.writes()

    @pytest.mark.parametrize("action", [ADD, REMOVE])
    def test_with_allow_empty_add_and_remove_do_nothing(self, services: Services, action: str) -> None:
        settings = _settings_of(services, action) | {"allow_empty": True}
        stored = services.export(settings, job_id=services.job([]))
        assert [] == services.pinterest.calls.writes()
        assert 0 == stored["records"]["sent"]

    def test_with_allow_empty_replace_clears(self, services: Services) -> None:
        settings = _settings_of(services, REPLACE) | {"allow_empty": True}
        before = list_behind(services, settings["audience_id"])
        stored = services.export(settings, job_id=services.job([]))
        assert is_cleared(services, settings["audience_id"])
        assert before == stored["previous_customer_list_id"]

    def test_with_allow_empty_replace_run_again_makes_no_second_list(self, services: Services) -> None:
        settings, job = _settings_of(services, REPLACE) | {"allow_empty": True}, services.job([])
        for _ in range(2):
            services.export(settings, job_id=job)
        assert is_cleared(services, settings["audience_id"])
        assert 2 == len(services.pinterest.lists)

    def test_with_allow_empty_create_makes_an_empty_audience(self, services: Services) -> None:
        services.export(NEW | {"allow_empty": True}, job_id=services.job([]))
        assert is_cleared(services, the_audience(services))

    @pytest.mark.parametrize("action", [ADD, REMOVE, CREATE, REPLACE])
    @pytest.mark.parametrize(
        ("brake", "complaint"),
        [
            ({"min_records": 11}, "10 unique records are fewer than min_records (11)"),
            ({"max_records": 9}, "10 unique records are more than max_records (9)"),
            ({"max_invalid_ratio": 0.1}, "more than max_invalid_ratio allows (0.1)"),
        ],
        ids=["min_records", "max_records", "max_invalid_ratio"],
    )
    def test_a_limit_that_is_passed_stops_the_export_before_anything_is_written(
        self, services: Services, action: str, brake: dict[str, Any], complaint: str
    ) -> None:
        settings = _settings_of(services, action) | {"ignore_invalid_records": True}
        with pytest.raises(LimitError) as caught:
            services.export(settings | brake, job_id=services.job([*people(10), "n/a", None]))
        assert complaint in str(caught.value)
        assert "Nothing was sent" in str(caught.value)
        assert [] == services.pinterest.calls.writes()

    @pytest.mark.parametrize("action", [ADD, REMOVE, CREATE, REPLACE])
    def test_in_stop_mode_one_invalid_row_stops_it(self, services: Services, action: str) -> None:
        with pytest.raises(InvalidRowsError, match=r"1 of 4 rows is invalid \(null 1\); the first is in row 4"):
            services.export(_settings_of(services, action), job_id=services.job([*people(3), None]))
        assert [] == services.pinterest.calls.writes()

    @pytest.mark.parametrize("action", [ADD, CREATE, REPLACE])
    def test_a_dry_run_brakes_as_well(self, services: Services, action: str) -> None:
        with pytest.raises(LimitError):
            services.export(
                _settings_of(services, action) | {"dry_run": True, "min_records": 5}, job_id=services.job(people(3))
            )
