"""Two sessions of one mirror at the same time: the older one stops, and the days after it are right."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from td_pinterest_op.http.transport import Transport
from tests.campaigns import amount, campaign
from tests.emulators.pinterest.faults import Answer, Fault
from tests.exporting import digest, digests, people
from tests.mirror.days import BATCH, Attempt, World, at_statement
from tests.mirror.test_fifty_days import checked, next_people

WAIT = 30
OUTCOME = ("Nothing of it was sent", "of it had been sent: the ledger has its people as unsettled")


@contextlib.contextmanager
def at_write(number: int, do: Callable[[], object]) -> Iterator[None]:
    """Do something when write `number` of those to an ad account (from 1) is about to leave: it leaves afterwards."""
    left = [number]
    send = Transport.send

    def sent(transport: Transport, method: str, url: str, **given: Any) -> Any:
        if method in ("POST", "PATCH") and "/ad_accounts/" in url:
            left[0] -= 1
            if left[0] == 0:
                do()
        return send(transport, method, url, **given)

    with mock.patch.object(Transport, "send", sent):
        yield


@contextlib.contextmanager
def in_a_wait(mirrored: World, do: Callable[[], object], *, after: int) -> Iterator[None]:
    """Do something while the write after `after` others waits out a 429."""
    mirrored.pinterest.faults.add(
        Fault(effect=Answer(status=429, retry_after=WAIT), method="PATCH", path="/ad_accounts", after=after)
    )
    sleep, slept = mirrored.time.sleep, [0.0]

    def waiting(seconds: float) -> None:
        sleep(seconds)
        slept[0] += seconds if seconds == 1.0 else 0
        if slept[0] == 5:
            slept[0] = 6
            do()

    with mock.patch.object(mirrored.time, "sleep", waiting):
        yield


@pytest.fixture
def audience_id(mirrored: World) -> str:
    """An audience that follows 200 people, after the first day."""
    found = mirrored.audience()
    mirrored.settings |= {"max_leave_ratio": 1.0, "resend_days": 0}
    mirrored.wants(people(200))
    assert mirrored.run(0).succeeded
    return found


def days_after(mirrored: World, audience_id: str) -> None:
    for day in (2, 3, 4):
        mirrored.wants(people(200, first=day))
        assert mirrored.run(day).succeeded
        assert digests(200, first=day) == mirrored.members(audience_id)


@campaign
@pytest.mark.parametrize("before", [0, 2])
def test_a_plan_that_is_overtaken_while_it_waits_sends_no_more_and_later_days_are_right(
    mirrored: World, audience_id: str, before: int
) -> None:
    newer: list[Attempt] = []

    def second() -> None:
        mirrored.wants(people(200, first=5))
        newer.append(mirrored.run(1, session="a newer session"))
        assert digests(200, first=5) == mirrored.members(audience_id)

    mirrored.wants(people(140))
    mirrored.settings["max_in_flight"] = 1
    with in_a_wait(mirrored, second, after=before):
        older = mirrored.run(1)
    assert [True] == [attempt.succeeded for attempt in newer], newer
    assert not older.succeeded
    assert "was overtaken: another run has made plan" in older.said
    assert OUTCOME[before > 0] in older.said
    assert "Running this task again is safe" not in str(older.error)
    assert digests(200, first=5) == mirrored.members(audience_id)
    days_after(mirrored, audience_id)


@campaign
@pytest.mark.parametrize("last", [False, True])
def test_what_a_plan_sends_beside_a_later_one_is_in_the_ledger_and_the_next_day_corrects_it(
    mirrored: World, audience_id: str, last: bool
) -> None:
    def second() -> None:
        mirrored.wants(people(200, first=5))
        assert mirrored.run(1, session="a newer session").succeeded

    mirrored.wants(people(140))
    with at_write(-(-60 // BATCH) if last else 3, second):
        older = mirrored.run(1)
    assert not older.succeeded
    assert "the ledger has its people as unsettled, and the next run corrects them" in older.said
    assert digests(200, first=5) != mirrored.members(audience_id)
    days_after(mirrored, audience_id)


# The last one moves the audience to the new list.
@pytest.mark.parametrize("number", [1, 5, 30])
def test_a_replace_that_is_overtaken_is_followed_by_a_replace(mirrored: World, audience_id: str, number: int) -> None:
    def second() -> None:
        mirrored.wants(people(200, first=5))
        assert mirrored.run(1, session="a newer session").succeeded

    mirrored.wants(people(200))
    with at_write(number, second):
        older = mirrored.run(1, rebuild=True)
    assert not older.succeeded, number
    days_after(mirrored, audience_id)


@pytest.mark.parametrize(
    ("purpose", "is_older_done"),
    [
        ("read the state of the ledger", True),
        ("compare the people", False),
        ("count who joins", False),
        ("write the plan", False),
        ("read the plan back", False),
        ("settle the plan", True),
    ],
)
def test_of_two_runs_the_one_that_does_not_know_of_the_other_stops(
    mirrored: World, audience_id: str, purpose: str, is_older_done: bool
) -> None:
    mirrored.wants(people(190))

    def second() -> None:
        mirrored.wants(people(195))
        newer.append(mirrored.run(1, session="a newer session"))

    newer: list[Attempt] = []
    with at_statement(purpose, second):
        older = mirrored.run(1)
    assert (is_older_done, True) == (older.succeeded, newer[0].succeeded), older.said
    if not is_older_done:
        assert "another run has made a plan for audience" in older.said
        assert "meanwhile. Nothing was sent. Run this task again" in older.said
    days_after(mirrored, audience_id)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_two_sessions_do_at_once_the_next_undisturbed_day_is_right(mirrored: World, seed: int) -> None:
    dice = random.Random(seed)
    audience_id = mirrored.audience(["before@shop.example"])
    mirrored.settings |= {"min_records": 1, "max_leave_ratio": 1.0, "resend_days": dice.choice([0, 3])}
    emails = {f"person{number}@shop.example" for number in range(60)}
    for day in range(0, amount(12, quick=4), 2):
        first, second = next_people(emails, dice), next_people(emails, dice)

        def newer(people: set[str] = second, day: int = day) -> None:
            mirrored.wants(people)
            mirrored.run(day, session=f"a newer session of day {day}")

        mirrored.wants(first)
        with at_write(dice.randrange(1, 8), newer):
            mirrored.run(day)
        emails = next_people(emails, dice)
        mirrored.wants(emails)
        checked(mirrored, audience_id, set(map(digest, emails)), mirrored.run(day + 1))
