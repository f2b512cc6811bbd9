"""One pair of emulators for the whole folder; every test gets an ad account of its own without faults."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from td_pinterest_op.http.transport import Transport
from td_pinterest_op.task_runtime import services
from tests.clock import FakeTime
from tests.emulators.pinterest import REFRESH_TOKEN, Audience, CustomerList, Pinterest, Switches
from tests.exporting import Services, digest, people, serve_both

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An ad account on the shared emulators."""

    services: Services
    account: str

    @property
    def pinterest(self) -> Pinterest:
        return self.services.pinterest

    def audience(self, members: list[str], *, name: str) -> str:
        """Add an audience whose list has the digests of `members`; return its id."""
        held = self.pinterest.add_list(
            f"{name} list", ad_account_id=self.account, members=[digest(member) for member in members]
        )
        return self.pinterest.add_audience(name, customer_list_id=held.id, ad_account_id=self.account).id

    def lists(self) -> list[CustomerList]:
        """The account's, the oldest first."""
        return [held for held in self.pinterest.lists.values() if held.ad_account_id == self.account]

    def audiences(self) -> list[Audience]:
        """The account's that are not removed, the oldest first."""
        held = self.pinterest.audiences.values()
        return [audience for audience in held if audience.ad_account_id == self.account and not audience.removed]

    def members(self, audience: Audience) -> set[str]:
        return self.pinterest.members_of_audience(audience.id)

    def export(self, settings: dict[str, Any], **rest: Any) -> dict[str, Any]:
        return self.services.export({"ad_account_id": self.account} | settings, **rest)

    def add(self, emails: Sequence[str], **settings: Any) -> tuple[str, dict[str, Any]]:
        """Add people to a new audience; returns its id and the statistics."""
        audience_id = self.audience([], name="Shoppers")
        wanted = {"action": "add_people_to_current_audience", "audience_id": audience_id, **settings}
        return audience_id, self.export(wanted, job_id=self.services.job(emails))

    def reset(self) -> None:
        """Remove all faults, reset the switches, and clear the log of requests."""
        self.pinterest.faults.clear()
        self.pinterest.calls.clear()
        self.services.td.faults.clear()
        plain = Switches()
        for switch in dataclasses.fields(Switches):
            setattr(self.pinterest.switches, switch.name, getattr(plain, switch.name))


@pytest.fixture(scope="session")
def shared_services() -> Iterator[Services]:
    with serve_both(FakeTime()) as running:
        yield running


@pytest.fixture(autouse=True)
def no_callback_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ends the callbacks of a test, so that they hold no request of another; fails the test if one still waits."""
    yield
    if "shared_services" in request.fixturenames:
        request.getfixturevalue("shared_services").pinterest.callbacks.end()


@pytest.fixture(scope="module")
def job_id(shared_services: Services, request: pytest.FixtureRequest) -> str:
    """A job whose result has as many people as the RECORDS of the test's module."""
    return shared_services.job(people(request.module.RECORDS))


@contextlib.contextmanager
def use_transport(transport: type[Transport], **attributes: object) -> Iterator[None]:
    """Let runs use this transport, whose class has these attributes meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "Transport", transport)
        for name, value in attributes.items():
            patch.setattr(transport, name, value)
        yield


@pytest.fixture
def stage(shared_services: Services) -> Stage:
    """Fresh: an empty ad account, a refresh token that lasts."""
    return new_stage(shared_services)


def new_stage(services: Services) -> Stage:
    """Return an ad account of its own for each example of a test."""
    made = Stage(services=services, account=f"7{next(_numbers):08d}")
    made.reset()
    made.pinterest.add_ad_account(made.account)
    made.pinterest.tokens.set_refresh_token(REFRESH_TOKEN)
    made.services.time.slept.clear()
    return made
