"""Fifty random days of joiners and leavers, in two runs; half of them die at a random step."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.campaigns import amount
from tests.exporting import digest
from tests.mirror.days import LEDGER, Attempt, Death, World

DAYS = amount(25, quick=10)
HOW = ("before", "midway", "after")
SETTLED = f"(SELECT plan FROM {LEDGER} WHERE op IN ('settled', 'replaced'))"


def next_people(people: set[str], dice: random.Random) -> set[str]:
    """Some leave, some join, some who had left come back; now and then nothing changes."""
    if dice.random() < 0.1:
        return people
    stay = {person for person in sorted(people) if dice.random() > 0.08}
    return stay | {f"person{dice.randrange(150)}@shop.example" for _ in range(dice.randrange(12))}


def doubted(world: World) -> int:
    """How many digests a plan has touched that is not settled."""
    known = "SELECT 1 FROM duckdb_tables() WHERE table_name = 'pinterest_ledger'"
    if not world.sql(known):
        return 0
    query = f"SELECT count(DISTINCT digest) FROM {LEDGER} WHERE op IN ('join', 'leave') AND plan NOT IN {SETTLED}"
    return int(world.sql(query)[0][0])


def checked(world: World, audience_id: str, people: set[str], attempt: Attempt) -> None:
    assert attempt.succeeded, attempt.said[-3000:]
    assert {digest(person) for person in people} == world.members(audience_id)


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_dies_the_audience_is_the_result_of_the_last_finished_day(mirrored: World, seed: int) -> None:
    dice = random.Random(seed)
    audience_id = mirrored.audience(["before@shop.example"])
    mirrored.configure(min_records=1, max_leave_ratio="1.0", resend_days=0)
    people = {f"person{number}@shop.example" for number in range(60)}
    finished = deaths = 0
    for day in range(DAYS):
        people = next_people(people, dice)
        mirrored.wants(people)
        if day % 10 == 9:
            compact = Death(step=dice.randrange(1, 7), how=dice.choice(HOW), seed=day)
            mirrored.run(day, workflow="pinterest_mirror_compact", death=compact if dice.random() < 0.6 else None)
        death = Death(step=dice.randrange(1, 11), how=dice.choice(HOW), seed=day) if dice.random() < 0.5 else None
        unsure, held = doubted(mirrored), mirrored.members(audience_id)
        with mirrored.sent() as sent:
            attempt = mirrored.run(day, death=death)
        if not attempt.succeeded:
            deaths += 1
            match dice.choice(["resume", "anew", "give up"]):
                case "give up":
                    continue
                case "resume":
                    attempt = mirrored.run(day, resume=attempt)
                case _:
                    people = next_people(people, dice)
                    mirrored.wants(people)
                    attempt = mirrored.run(day)
        elif finished:
            wanted = {digest(person) for person in people}
            least = {"ADD": len(wanted - held), "REMOVE": len(held - wanted)}
            assert sent >= Counter(least)
            assert sent.total() <= sum(least.values()) + unsure, "more than the differences is sent"
        checked(mirrored, audience_id, people, attempt)
        finished += 1
    assert finished > DAYS // 2
    assert deaths > DAYS // 5
