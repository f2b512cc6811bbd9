"""Stop a plan while it is sent, once the ledger has a newer one."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from td_pinterest_op.errors import ExportError, LimitError
from td_pinterest_op.mirroring.ledger import Ledger
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.redaction.format import format_count
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.stats import Stats

# Seconds for which an answer of the ledger is trusted, unless a request has waited since.
_TRUSTED = 10.0


class PlanGuard:
    """Stops a mirror run from sending its plan once the ledger has a newer plan. To be created right after the plan."""

    def __init__(self, *, ledger: Ledger, stats: Stats, client: Client, clock: Callable[[], float]) -> None:
        self._ledger, self._stats, self._client, self._clock = ledger, stats, client, clock
        self._waits, self._trusted_until = client.rate_limiter.waits, clock() + _TRUSTED
        self._lock = threading.Lock()
        self._ops: list[str] = []
        self._newer: int | None = None
        self._wrote = False

    def require_newest(self) -> None:
        """Raise LimitError if the ledger has a newer plan than this run's."""
        waits, asked_at = self._client.rate_limiter.waits, self._clock()
        self._newer = self._ledger.find_newer_plan()
        if self._newer:
            raise LimitError(f"plan {self._newer} is newer")
        self._waits, self._trusted_until = waits, asked_at + _TRUSTED

    @contextlib.contextmanager
    def watch(self, *ops: str) -> Iterator[None]:
        """Check before each write to Pinterest in the `with` block that this run's plan is still the newest.

        `ops`: of the plan's ledger rows that the block sends. If the block fails and there is a newer plan, raises
        LimitError in place of the error, after the ledger got what may have been sent as unsettled.
        """
        self._ops += ops
        try:
            with self._client.check_writes(self._check_before_write):
                yield
        except ExportError as error:
            # There is no time left after a signal.
            if not shutdown.is_requested():
                self._raise_if_superseded(error)
            raise

    def _check_before_write(self) -> None:
        """Require before a write that the plan is the newest, unless the ledger was asked a few seconds ago."""
        with self._lock:
            if self._client.rate_limiter.waits != self._waits or self._clock() > self._trusted_until:
                self.require_newest()
            self._wrote = True

    def _raise_if_superseded(self, error: ExportError) -> None:
        try:
            if self._wrote and (newer := self._ledger.find_newer_plan()):
                self._newer = newer
                for op in self._ops:
                    self._ledger.record_overtaken(op)
        except ExportError as failure:
            error.extend(
                f". If another run has made a newer plan since, the ledger lacks what this run has sent ({failure}): "
                "set rebuild: true for one run"
            )
            return
        if self._newer:
            sent = self._stats.sent + self._stats.in_doubt
            outcome = (
                f"{format_count(sent, 'record')} of this plan had already been sent: the ledger marks these people as "
                "unsettled, and the next run corrects them"
                if sent
                else "Nothing of this plan was sent"
            )
            raise LimitError(
                f"plan {self._ledger.state.number} of audience {self._ledger.audience_id} was superseded: another run "
                f"has since made plan {self._newer}. {outcome}"
            ) from None
