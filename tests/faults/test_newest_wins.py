"""Two runs of one task at once, while the list of opt-outs grows: the newest run wins, whichever ends last.

One run happens from its beginning to its end during a request of the other, before the request leaves or before its
response is read. At the end the members are exactly those of the newest run: of the people's newest job, without those
who are on its newest list of opt-outs. If an older run's switch comes after the newer run has ended, an error of the
older run names both lists. Only a run that dies then, before it looks, says nothing.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from td_pinterest_op.audiences.actions import Clear, Create, Replace
from td_pinterest_op.audiences.consistency import POLL_WAITS
from td_pinterest_op.audiences.list_name import ListJobs, parse_list_name
from td_pinterest_op.errors import AudienceError, StoppedError
from td_pinterest_op.http.transport import RawResponse, Transport
from td_pinterest_op.pinterest.api import CustomerList, build_age_key
from tests.campaigns import amount, examples
from tests.exporting import Services, digest, digests, people
from tests.faults.conftest import Stage, new_stage, use_transport

NAME = "Shoppers"
DATABASE = "crm"
RECORDS = 12
DAYS = ("2026-11-25T00:00:00+00:00", "2026-11-26T00:00:00+00:00")
LATER = 3600.0  # seconds, long after any lag
_tasks = itertools.count(1)


class InterruptedTransport(Transport):
    """Counts the requests of the outer run, interrupts it once, and lets it die at another request."""

    number: ClassVar[int] = 0
    interrupted_at: ClassVar[int | None] = None
    is_before: ClassVar[bool] = False
    dies_at: ClassVar[int | None] = None
    run_other: ClassVar[Callable[[], None]] = lambda: None
    is_inside: ClassVar[bool] = False
    clock: ClassVar[Callable[[], float]] = lambda: 0.0
    read_at: ClassVar[float] = 0.0
    seconds_since_reading: ClassVar[float] = 0.0  # when the audience was switched last

    @contextlib.contextmanager
    def open_response(self, method: str, url: str, **rest: Any) -> Iterator[RawResponse]:
        mine = type(self)
        if mine.is_inside:
            with super().open_response(method, url, **rest) as response:
                yield response
            return
        mine.number += 1
        number = mine.number
        if mine.dies_at is not None and number >= mine.dies_at:
            raise StoppedError("the process is dead")
        is_about_audience = "/audiences/" in url
        if is_about_audience and method == "GET":
            mine.read_at = mine.clock()
        if number == mine.interrupted_at and mine.is_before:
            mine.interrupt()
        with super().open_response(method, url, **rest) as response:
            if is_about_audience and method == "PATCH":
                mine.seconds_since_reading = mine.clock() - mine.read_at
            if number == mine.interrupted_at and not mine.is_before:
                mine.interrupt()
            yield response

    @classmethod
    def interrupt(cls) -> None:
        cls.is_inside = True
        cls.run_other()
        cls.is_inside = False


@dataclass(kw_only=True)
class Meeting:
    """When two runs, in two threads, wait for each other.

    The first run waits at one of its requests until the second has come to one of its own, or has ended; the second
    waits there until the first has ended.
    """

    at: tuple[int, int]  # the numbers of these requests
    second: threading.Thread
    second_waits: threading.Event = field(default_factory=threading.Event)
    first_ended: threading.Event = field(default_factory=threading.Event)

    def come_to(self, number: int, *, is_second: bool) -> None:
        """Wait for the other run, if this request is the one at which a run waits."""
        if number != self.at[is_second]:
            return
        if is_second:
            self.second_waits.set()
            assert self.first_ended.wait(60)
        else:
            self.second.start()
            assert self.second_waits.wait(60)


class MeetingTransport(Transport):
    """Counts the requests of a run, which meets another."""

    meeting: ClassVar[Meeting]

    def __init__(self, **limits: Any) -> None:
        super().__init__(**limits)
        self._is_second = threading.current_thread() is self.meeting.second
        self._number = 0

    @contextlib.contextmanager
    def open_response(self, method: str, url: str, **rest: Any) -> Iterator[RawResponse]:
        self._number += 1
        self.meeting.come_to(self._number, is_second=self._is_second)
        with super().open_response(method, url, **rest) as response:
            yield response


@dataclass(kw_only=True)
class World:
    """An audience that runs of one task fill, the table of opt-outs, and how many are in it."""

    stage: Stage
    action: str
    task: str
    audience_id: str | None = None
    opted_out: int = 0
    warnings: list[str] = field(default_factory=list)  # errors of runs whose switch may have undone another's
    died: bool = False  # before it looked, long after it had read the audience

    def opt_out(self) -> None:
        """One more person opts out."""
        self.opted_out += 1
        self.stage.services.td.create_people(DATABASE, people(self.opted_out), table="suppressed")

    def run(self, *, day: int, job_id: str | None, action: str = "") -> dict[str, Any] | None:
        """Run the task of a day; return its statistics, or None after an error. Without job, it clears."""
        named = {"audience_id": self.audience_id} if self.audience_id else {"audience_name": NAME}
        wanted = {"action": action or self.action, **named, "limit_records_per_request": 5, "max_in_flight": 1}
        lists = {"suppress": "SELECT email FROM suppressed", "database": DATABASE} if job_id else {}
        try:
            return self.stage.export(wanted, job_id=job_id, session_time=DAYS[day], task_name=self.task, **lists)
        except (AudienceError, StoppedError) as error:
            if "whose switch it may have undone" in str(error):
                self.warnings.append(str(error))
            is_long_ago = InterruptedTransport.seconds_since_reading > sum(POLL_WAITS)
            self.died = self.died or (isinstance(error, StoppedError) and is_long_ago)
            return None

    def run_at_once(self, outer: dict[str, Any], inner: dict[str, Any], **where: Any) -> list[dict[str, Any] | None]:
        """Run `inner` during a request of `outer`; return what both return."""
        ended: list[dict[str, Any] | None] = []

        def run_other() -> None:
            self.opt_out()
            ended.append(self.run(**inner))

        InterruptedTransport.number = 0
        InterruptedTransport.run_other = run_other
        InterruptedTransport.clock = self.stage.services.time.now
        InterruptedTransport.seconds_since_reading = 0.0
        self.warnings.clear()
        self.died = False
        for name, value in where.items():
            setattr(InterruptedTransport, name, value)
        with use_transport(InterruptedTransport):
            ended.append(self.run(**outer))
        return ended

    def run_beside(self, first: dict[str, Any], second: dict[str, Any], at: tuple[int, int]) -> list[Any]:
        """Run `first`, and `second` from its request `at[0]` on, as `Meeting` says; return what both return."""
        ended: list[dict[str, Any] | None] = []

        def run_second() -> None:
            ended.append(self.run(**second))
            meeting.second_waits.set()

        self.warnings.clear()
        meeting = Meeting(at=at, second=threading.Thread(target=run_second))
        MeetingTransport.meeting = meeting
        with use_transport(MeetingTransport):
            ended.append(self.run(**first))
            meeting.first_ended.set()
            if meeting.second.ident:
                meeting.second.join()
        return ended

    def check(self, ended: list[dict[str, Any] | None]) -> None:
        """Check that the audience has the people of the list that it uses, and that no run that ended well is newer.

        If one is, the other run's error must name both lists. `ended`: the statistics of two runs at once, None for one
        that failed.
        """
        audiences = self.stage.audiences()
        assert len(audiences) <= 1
        if not audiences:
            assert not any(ended)
            return
        lists = {held.id: held for held in self.stage.lists()}
        used = lists[str(audiences[0].rule["customer_list_id"])]
        name = parse_list_name(CustomerList(id=used.id, name=used.name, uploaded=None))
        if not name:
            assert not any(ended)
            return
        members = self.stage.members(audiences[0])
        is_cleared = name.dummy_record_count is not None
        assert members & digests(RECORDS * 3) == (set() if is_cleared else self.find_allowed(name.jobs))
        for stats in filter(None, ended):
            assert stats["audience_id"] == audiences[0].id
            filled = lists[stats["customer_list_id"]]
            other = parse_list_name(CustomerList(id=filled.id, name=filled.name, uploaded=None))
            assert other
            is_newer = other.jobs.is_newer_than(name.jobs)
            has_same_people = other.fingerprint == name.fingerprint
            is_older = build_age_key(filled.id) <= build_age_key(used.id)
            is_right = is_newer is False or (is_newer is None and (is_older or has_same_people))
            is_told = any(used.id in text and filled.id in text for text in self.warnings)
            assert is_right or is_told or self.died

    def find_allowed(self, jobs: ListJobs) -> set[str]:
        """Return the digests of the people of a job who were not on the list of opt-outs of another job."""
        assert jobs.people
        assert jobs.withheld
        return self.read_job(jobs.people) - self.read_job(jobs.withheld)

    def read_job(self, job_id: str) -> set[str]:
        """Return the digests of the people in a job's result."""
        output = self.stage.services.td.job(job_id).output
        assert output
        unpacker = msgpack.Unpacker()
        unpacker.feed(b"".join(output.unpacked().chunks(0, None)))
        return {digest(email) for (email,) in unpacker}


def new_world(shared_services: Services, action: str) -> World:
    """Return a world of its own for each example of a test."""
    stage = new_stage(shared_services)
    world = World(stage=stage, action=action, task=f"+newest+{next(_tasks)}")
    if action != Create.action.name:
        world.audience_id = stage.audience(people(3, first=900), name=NAME)
    world.opt_out()
    return world


def count_requests(world: World, job_id: str) -> int:
    """Return how many requests an undisturbed run sends."""
    (ended,) = world.run_at_once({"day": 0, "job_id": job_id}, {}, interrupted_at=None, dies_at=None)
    assert ended
    return InterruptedTransport.number


# `is_before`: before the request leaves, else before its response is read.
@pytest.mark.parametrize(
    ("action", "is_before", "lag"),
    [
        (Replace.action.name, True, 0.0),
        (Replace.action.name, False, 2.0),
        (Create.action.name, True, 2.0),
        (Create.action.name, False, 0.0),
    ],
)
def test_newer_list_of_opt_outs_wins_at_each_request_of_the_other_run(
    action: str, is_before: bool, lag: float, shared_services: Services, job_id: str
) -> None:
    count = count_requests(new_world(shared_services, action), job_id)
    for number in range(1, count + 1, amount(1, quick=4)):
        world = new_world(shared_services, action)
        world.stage.pinterest.switches.listing_lag_seconds = lag
        run: dict[str, Any] = {"day": 0, "job_id": job_id}
        ended = world.run_at_once(run, run, interrupted_at=number, is_before=is_before, dies_at=None)
        assert ended[0], f"the run during request {number} failed"
        world.check(ended)
        world.stage.services.time.sleep(LATER)
        again = world.run(**run)
        assert again
        world.check([*ended, again])
        assert again["members"] == RECORDS - world.opted_out


_runs = st.fixed_dictionaries(
    {
        "day": st.integers(0, 1),
        "job": st.sampled_from(["fixed", "older", "new"]),
        "action": st.sampled_from([Replace.action.name, Replace.action.name, Clear.action.name]),
    }
)
_rounds = st.fixed_dictionaries(
    {
        "outer": _runs,
        "inner": _runs,
        "interrupted_at": st.none() | st.integers(1, 45),
        "is_before": st.booleans(),
        "dies_at": st.none() | st.none() | st.integers(5, 45),
    }
)


@settings(max_examples=examples(40), suppress_health_check=list(HealthCheck), deadline=None)
@given(rounds=st.lists(_rounds, min_size=1, max_size=3), lag=st.sampled_from([0.0, 2.0]))
def test_newest_run_wins_when_runs_overlap_and_are_killed(
    rounds: list[dict[str, Any]], lag: float, shared_services: Services, job_id: str
) -> None:
    world = new_world(shared_services, Replace.action.name)
    world.stage.pinterest.switches.listing_lag_seconds = lag
    older = shared_services.job(people(RECORDS, first=RECORDS // 2))
    jobs = {"older": older, "fixed": shared_services.job(people(RECORDS))}

    def choose_job(run: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of `World.run`."""
        new = shared_services.job(people(RECORDS)) if run["job"] == "new" else None
        job = None if run["action"] == Clear.action.name else new or jobs[run["job"]]
        return {"day": run["day"], "action": run["action"], "job_id": job}

    for one in rounds:
        where = {name: one[name] for name in ("interrupted_at", "is_before", "dies_at")}
        outer = choose_job(one["outer"])
        inner = choose_job(one["inner"])
        world.check(world.run_at_once(outer, inner, **where))
        world.stage.services.time.sleep(LATER)
        world.opt_out()
    last = world.run(day=1, job_id=shared_services.job(people(RECORDS)))
    assert last
    world.check([last])
    assert last["members"] == RECORDS - world.opted_out


@pytest.mark.parametrize("action", [Create.action.name, Replace.action.name])
@pytest.mark.parametrize("second_day", [0, 1], ids=["one session", "two sessions"])
@settings(max_examples=examples(40), suppress_health_check=list(HealthCheck), deadline=None)
@given(at=st.tuples(st.integers(1, 18), st.integers(1, 18)), lag=st.sampled_from([0.0, 8.0]))
def test_two_runs_beside_each_other_leave_one_audience_with_the_people_of_the_newer(
    action: str, second_day: int, at: tuple[int, int], lag: float, shared_services: Services, job_id: str
) -> None:
    world = new_world(shared_services, action)
    world.stage.pinterest.switches.set({"listing_lag_seconds": lag, "listing_lag_varies": True})
    runs: list[dict[str, Any]] = [{"day": day, "job_id": job_id} for day in (0, second_day)]
    ended = world.run_beside(runs[0], runs[1], at)
    world.check(ended)
    world.opt_out()
    world.stage.services.time.sleep(LATER)
    again = [world.run(**run) for run in runs]
    world.warnings.clear()
    world.check(again[1:])
    assert any(again)
    (audience,) = world.stage.audiences()
    assert len(world.stage.members(audience)) == RECORDS - world.opted_out


def test_two_runs_of_one_task_leave_one_audience_whose_list_is_of_the_newest_run(
    shared_services: Services,
) -> None:
    world = new_world(shared_services, Create.action.name)
    first, second = (shared_services.job(people(RECORDS, first=start)) for start in (0, RECORDS))
    assert world.run(day=0, job_id=second)
    assert world.run(day=0, job_id=first) is None
    (audience,) = world.stage.audiences()
    assert world.stage.members(audience) == digests(RECORDS, first=RECORDS)
