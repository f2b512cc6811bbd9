"""A task that digdag believes dead may still be running beside its rerun: both end in the same place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.audiences import CLEAR, DELETE, NEW, REPLACE, is_cleared, the_audience
from tests.emulators.pinterest import Call, When
from tests.exporting import Services, digests, people


class TestGhosts:
    @pytest.mark.parametrize("second_remove", ["accepted", "404"])
    def test_two_creations_at_the_same_moment_end_in_one_audience(self, services: Services, second_remove: str) -> None:
        services.pinterest.switches.second_remove = second_remove
        meet_at(services, "customer_lists/create", "audiences/create")
        job = services.job(people(10))
        first, second = at_once(lambda: services.export(NEW | {"limit_records_per_request": 3}, job_id=job))
        audience_id = the_audience(services)
        assert digests(10) == services.pinterest.members_of_audience(audience_id)
        assert [audience_id] * 2 == [first["audience_id"], second["audience_id"]]
        made = services.pinterest.audiences_named("Spring", removed=None)
        assert audience_id == min(made, key=lambda audience: int(audience.id)).id

    def test_a_ghost_that_creates_the_audience_while_the_records_are_sent_leaves_one_audience(
        self, services: Services
    ) -> None:
        job, ghosts = services.job(people(10)), list[str]()

        def ghost(call: Call) -> None:
            if call.operation == "customer_lists/create" and not ghosts:
                ghosts.append("called")
                ghosts.append(services.export(NEW | {"limit_records_per_request": 3}, job_id=job)["audience_id"])

        services.pinterest.on_request(ghost, when=When.AFTER)
        stored = services.export(NEW | {"limit_records_per_request": 3}, job_id=job)
        audience_id = the_audience(services)
        assert ["called", audience_id] == ghosts
        assert audience_id == stored["audience_id"]
        assert digests(10) == services.pinterest.members_of_audience(audience_id)
        assert 1 == len(services.pinterest.calls.of("audiences/create"))
        assert 1 == len(services.pinterest.lists)

    def test_two_replacements_at_the_same_moment_end_with_the_new_members(self, services: Services) -> None:
        meet_at(services, "customer_lists/create")
        audience_id, job = services.audience(people(5, first=100)), services.job(people(10))
        settings = {"action": REPLACE, "audience_id": audience_id, "limit_records_per_request": 3}
        first, second = at_once(lambda: services.export(settings, job_id=job))
        assert digests(10) == services.pinterest.members_of_audience(audience_id)
        assert first["customer_list_id"] == second["customer_list_id"]

    @pytest.mark.parametrize("action", [CLEAR, DELETE])
    def test_two_clearings_or_deletions_both_succeed(self, services: Services, action: str) -> None:
        services.pinterest.switches.set({"removed_audiences": "gone", "second_remove": "404"})
        meet_at(services, "audiences/update")
        audience_id = services.audience(people(5))
        at_once(lambda: services.export({"action": action, "audience_id": audience_id}))
        if action == CLEAR:
            assert is_cleared(services, audience_id)
        else:
            assert services.pinterest.audiences[audience_id].removed


def meet_at(services: Services, *operations: str) -> None:
    """The first of two requests for each operation waits until the second is there."""
    barriers = {operation: threading.Barrier(2, timeout=10) for operation in operations}
    services.pinterest.on_request(lambda call: call.operation in barriers and barriers[call.operation].wait())


def at_once(run: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """What two runs at the same time return."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run), pool.submit(run)]]
