"""Waiting for listings, and creating a thing once."""

import types
from dataclasses import dataclass, field
from typing import cast

import pytest

from td_pinterest_op.audiences.consistency import create_once, wait_out_listing_lag
from td_pinterest_op.errors import AccountError, ExportError, MaybeAppliedError
from td_pinterest_op.http.retry import RetrySchedule
from td_pinterest_op.pinterest.api import CustomerList, build_age_key
from td_pinterest_op.pinterest.client import Client
from tests.clock import FakeTime

RETRY = RetrySchedule(count=3, initial_wait=0.5, longest_wait=300, random=lambda: 0)


def thing(number: int) -> CustomerList:
    return CustomerList(id=str(number), name="", uploaded=None)


@dataclass(kw_only=True)
class World:
    """What there is. `answers` are what creating does, in turn: an error, or `lost` for one that was done.

    `hidden` looks do not show yet what was created; `refused` is the error of every look.
    """

    answers: list[ExportError | str] = field(default_factory=list)
    things: list[CustomerList] = field(default_factory=list)
    hidden: int = 0
    refused: ExportError | None = None
    count: int = 0
    looked: int = 0
    time: FakeTime = field(default_factory=FakeTime)

    def create(self) -> CustomerList:
        description = self.answers.pop(0) if self.answers else "done"
        if isinstance(description, ExportError):
            raise description
        self.count += 1
        self.things.append(thing(100 - self.count))
        if description == "lost":
            raise MaybeAppliedError("no answer")
        return self.things[-1]

    def find(self) -> CustomerList | None:
        self.looked += 1
        if self.refused:
            raise self.refused
        return (
            None
            if self.looked <= self.hidden
            else min(self.things, key=lambda made: build_age_key(made.id), default=None)
        )

    def once(self) -> CustomerList:
        rate_limiter = types.SimpleNamespace(wait=self.time.sleep)
        client = cast(Client, types.SimpleNamespace(rate_limiter=rate_limiter, retry=RETRY))
        return create_once(create=self.create, find_created=self.find, client=client)


def maybe() -> MaybeAppliedError:
    return MaybeAppliedError("no answer")


@pytest.mark.parametrize(("hidden", "waited"), [(0, 0.5), (1, 2.0), (4, 10.0)])
def test_lagging_listing_is_read_for_ten_seconds_before_the_request_is_repeated(hidden: int, waited: float) -> None:
    world = World(answers=["lost"], hidden=hidden)
    assert thing(99) == world.once()
    assert (world.count, sum(world.time.slept)) == (1, waited)


def test_listing_is_read_before_each_repetition_and_after_the_last() -> None:
    world = World(answers=[maybe()] * 10)
    with pytest.raises(MaybeAppliedError):
        world.once()
    assert (len(world.answers), sum(world.time.slept)) == (6, 40.0)


@pytest.mark.parametrize(
    ("answers", "refused", "maybe"),
    [
        (["lost"], AccountError("the look is refused"), True),
        (["lost", AccountError("no")], None, True),
        ([AccountError("no")], None, False),
    ],
)
def test_error_tells_whether_the_thing_may_exist(
    answers: list[ExportError | str], refused: ExportError | None, maybe: bool
) -> None:
    with pytest.raises(AccountError) as caught:
        World(answers=answers, refused=refused, hidden=9).once()
    assert maybe == caught.value.maybe_applied


@pytest.mark.parametrize(("age", "waited"), [(0.0, 10.0), (4.0, 6.0), (10.0, 0.0), (99.0, 0.0)])
def test_run_waits_ten_seconds_for_things_of_an_earlier_try(age: float, waited: float) -> None:
    time = FakeTime()
    rate_limiter = types.SimpleNamespace(wait=time.sleep)
    client = types.SimpleNamespace(began=time.now() - age, timing=time.timing, rate_limiter=rate_limiter)
    wait_out_listing_lag(cast(Client, client))
    assert sum(time.slept) == waited
