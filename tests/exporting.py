"""Runs the operator in this process between the two emulators, on a fake clock."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from td_pinterest_op.exporting.export_run import export_task
from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS
from td_pinterest_op.stats import WITHHELD_REASONS
from td_pinterest_op.task_runtime.task import Task
from tests import guard
from tests.clock import FakeTime
from tests.emulators.environment import environment
from tests.emulators.pinterest import AD_ACCOUNT_ID, Pinterest, serve_pinterest
from tests.emulators.td import TreasureData, serve_td

# The number of withheld records by reason when there are none.
NOBODY = dict.fromkeys(WITHHELD_REASONS, 0)
SESSION = "2026-11-25T00:00:00+00:00"
# The number of rejections by reason when there are none.
NO_REASONS = dict.fromkeys(REASON_EXPLANATIONS, 0)
TASK_NAME = "+pinterest_export+export"
# A value of each setting that some action needs, besides the audience's id.
NEEDED = {"audience_name": "Shoppers", "seed_audience_id": "549755885175000777", "country": "US", "percentage": 1}
# Parameters of an attempt that is retried; without them every run is its own attempt.
ATTEMPT = {"session_uuid": "0c9eb4a2-1111-4222-8333-444455556666", "attempt_id": 7}


def digest(identifier: str) -> str:
    """Return the hex digest of a normalised identifier."""
    return hashlib.sha256(identifier.encode()).hexdigest()


def people(count: int, *, first: int = 0) -> list[str]:
    """Return different made-up normalised e-mail addresses."""
    return [f"person{number}@shop.example" for number in range(first, first + count)]


def digests(count: int, *, first: int = 0) -> set[str]:
    """Return the digests of `people`."""
    return {digest(person) for person in people(count, first=first)}


@dataclass(kw_only=True)
class Services:
    """The two emulators and how to reach them."""

    td: TreasureData
    pinterest: Pinterest
    time: FakeTime
    environ: dict[str, str] = field(default_factory=dict)

    def job(self, values: Iterable[str | bytes | None], *, column: str = "email") -> str:
        """Add a finished job whose result is one column; return its id."""
        return self.td.add_job(columns=[(column, "varchar")], rows=[(value,) for value in values])

    def audience(self, members: Sequence[str] = (), *, name: str = "Shoppers") -> str:
        """Add an audience whose customer list has the digests of `members`; return its id."""
        behind = self.pinterest.add_list(f"{name} list", members=[digest(member) for member in members])
        return self.pinterest.add_audience(name, customer_list_id=behind.id).id

    def export(
        self,
        settings: Mapping[str, Any],
        *,
        job_id: str | None = None,
        session_time: str = SESSION,
        environ: Mapping[str, str] | None = None,
        suppress: str | None = None,
        consent: str | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """Run the operator; return its statistics. Its errors are passed on.

        `settings` extend those of every export, as `suppress` and `consent` do, and `params` those of the task. None
        removes one.
        """
        least = {"type": "pinterest", "ad_account_id": AD_ACCOUNT_ID, "audience_type": "customer_list"}
        lists = drop_none({"suppress": suppress, "consent": consent})
        task = {
            "session_time": session_time,
            "task_name": TASK_NAME,
            "project_id": 1,
            "job_id": job_id,
            "result_settings": drop_none(least | dict(settings) | lists),
        } | params
        stored = export_task(Task(params=drop_none(task), environ=self.environ | dict(environ or {})), self.time.timing)
        guard.check(json.dumps(stored), "the store")
        guard.check_inert(json.dumps(stored), "the store")
        return stored


def drop_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@contextlib.contextmanager
def serve_both(time: FakeTime) -> Iterator[Services]:
    """Serve both emulators; Pinterest's limits and its log of requests use `time`."""
    emulated = Pinterest(clock=time.now, monotonic=time.now)
    with serve_td() as (td, td_url), serve_pinterest(state=emulated) as (pinterest, endpoint):
        yield Services(
            td=td, pinterest=pinterest, time=time, environ=environment(td_url=td_url, pinterest_endpoint=endpoint)
        )
