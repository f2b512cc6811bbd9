"""A repeated session: concurrently with an attempt that digdag believes dead, or with another job or audience."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from td_pinterest_op.errors import RequestRefusedError
from td_pinterest_op.http.transport import Transport
from tests.e2e.audiences import (
    ADD,
    CLEAR,
    CREATE,
    DELETE,
    NEW,
    NEXT_DAY,
    REPLACE,
    current_list_id,
    is_cleared,
    list_name,
    members_of,
    only_audience_id,
    synchronise_at,
)
from tests.emulators.pinterest.faults import Answer, Fault, When
from tests.exporting import Services, digests, people


@pytest.mark.parametrize("second_remove", ["accepted", "404"])
def test_two_concurrent_creations_leave_one_audience(services: Services, second_remove: str) -> None:
    services.pinterest.switches.second_remove = second_remove
    synchronise_at(services, "customer_lists/create", "audiences/create")
    job = services.job(people(10))
    first, second = run_twice_at_once(lambda: services.export(NEW | {"limit_records_per_request": 3}, job_id=job))
    audience_id = only_audience_id(services)
    assert services.pinterest.members_of_audience(audience_id) == digests(10)
    assert [first["audience_id"], second["audience_id"]] == [audience_id] * 2
    made = services.pinterest.audiences_named("Spring", removed=None)
    assert audience_id == min(made, key=lambda audience: int(audience.id)).id


@pytest.mark.parametrize("action", [CLEAR, DELETE])
def test_two_concurrent_clears_or_deletions_both_succeed(services: Services, action: str) -> None:
    services.pinterest.switches.set({"removed_audiences": "gone", "second_remove": "404"})
    synchronise_at(services, "audiences/update")
    audience_id = services.audience(people(5))
    run_twice_at_once(lambda: services.export({"action": action, "audience_id": audience_id}))
    if action == CLEAR:
        assert is_cleared(services, audience_id)
    else:
        assert services.pinterest.audiences[audience_id].removed


def run_twice_at_once(run: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """Run a function twice at the same time and return both results."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run), pool.submit(run)]]


# -- the same session with another job, or another audience


@pytest.mark.parametrize("others", [False, True], ids=["the youngest list", "another session's list is younger"])
@pytest.mark.parametrize("action", [CREATE, REPLACE])
def test_rerun_with_the_same_jobs_continues_the_youngest_list_if_it_is_not_in_use(
    services: Services, action: str, others: bool
) -> None:
    audience_id = services.audience(people(3, first=100), name="Spring")
    named = NEW | {"if_exists": "replace"} if action == CREATE else {"action": REPLACE, "audience_id": audience_id}
    settings = named | {"retry_count": 0}
    job = services.job(people(9))
    services.pinterest.answer(422, operation="audiences/update", times=1)
    with pytest.raises(RequestRefusedError):
        services.export(settings, job_id=job)
    (begun,) = [made for made in services.pinterest.lists.values() if "(td " in made.name]
    assert begun.name == list_name("Spring", job, digests(9))
    if others:
        services.pinterest.add_list(list_name("Spring", job, (), NEXT_DAY))
    stored = services.export(settings, job_id=job)
    assert (stored["customer_list_id"] == begun.id) is not others
    again = services.export(settings, job_id=job)
    assert again["customer_list_id"] not in (begun.id, stored["customer_list_id"])
    assert members_of(services, settings) == digests(9)


@pytest.mark.parametrize("action", [CREATE, REPLACE])
def test_list_whose_creation_got_no_answer_is_found_also_in_a_session_of_the_future(
    services: Services, action: str
) -> None:
    audience_id = services.audience(people(3, first=100), name="Winter")
    settings = NEW if action == CREATE else {"action": REPLACE, "audience_id": audience_id}
    services.pinterest.inject(
        Fault(effect=Answer(status=500), when=When.AFTER, operation="customer_lists/create", times=1)
    )
    services.export(settings, job_id=services.job(people(9)), session_time="2031-01-01T00:00:00+00:00")
    assert len([made for made in services.pinterest.lists.values() if "(td " in made.name]) == 1


def test_creation_never_continues_a_list_that_a_removed_audience_may_have_used(services: Services) -> None:
    job = services.job(people(9))
    first = services.export(NEW, job_id=job)
    services.export({"action": ADD, "audience_id": first["audience_id"]}, job_id=services.job(people(1, first=500)))
    services.export({"action": DELETE, "audience_id": first["audience_id"]})
    second = services.export(NEW, job_id=job)
    assert second["audience_id"] != first["audience_id"]
    assert members_of(services, NEW) == digests(9)


@pytest.mark.parametrize(
    "settings",
    [{"action": REPLACE}, {"action": REPLACE, "allow_empty": True}, {"action": CLEAR}],
    ids=["replace", "replace with nobody", "clear"],
)
def test_two_audiences_of_one_name_never_share_a_list(services: Services, settings: dict[str, object]) -> None:
    records = [] if "allow_empty" in settings else people(9)
    job = None if settings["action"] == CLEAR else services.job(records)
    twin = services.audience(people(2), name="Twin")
    other = services.audience(people(3), name="Twin")
    for audience_id in (twin, other, twin, other):
        services.export(settings | {"audience_id": audience_id}, job_id=job)
    assert current_list_id(services, twin) != current_list_id(services, other)
    assert len(services.pinterest.lists) == (4 if settings["action"] == CLEAR else 6)


def test_connections_to_both_services_are_closed_after_a_run(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []
    monkeypatch.setattr(Transport, "close", lambda transport: closed.append(transport))
    services.export(NEW, job_id=services.job(people(9)))
    assert len(closed) == 1
