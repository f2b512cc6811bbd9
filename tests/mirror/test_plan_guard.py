"""When the ledger is asked for a newer plan. What a newer plan does: test_overtaking."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from td_pinterest_op.mirroring import plan_guard
from td_pinterest_op.mirroring.ledger import JOINERS, Ledger, LedgerPlans
from td_pinterest_op.mirroring.plan_guard import PlanGuard
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.stats import Stats


@dataclass
class Sending:
    """Requests of a second each, under a guard whose ledger takes `answer_after` seconds for an answer."""

    answer_after: float
    now: float = 0.0
    asked_at: list[float] = field(default_factory=list)
    check_write: Callable[[], object] = lambda: None  # set by the guard
    awaited: list[tuple[float, Callable[[], None], Future[None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = LedgerPlans(number=7, read_at=0)
        self.jobs = SimpleNamespace(audience_id="1")
        timing = Timing(monotonic=lambda: self.now, now=lambda: self.now, sleep=self.sleep)
        self.rate_limiter = RateLimiter(requests_per_minute=1000, timing=timing)
        self.stats = Stats(action="", ad_account_id="", dry_run=False)
        self.timing = SimpleNamespace(monotonic=lambda: self.now)
        self.guard = PlanGuard(ledger=cast("Ledger", self), stats=self.stats, client=cast("Client", self))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def find_newer_plan(self) -> tuple[None, int]:
        self.asked_at.append(self.now)
        self.now += self.answer_after
        return None, 0

    def answer(self, ask: Callable[[], None], future: Future[None]) -> None:
        """The end of a thread that asks."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self, "find_newer_plan", lambda: (None, 0))
            ask()
        future.set_result(None)

    def start_thread(self, ask: Callable[[], None]) -> Future[None]:
        self.asked_at.append(self.now)
        self.awaited.append((self.now + self.answer_after, ask, Future()))
        return self.awaited[-1][2]

    def send(self, requests: int) -> None:
        """Send requests one after the other, as a run does."""
        with self.guard.fail_if_overtaken(JOINERS):
            for _ in range(requests):
                with self.rate_limiter.wait_for_permit(write=True):
                    self.check_write()
                    self.now += 1
                self.stats.sent += 1
                for answered_at, ask, future in self.awaited:
                    if self.now >= answered_at and not future.done():
                        self.answer(ask, future)


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sending]:
    def begin_sending(answer_after: float) -> Sending:
        sending = Sending(answer_after)
        monkeypatch.setattr(plan_guard, "start_thread", sending.start_thread)
        sending.guard.trust_plan_as_newest()
        return sending

    return begin_sending


@pytest.mark.parametrize(
    ("answer_after", "asked_at"), [(3, [11, 25, 39, 53]), (12, [11, 34, 57]), (30, [11, 52]), (600, [11])]
)
def test_sending_goes_on_while_an_answer_is_awaited_and_asks_ten_seconds_after_it(
    begin: Callable[..., Sending], answer_after: float, asked_at: list[float]
) -> None:
    sending = begin(answer_after)
    sending.send(58)
    assert sending.now == 58
    assert sending.asked_at == asked_at
    sending.guard.require_newest_plan()  # after the last batch
    assert sending.now == 58 + answer_after


@pytest.mark.parametrize("is_other", [False, True], ids=["of this run", "of another entry of the list"])
def test_request_after_a_wait_leaves_only_once_the_ledger_has_answered(
    begin: Callable[..., Sending], is_other: bool
) -> None:
    sending = begin(12)
    sending.send(12)
    limiter = sending.rate_limiter.copy_with_shared_limits() if is_other else sending.rate_limiter
    limiter.delay_all_requests(4)  # after a 429
    sending.send(1)
    assert sending.asked_at == [11, 16]
    assert sending.now == 29
