"""Fifty random days of joiners and leavers, half of which die at a random statement or write; the same with lists."""

import random
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.withholding.people import assign_control
from tests.campaigns import amount
from tests.emulators.pinterest import Call, When
from tests.exporting import digest
from tests.mirror.days import LEDGER, Death, World
from tests.mirror.model import EVERYBODY, HOW, choose_next_people
from tests.mirror.test_withholding import set_lists

DAYS = amount(25, quick=5)
CONTROL = ControlGroup(percent=Decimal(20), salt="spring")
SETTLED = f"(SELECT plan FROM {LEDGER} WHERE op IN ('settled', 'replaced'))"


def count_unsettled(world: World) -> int:
    """Count the digests of plans that are not settled."""
    if LEDGER not in world.tables():
        return 0
    query = f"SELECT count(DISTINCT digest) FROM {LEDGER} WHERE op IN ('join', 'leave') AND plan NOT IN {SETTLED}"
    return int(world.sql(query)[0][0])


@dataclass(kw_only=True)
class Sent:
    """Whom the requests put into any list since `begin`: each is checked when it has been carried out."""

    world: World
    held: dict[str, set[str]] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)

    def __call__(self, _call: Call | None = None) -> None:
        pinterest = self.world.pinterest
        for list_id in list(pinterest.lists):
            members = pinterest.members(list_id)
            self.added |= members - self.held.get(list_id, set())
            self.held[list_id] = members


@dataclass(kw_only=True)
class Rules:
    """Who may be sent; with `withholds`, both lists are chosen again each time, in any spelling."""

    world: World
    dice: random.Random
    withholds: bool
    sent: Sent

    def choose_wanted(self, people: set[str]) -> set[str]:
        """Return the digests of those of the people who may be sent from now on."""
        self.world.set_people(people)
        wanted = {digest(person) for person in people}
        if self.withholds:
            opted_out = {person for person in EVERYBODY if self.dice.random() < 0.1}
            consenting = {person for person in EVERYBODY if self.dice.random() < 0.9}
            set_lists(self.world, suppress=self._spell_randomly(opted_out), consent=self._spell_randomly(consenting))
            chosen = assign_control(CONTROL, [each.encode() for each in sorted(wanted)])
            wanted &= {each for each, is_chosen in zip(sorted(wanted), chosen, strict=True) if not is_chosen}
            wanted &= {digest(person) for person in consenting - opted_out}
        self.sent.added.clear()
        return wanted

    def _spell_randomly(self, people: set[str]) -> list[str]:
        spellings = (" {}".format, str.upper, digest)
        return [self.dice.choice(spellings)(person) for person in sorted(people)]


@pytest.mark.parametrize(("seed", "withholds"), [(1, True), (2, True), (1, False), (2, False)])
def test_audience_equals_the_last_finished_day_after_a_crash_at_any_step(
    mirror_world: World, seed: int, withholds: bool
) -> None:
    dice = random.Random(seed)
    mirror_world.audience(["before@shop.example"])
    mirror_world.settings |= {"min_records": 1, "max_leave_ratio": 1.0, "resend_days": 0}
    if withholds:
        mirror_world.settings["control"] = {"percent": str(CONTROL.percent), "salt": CONTROL.salt}
    steps = 19 if withholds else 13
    sent_to = Sent(world=mirror_world)
    sent_to()
    rules = Rules(world=mirror_world, dice=dice, withholds=withholds, sent=sent_to)
    mirror_world.pinterest.on_request(sent_to, when=When.AFTER)
    people = {f"person{number}@shop.example" for number in range(60)}
    finished = deaths = 0
    for day in range(DAYS):
        people = choose_next_people(people, dice)
        wanted = rules.choose_wanted(people)
        death = Death(step=dice.randrange(1, steps), how=dice.choice(HOW), seed=day) if dice.random() < 0.5 else None
        unsure = count_unsettled(mirror_world)
        held = mirror_world.members()
        attempt = mirror_world.run(day, death=death)
        assert sent_to.added <= wanted
        if not attempt.succeeded:
            deaths += 1
            match dice.choice(["again", "with others", "give up"]):
                case "give up":
                    continue
                case "with others":
                    people = choose_next_people(people, dice)
                    wanted = rules.choose_wanted(people)
            attempt = mirror_world.run(day)
        elif finished:
            least = {"ADD": len(wanted - held), "REMOVE": len(held - wanted)}
            assert attempt.sent >= Counter(least)
            assert attempt.sent.total() <= sum(least.values()) + unsure, "more than the differences is sent"
        assert attempt.succeeded, attempt.output[-3000:]
        assert mirror_world.members() == wanted
        assert sent_to.added <= wanted
        finished += 1
    assert finished > DAYS // 2
    assert deaths > DAYS // 5
