"""Random days of a mirror in both modes: refused records, requests without an answer, crashes, rebuilds, two sessions.

After each day with a single session that ends as it should, the audience is compared with the query's people, and the
ledger's members with the audience's.
"""

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from td_pinterest_op.errors import RecordsRefusedError, RequestRefusedError
from tests.emulators.pinterest import When
from tests.emulators.pinterest.faults import Answer, Fault
from tests.emulators.pinterest.tokens import REFRESH_TOKEN
from tests.exporting import digest
from tests.mirror.days import LEDGER, Attempt, Death, World, run_at_statement, run_at_write

EVERYBODY = [f"person{number}@shop.example" for number in range(150)]
BEFORE = "before@shop.example"
HOW = ("before", "midway", "after")
_STATEMENTS = (
    "read the state of the ledger",
    "read the columns",
    "compare the people",
    "count who joins",
    "write the plan",
    "read the plan back",
    "read the newest plan",
    "note whom",
    "count them",
    "settle the plan",
    "write a row for each member",
    "let them replace",
    "delete void rows",
)
# Most days have about so many statements and writes.
_MOST_STEPS = 18


def choose_next_people(people: set[str], dice: random.Random) -> set[str]:
    """Some leave, some join, some who had left come back; now and then nothing changes."""
    if dice.random() < 0.1:
        return people
    stay = {person for person in sorted(people) if dice.random() > 0.08}
    return stay | {dice.choice(EVERYBODY) for _ in range(dice.randrange(12))}


def find_ledger_members(world: World) -> set[str]:
    """Return the digests that are members by the ledger, as its documentation reads."""
    rows = world.sql(f"SELECT plan, session, op, digest FROM {LEDGER}")
    settled = {(plan, session) for plan, session, op, _ in rows if op in ("settled", "replaced", "compacted")}
    base = max((plan for plan, _, op, _ in rows if op in ("replaced", "compacted")), default=0)
    members = {}
    # What a plan says of a refused record comes after the change.
    for plan, session, op, person in sorted(rows, key=lambda row: (row[0], row[2] in ("in", "out"))):
        if person and plan >= base and (plan, session) in settled:
            members[person] = op in ("join", "in")
    return {person for person, is_member in members.items() if is_member}


@dataclass(kw_only=True)
class Model:
    """Random days, chosen by `seed`.

    Pinterest always refuses to add some people, always refuses to remove some, and some of these are the same. With an
    even seed, the first run adopts the person who is in the audience, whom the ledger does not know until a rebuild.
    """

    world: World
    seed: int
    complete: int = 0  # days that ended as they should
    in_stop_mode: int = 0  # those of them that failed since Pinterest had refused records
    unanswered: int = 0  # days that failed since Pinterest did not answer
    deaths: int = 0
    met: int = 0  # days with two sessions
    _day: int = 0
    _adopted: set[str] = field(default_factory=set)
    _people: set[str] = field(default_factory=lambda: set(EVERYBODY[:60]))

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        refused = self._dice.sample(EVERYBODY, 18)
        self._not_added = set(map(digest, refused[:12]))
        self._not_removed = set(map(digest, refused[6:]))
        self.world.audience([BEFORE])
        self.world.settings |= {"min_records": 1, "max_leave_ratio": 1.0}
        if self.seed % 2 == 0:
            self.world.settings["begin"] = "adopt"
            self._adopted.add(digest(BEFORE))
        self.world.pinterest.switches.refused_to_add = frozenset(self._not_added)
        self.world.pinterest.switches.refused_to_remove = frozenset(self._not_removed)

    def run_days(self, count: int) -> None:
        """Run days, and compare after each that should have ended right. The last one is such a day."""
        for _ in range(count - 1):
            self._run_day(self._dice.choice(["one", "one", "dies", "dies", "two", "two", "unanswered"]))
        self._run_day("one")

    def _run_day(self, kind: str) -> None:
        world = self.world
        dice = self._dice
        self._day += 1
        self._people = choose_next_people(self._people, dice)
        world.set_people(self._people)
        world.pinterest.tokens.set_refresh_token(REFRESH_TOKEN)  # which lives for sixty days
        ignores = dice.random() < 0.6
        settings: dict[str, Any] = {"ignore_invalid_records": ignores, "resend_days": dice.choice([0, 5])}
        if dice.random() < 0.1:
            settings["rebuild"] = True
        match kind:
            case "dies":
                ran = world.run(self._day, death=self._choose_death(), **settings)
                self.deaths += not ran.succeeded
            case "unanswered":
                self._stop_answering()
                ran = world.run(self._day, retry_count=1, **settings)
                self.unanswered += not ran.succeeded
            case "two":
                with self._run_beside() as newer:
                    world.run(self._day, **settings)
                self.met += bool(newer)
            case _:
                self._check_day(world.run(self._day, **settings), ignores=ignores)

    def _check_day(self, ran: Attempt, *, ignores: bool) -> None:
        members = self.world.members()
        wanted = set(map(digest, self._people))
        of_ledger = find_ledger_members(self.world)
        if isinstance(ran.error, RecordsRefusedError):
            assert not ignores, ran.output[-3000:]
            self.in_stop_mode += 1
        elif isinstance(ran.error, RequestRefusedError):
            assert "Pinterest refused all" in ran.output, ran.output[-3000:]
        else:
            assert ran.succeeded, ran.output[-3000:]
            assert ran.stored["members"] in (len(of_ledger), None)
            if ran.stored["members"] is None:
                assert self._adopted
            else:
                self._adopted.clear()
        self.complete += 1
        assert wanted - members <= self._not_added
        assert members - wanted <= self._not_removed | self._adopted
        assert of_ledger <= members
        # Of those whom only a plan that was not settled has added, the ledger says that they are out as soon as
        # Pinterest refuses to remove them.
        assert members - of_ledger <= (self._not_removed - wanted) | self._adopted

    def _stop_answering(self) -> None:
        """Let Pinterest fail to answer all requests with records after some, which it carries out or not."""
        dice = self._dice
        fault = Fault(
            effect=Answer(status=500),
            when=dice.choice(list(When)),
            method="PATCH",
            path="customer_lists",
            after=dice.randrange(4),
            times=None,
        )
        self.world.pinterest.faults.add(fault)

    def _choose_death(self) -> Death:
        return Death(step=self._dice.randrange(1, _MOST_STEPS), how=self._dice.choice(HOW), seed=self._day)

    @contextlib.contextmanager
    def _run_beside(self) -> Iterator[list[Attempt]]:
        """Let a second session, which finds other people, meet a run of the block, 0 to 20 ms after it has begun.

        It runs whole, at a statement or write of the other, or not at all if there is none of this kind.
        """
        world = self.world
        dice = self._dice
        time = world.time
        people = choose_next_people(self._people, dice)
        milliseconds = dice.choice([0, 1, 2, 3, dice.randrange(21)])
        death = self._choose_death() if dice.random() < 0.2 else None
        ignores = dice.random() < 0.6
        newer: list[Attempt] = []

        def run_newer() -> None:
            query = world.task["query"]
            time.held = (time.held or 0) + milliseconds / 1000
            world.set_people(people)
            session = f"a second session of day {self._day}"
            newer.append(world.run(self._day, session=session, death=death, ignore_invalid_records=ignores))
            world.task["query"] = query

        time.held = time.now()
        meeting = (
            run_at_write(dice.randrange(1, 5), run_newer)
            if dice.random() < 0.3
            else run_at_statement(dice.choice(_STATEMENTS), run_newer)
        )
        with meeting:
            yield newer
        time.held = None
