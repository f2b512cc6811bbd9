"""A model of two runs that switch one audience, with every delay that the network and Pinterest may add.

Each run reads the audience, asks for the switch, and looks ten seconds after the answer. Requests arrive late, answers
come late, tries are repeated, and reads show the state of up to three seconds ago.
"""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from td_pinterest_op.audiences.consistency import POLL_WAITS
from td_pinterest_op.audiences.switching import LONGEST_BLINDNESS

LOOK_AFTER = sum(POLL_WAITS)
# The list that the audience uses at the beginning, and those of the runs: the greater, the newer.
BEFORE, OLDER, NEWER = range(3)
# In seconds: how long a request or an answer may be under way, or a run wait.
DELAYS = (0.0, 0.0, 0.5, 2.0, 4.0, 12.0, 70.0)
LAGS = (0.0, 1.0, LONGEST_BLINDNESS)
ORDERS = 4_000

# Returns the seconds that decide whether a run reads the listing, from the times of its last reading of the audience,
# of the request for the switch, and of the answer.
Measure = Callable[[float, float, float], float]


def since_reading(read_at: float, _asked_at: float, answered_at: float) -> float:
    """The rule of the operator."""
    return answered_at - read_at


def since_request(_read_at: float, asked_at: float, answered_at: float) -> float:
    """A rule that loses people: only the switch itself is timed."""
    return answered_at - asked_at


@dataclass
class Model:
    """The audience, and the choices of an order of events."""

    draw: random.Random
    measure: Measure
    lags: Sequence[float] = LAGS
    switches: list[tuple[float, int]] = field(default_factory=lambda: [(-1e9, BEFORE)])
    obeyed_late: bool = False  # whether Pinterest obeyed the older run over ten seconds after its reading

    def read(self, now: float) -> int:
        """Return the list that a read shows, which may lag."""
        at = now - self.draw.choice(self.lags)
        return next(used for since, used in reversed(self.switches) if since <= at)

    def run(self, mine: int, now: float, *, dies: bool) -> Generator[float, None, str]:
        """Carry out a run, which yields the time of each event and is resumed then. Returns how it ends."""
        was_blind = False
        for _ in range(2):
            read_at = asked_at = now
            for _ in range(self.draw.choice((1, 1, 2))):  # a try without an answer is repeated
                began_at = now
                now = yield from self.delay(now)
                seen = self.read(now)
                now = yield from self.delay(now)
                if seen > mine:
                    return "stopped"
                read_at = read_at if seen == mine else began_at
                asked_at = now
                now = yield from self.delay(now)
                self.switches.append((now, mine))
                self.obeyed_late = self.obeyed_late or (mine == OLDER and now - read_at > LOOK_AFTER)
                if dies:
                    return "died"
                now = yield from self.delay(now)
            was_blind = was_blind or self.measure(read_at, asked_at, now) > LONGEST_BLINDNESS
            now += LOOK_AFTER
            yield now
            seen = self.read(now)
            if seen > mine:
                return "overtaken"
            if seen == mine:  # both lists are there before the older run reads the audience
                return "warned" if was_blind and mine == OLDER else "succeeded"
        return "not shown"

    def delay(self, now: float) -> Generator[float, None, float]:
        """Wait, and return the time then."""
        now += self.draw.choice(DELAYS)
        yield now
        return now

    def play(self, *, older_dies: bool) -> dict[int, str]:
        """Carry out both runs. Returns how each ends."""
        number = itertools.count()
        starts = {OLDER: 0.0, NEWER: self.draw.uniform(-30, 100)}
        events: list[tuple[float, int, int, Generator[float, None, str]]] = [
            (at, next(number), mine, self.run(mine, at, dies=older_dies and mine == OLDER))
            for mine, at in starts.items()
        ]
        ends = {}
        heapq.heapify(events)
        while events:
            _, _, mine, steps = heapq.heappop(events)
            try:
                heapq.heappush(events, (next(steps), next(number), mine, steps))
            except StopIteration as ended:
                ends[mine] = ended.value
        return ends


def count_ends(measure: Measure, *, older_dies: bool = False, lags: Sequence[float] = LAGS) -> Counter[str]:
    """Return how often both runs succeed, and how often the newer run's people are lost without a word."""
    counts = Counter[str]()
    draw = random.Random(47)
    for _ in range(ORDERS):
        model = Model(draw, measure, lags)
        ends = model.play(older_dies=older_dies)
        is_silent = ends[NEWER] == "succeeded" and ends[OLDER] in ("succeeded", "died")
        counts["silent"] += is_silent
        is_covered = not (older_dies and model.obeyed_late)
        counts["lost"] += is_silent and is_covered and max(model.switches)[1] == OLDER
    return counts


def test_timing_the_switch_alone_would_lose_people_of_the_newer_run_silently() -> None:
    assert count_ends(since_request)["lost"] > ORDERS / 100


def test_no_order_of_two_switches_loses_people_of_the_newer_run_silently() -> None:
    counts = count_ends(since_reading)
    assert counts["lost"] == 0
    assert counts["silent"] > ORDERS / 50


def test_newer_run_wins_without_help_of_an_older_one_that_dies_right_after_its_switch() -> None:
    counts = count_ends(since_reading, older_dies=True, lags=[0.0])
    assert counts["lost"] == 0
    assert counts["silent"] > ORDERS / 10
