"""Stop a plan that is no longer the newest of its ledger while it is sent."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from td_pinterest_op.errors import ExportError, LimitError
from td_pinterest_op.mirroring.ledger import Ledger
from td_pinterest_op.mirroring.stage import Stage
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.redaction.format import format_count
from td_pinterest_op.runtime import shutdown

# Seconds for which an answer of the ledger is trusted, unless a request has waited since.
_TRUSTED = 10.0


@dataclass(kw_only=True)
class PlanGuard:
    """Stops the writes of a plan once the ledger has a newer one. `sent`: returns how many records may be in."""

    stage: Stage
    ledger: Ledger
    plan: int
    client: Client
    clock: Callable[[], float]
    sent: Callable[[], int]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _trusted_until: float = -math.inf
    _waits: int = 0
    _ops: list[str] = field(default_factory=list)
    _newer: int | None = None
    _wrote: bool = False

    def trust(self) -> None:
        """Trust for some seconds that the plan is the newest, since it has just been written."""
        self._waits, self._trusted_until = self.client.rate_limiter.waits, self.clock() + _TRUSTED

    def check(self) -> None:
        """Raise LimitError if a newer plan is in the ledger."""
        waited, asked_at = self.client.rate_limiter.waits, self.clock()
        if (newest := self._read_newest_plan()) != self.plan:
            self._newer = newest
            raise LimitError(f"plan {newest} is newer")
        self._waits, self._trusted_until = waited, asked_at + _TRUSTED

    @contextlib.contextmanager
    def watch(self, *ops: str) -> Iterator[None]:
        """Check the plan before each write of the block, which sends the plan's rows of these `ops`.

        If the block fails and there is a newer plan, the ledger gets whatever may have been sent as unsettled. Raises
        LimitError in place of the error then.
        """
        self._ops += ops
        try:
            with self.client.check_writes(self._check_before_write):
                yield
        except ExportError as error:
            # There is no time left after a signal.
            if not shutdown.is_requested() and self._record_newer_plan(error):
                raise LimitError(self._overtaken_text()) from None
            raise

    def _check_before_write(self) -> None:
        """Check the plan again if the last answer of the ledger is too old."""
        with self._lock:
            if self.client.rate_limiter.waits != self._waits or self.clock() > self._trusted_until:
                self.check()
            self._wrote = True

    def _record_newer_plan(self, error: ExportError) -> bool:
        """Return whether there is a newer plan. If so, write into the ledger what this one may have sent."""
        try:
            if self._wrote:
                self._newer = newest if (newest := self._read_newest_plan()) != self.plan else None
            for op in self._ops if self._newer and self._wrote else ():
                self.stage.run("note what was sent during a newer plan", self.ledger.overtaken_statement(self.plan, op))
        except ExportError as failure:
            error.extend(
                f". If another run has made a newer plan since, the ledger lacks what this run has sent ({failure}): "
                "set rebuild: true for one run"
            )
            return False
        return self._newer is not None

    def _overtaken_text(self) -> str:
        """Return the message for a plan that a newer one has overtaken."""
        sent = self.sent()
        outcome = (
            f"{format_count(sent, 'record')} of this plan had already been sent: the ledger marks these people as "
            "unsettled, and the next run corrects them"
            if sent
            else "Nothing of it was sent"
        )
        return (
            f"plan {self.plan} of audience {self.ledger.audience_id} was superseded: another run has since made plan "
            f"{self._newer}. {outcome}"
        )

    def _read_newest_plan(self) -> int:
        """Return the number of the newest plan in the ledger."""
        (row,) = self.stage.read_records("read the newest plan", self.ledger.newest_query(self.plan))
        return int(row["newest"])
