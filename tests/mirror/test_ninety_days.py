"""Ninety random days: people whom Pinterest refuses, crashes, and a second session a few milliseconds apart."""

import contextlib
import random
from collections.abc import Iterator

import pytest

from tests.campaigns import amount, campaign
from tests.emulators.pinterest.tokens import REFRESH_TOKEN
from tests.exporting import digest
from tests.mirror.days import Attempt, Death, World, run_at_statement
from tests.mirror.test_fifty_days import EVERYBODY, HOW, choose_next_people
from tests.mirror.test_overtaking import run_at_write

DAYS = amount(90, quick=10)
STATEMENTS = (
    "read the columns",
    "compare the people",
    "count who joins",
    "write the plan",
    "read the plan back",
    "read the newest plan",
    "note whom",
    "settle the plan",
    "write a row for each member",
    "let them replace",
    "delete void rows",
)


@contextlib.contextmanager
def run_beside(mirror_world: World, dice: random.Random, emails: set[str], day: int) -> Iterator[list[Attempt]]:
    """Let a second session, which finds other people, meet a run of the block, 0 to 20 ms after it has begun.

    It runs whole, at a statement or write of the other, or not at all if there is none of this kind.
    """
    time = mirror_world.time
    milliseconds = dice.choice([0, 1, 2, 3, dice.randrange(21)])
    death = Death(step=dice.randrange(1, 13), how=dice.choice(HOW), seed=day) if dice.random() < 0.2 else None
    ignores = dice.random() < 0.8
    newer: list[Attempt] = []

    def run_newer() -> None:
        found = mirror_world.task["query"]
        time.held = (time.held or 0) + milliseconds / 1000
        mirror_world.set_people(emails)
        session = f"a second session of day {day}"
        newer.append(mirror_world.run(day, session=session, death=death, ignore_invalid_records=ignores))
        mirror_world.task["query"] = found

    time.held = time.now()
    meeting = (
        run_at_write(dice.randrange(1, 5), run_newer)
        if dice.random() < 0.3
        else run_at_statement(dice.choice(STATEMENTS), run_newer)
    )
    with meeting:
        yield newer
    time.held = None


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=campaign), pytest.param(3, marks=campaign)])
def test_audience_is_right_after_each_day_with_one_session_whatever_was_before(mirror_world: World, seed: int) -> None:
    dice = random.Random(seed)
    refused = set(dice.sample(EVERYBODY, 12))
    mirror_world.audience(["before@shop.example"])
    mirror_world.settings |= {"min_records": 1, "max_leave_ratio": 1.0}
    mirror_world.pinterest.switches.poison = frozenset(map(digest, refused))
    emails = set(EVERYBODY[:60])
    right = met = 0
    for day in range(DAYS):
        emails = choose_next_people(emails, dice)
        mirror_world.set_people(emails)
        mirror_world.pinterest.tokens.set_refresh_token(REFRESH_TOKEN)  # which lives for sixty days
        ignores = dice.random() < 0.8
        match dice.choice(["one", "one", "dies", "two"]):
            case "dies":
                death = Death(step=dice.randrange(1, 14), how=dice.choice(HOW), seed=day)
                mirror_world.run(day, death=death, ignore_invalid_records=ignores)
            case "two":
                with run_beside(mirror_world, dice, choose_next_people(emails, dice), day) as newer:
                    mirror_world.run(day, ignore_invalid_records=ignores)
                met += bool(newer)
            case _:
                ran = mirror_world.run(day, ignore_invalid_records=ignores)
                assert ran.succeeded or (not ignores and emails & refused), ran.output[-3000:]
                if ran.succeeded:
                    right += 1
                    assert mirror_world.members() == set(map(digest, emails - refused))
    assert right > DAYS // 4
    assert met >= DAYS // 10
