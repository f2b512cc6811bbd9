"""Replacing and clearing: the audience is moved to another list; until then the old members stay."""

from __future__ import annotations

from typing import Any

import pytest

from td_pinterest_op.audiences.create_once import PATIENCE
from td_pinterest_op.errors import PinterestError, RequestRefusedError
from tests.e2e.audiences import ADD, CLEAR, NEXT_DAY, REPLACE, is_cleared, list_behind, list_name
from tests.emulators.pinterest import Answer, Call, Fault, When
from tests.exporting import SESSION, Services, digests, people


class TestReplace:
    def test_the_members_are_those_of_the_query_and_the_audience_keeps_its_id(self, services: Services) -> None:
        audience_id = services.audience(people(5, first=100))
        before, job = list_behind(services, audience_id), services.job(people(10))
        stored = services.export({"action": REPLACE, "audience_id": audience_id}, job_id=job)
        after = list_behind(services, audience_id)
        assert digests(10) == services.pinterest.members_of_audience(audience_id)
        assert list_name("Shoppers", job, digests(10)) == services.pinterest.lists[after].name
        assert (before, after) == (stored["previous_customer_list_id"], stored["customer_list_id"])
        assert digests(5, first=100) == services.pinterest.members(before)

    def test_the_rule_is_moved_after_the_last_batch(self, services: Services) -> None:
        audience_id = services.audience(people(5))
        services.export(
            {"action": REPLACE, "audience_id": audience_id, "limit_records_per_request": 4},
            job_id=services.job(people(10)),
        )
        operations = [call.operation for call in services.pinterest.calls.writes()]
        assert ["customer_lists/create", *["customer_lists/update"] * 2, "audiences/update"] == operations

    def test_another_session_makes_another_list(self, services: Services) -> None:
        audience_id = services.audience(people(5, first=100))
        first = services.export({"action": REPLACE, "audience_id": audience_id}, job_id=services.job(people(10)))
        stored = services.export(
            {"action": REPLACE, "audience_id": audience_id}, job_id=services.job(people(4)), session_time=NEXT_DAY
        )
        assert digests(4) == services.pinterest.members_of_audience(audience_id)
        assert first["customer_list_id"] == stored["previous_customer_list_id"]
        assert 3 == len(services.pinterest.lists)

    def test_an_audience_that_is_moved_a_little_later_is_read_again(self, services: Services) -> None:
        audience_id = services.audience(people(5, first=100))
        services.pinterest.switches.moves_rules = False

        def move(call: Call) -> None:
            if call.operation == "audiences/get" and services.pinterest.calls.of("audiences/update"):
                newest = max(services.pinterest.lists, key=int)
                services.pinterest.audiences[audience_id].rule = {"customer_list_id": newest}

        services.pinterest.on_request(move, when=When.AFTER)
        services.export({"action": REPLACE, "audience_id": audience_id}, job_id=services.job(people(10)))
        assert digests(10) == services.pinterest.members_of_audience(audience_id)

    @pytest.mark.parametrize(
        ("switches", "message"),
        [
            ({"processing_seconds": 1e9, "processing_refusal": "400"}, "Pinterest answered 400"),
            ({"new_list_missing_seconds": 1e9}, "Pinterest answered 404.*of 10 records 4 are in"),
        ],
        ids=["never finished", "never found"],
    )
    def test_a_list_that_pinterest_never_finishes_or_finds_is_waited_for_and_not_put_behind_the_audience(
        self, services: Services, switches: dict[str, Any], message: str
    ) -> None:
        services.pinterest.switches.set(switches)
        audience_id, begin = services.audience(people(5)), services.time.now()
        settings = {"action": REPLACE, "audience_id": audience_id, "limit_records_per_request": 4, "retry_count": 2}
        with pytest.raises(RequestRefusedError, match=message):
            services.export(settings, job_id=services.job(people(10)))
        assert digests(5) == services.pinterest.members_of_audience(audience_id)
        assert services.time.now() - begin >= PATIENCE

    @pytest.mark.parametrize("operation", ["customer_lists/update", "audiences/update"])
    def test_a_refusal_of_records_or_of_the_move_is_not_waited_for(self, services: Services, operation: str) -> None:
        audience_id = services.audience(people(5))
        services.pinterest.inject(Fault(effect=Answer(status=422), operation=operation, times=None))
        settings = {"action": REPLACE, "audience_id": audience_id, "limit_records_per_request": 4}
        with pytest.raises(RequestRefusedError, match="Pinterest answered 422"):
            services.export(settings, job_id=services.job(people(8)))
        assert 1 == len(services.pinterest.calls.of(operation))


class TestClear:
    def test_a_refusal_that_is_not_about_missing_records_creates_no_second_list(self, services: Services) -> None:
        audience_id = services.audience(people(5))
        services.pinterest.inject(Fault(effect=Answer(status=422), operation="customer_lists/create", times=None))
        with pytest.raises(RequestRefusedError, match="Pinterest answered 422"):
            services.export({"action": CLEAR, "audience_id": audience_id})
        assert 1 == len(services.pinterest.calls.of("customer_lists/create"))
        assert digests(5) == services.pinterest.members_of_audience(audience_id)

    @pytest.mark.parametrize("demands_records", [True, False])
    def test_the_audience_stands_on_a_new_empty_list_of_type_email(
        self, services: Services, demands_records: bool
    ) -> None:
        services.pinterest.switches.records_required = demands_records
        audience_id = services.audience(people(5))
        before = list_behind(services, audience_id)
        stored = services.export({"action": CLEAR, "audience_id": audience_id})
        behind = services.pinterest.lists[list_behind(services, audience_id)]
        assert is_cleared(services, audience_id)
        assert (int(demands_records), "EMAIL") == (len(behind.members), behind.list_type)
        assert list_name("Shoppers", "-", [member.hex() for member in behind.members]) == behind.name
        assert (before, behind.id) == (stored["previous_customer_list_id"], stored["customer_list_id"])
        assert digests(5) == services.pinterest.members(before)
        assert [] == services.td.requests

    @pytest.mark.parametrize("session_time", [SESSION, NEXT_DAY], ids=["the same session", "another session"])
    def test_an_audience_that_was_made_empty_is_left_alone(self, services: Services, session_time: str) -> None:
        audience_id = services.audience(people(5))
        services.export({"action": CLEAR, "audience_id": audience_id})
        services.pinterest.calls.clear()
        stored = services.export({"action": CLEAR, "audience_id": audience_id}, session_time=session_time)
        assert [] == services.pinterest.calls.writes()
        assert (None, list_behind(services, audience_id)) == (
            stored["previous_customer_list_id"],
            stored["customer_list_id"],
        )

    @pytest.mark.parametrize("session_time", [SESSION, NEXT_DAY], ids=["the same session", "another session"])
    @pytest.mark.parametrize("demands_records", [True, False])
    @pytest.mark.parametrize("came", [1, 3])
    def test_people_who_came_after_it_was_made_empty_are_cleared_again(
        self, services: Services, session_time: str, came: int, demands_records: bool
    ) -> None:
        services.pinterest.switches.records_required = demands_records
        audience_id = services.audience(people(5))
        services.export({"action": CLEAR, "audience_id": audience_id})
        services.export({"action": ADD, "audience_id": audience_id}, job_id=services.job(people(came)))
        services.export({"action": CLEAR, "audience_id": audience_id}, session_time=session_time)
        assert is_cleared(services, audience_id)
        assert 3 == len(services.pinterest.lists)

    def test_a_rerun_takes_the_empty_list_of_a_try_that_died_before_the_move(self, services: Services) -> None:
        audience_id = services.audience(people(5))
        services.pinterest.inject(
            Fault(effect=Answer(status=400, message="Invalid rule"), operation="audiences/update")
        )
        with pytest.raises(PinterestError):
            services.export({"action": CLEAR, "audience_id": audience_id})
        assert digests(5) == services.pinterest.members_of_audience(audience_id)
        services.export({"action": CLEAR, "audience_id": audience_id})
        assert is_cleared(services, audience_id)
        assert 2 == len(services.pinterest.lists)


@pytest.mark.parametrize("action", [REPLACE, CLEAR])
def test_a_server_that_ignores_the_rule_is_found_out(services: Services, action: str) -> None:
    services.pinterest.switches.moves_rules = False
    audience_id = services.audience(people(5, first=100))
    before = list_behind(services, audience_id)
    job = services.job(people(10)) if action == REPLACE else None
    with pytest.raises(PinterestError) as caught:
        services.export({"action": action, "audience_id": audience_id}, job_id=job)
    assert digests(5, first=100) == services.pinterest.members_of_audience(audience_id)
    for part in (audience_id, f"at the last look customer list {before} was", "may still show", "again is safe"):
        assert part in str(caught.value)
    assert "delete" not in str(caught.value).lower()
