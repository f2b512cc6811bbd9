"""Guards a mirror's plan against newer ones."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from td_pinterest_op.errors import ExportError, MirrorError
from td_pinterest_op.mirroring.ledger import Ledger
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.shutdown import start_thread
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.stats import Stats

# How long the answer that there is no newer plan is trusted, unless a request has waited since.
_PLAN_TRUSTED_SECONDS = 10.0


@dataclass(kw_only=True)
class PlanGuard:
    """Stops a mirror run from sending its plan (its changes) once another run has written a newer one.

    The ledger is asked after each wait (`RateLimiter.past_wait_count`), before anything else is sent, and otherwise ten
    seconds after its last answer, in a thread, while sending goes on. `trust_plan_as_newest` must be called right after
    the plan was read.
    """

    ledger: Ledger
    stats: Stats
    client: Client
    _waits: int = 0  # how often the client had waited when the ledger was asked
    _trusted_until: float = 0.0
    _question: Future[None] | None = None  # asks the ledger in a thread
    _changes: list[str] = field(default_factory=list)  # what may have been sent: JOINERS, LEAVERS, REPLACEMENT
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.client.check_write = self._require_newest_plan_before_write

    def trust_plan_as_newest(self) -> None:
        """Trust for ten seconds that this run's plan is the newest. The ledger is not asked."""
        self._waits = self.client.rate_limiter.past_wait_count
        self._trusted_until = self.client.timing.monotonic() + _PLAN_TRUSTED_SECONDS

    def require_newest_plan(self) -> None:
        """Ask the ledger now. Raises MirrorError if another run has written a newer plan, or rows of it are gone."""
        waits = self.client.rate_limiter.past_wait_count
        self._question = None
        self._check_ledger_for_newer()
        self._waits = waits

    def _check_ledger_for_newer(self) -> None:
        newer, missing_rows = self.ledger.find_newer_plan()
        if newer:
            raise MirrorError(f"plan {newer} is newer")
        if missing_rows:
            raise MirrorError(
                f"{format_count(missing_rows, 'row')} of plan {self.ledger.state.number} of audience "
                f"{self.ledger.jobs.audience_id} went missing from the ledger {self.ledger.name} during this run: "
                "somebody has deleted rows, or dropped the table",
                advice="If an erasure has deleted them, run it again, as this run may have added the erased people. "
                "Otherwise set rebuild: true for one run",
                subjects=[("audience", self.ledger.jobs.audience_id)],
            )
        self._trusted_until = self.client.timing.monotonic() + _PLAN_TRUSTED_SECONDS

    def _require_newest_plan_before_write(self) -> None:
        with self._lock:
            if not self._changes:
                return  # nothing of the plan is sent yet
            if self.client.rate_limiter.past_wait_count != self._waits:
                self.require_newest_plan()
            elif self._question is None and self.client.timing.monotonic() > self._trusted_until:
                self._question = start_thread(self._check_ledger_for_newer)
            elif self._question and self._question.done():
                self._question.result()
                self._question = None

    @contextlib.contextmanager
    def fail_if_overtaken(self, *change_kinds: str) -> Iterator[None]:
        """Guard a `with` block that sends changes of these kinds (JOINERS, …): a newer plan stops its writes.

        If the block fails and a newer plan exists, the ledger records that the changes of this block and of earlier
        ones are unsettled, and MirrorError replaces the error.
        """
        self._changes += change_kinds
        try:
            yield
        except ExportError as error:
            # There is no time left after a signal.
            if shutdown.is_requested():
                raise
            try:
                newer, _ = self.ledger.find_newer_plan()
                if newer:
                    self.ledger.record_changes_as_unsure(*self._changes)
            except ExportError as failure:
                error.advice = (
                    "If another run has made a newer plan since, the ledger lacks what this run has sent "
                    f"({failure}): set rebuild: true for one run"
                )
                raise error from None
            if not newer:
                raise
            sent = self.stats.sent + self.stats.in_doubt
            effect = (
                f"Partly sent: {format_count(sent, 'record')} of this plan. The ledger marks these people as "
                "unsettled, and the next run corrects them"
                if sent
                else "Nothing was sent of this plan"
            )
            raise MirrorError(
                f"plan {self.ledger.state.number} of audience {self.ledger.jobs.audience_id} was superseded: "
                f"another run has since made plan {newer}",
                sent=effect,
                subjects=[("audience", self.ledger.jobs.audience_id)],
            ) from None
