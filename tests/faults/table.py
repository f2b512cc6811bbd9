"""The rows of the fault matrix: each fault, and how a run with it must end."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from td_pinterest_op.audiences.actions import Create, Replace
from td_pinterest_op.errors import (
    AccountError,
    ExportError,
    PinterestError,
    RecordsRefusedError,
    RequestRefusedError,
    UnavailableError,
)
from td_pinterest_op.settings.table import ActionSpec
from tests.emulators.pinterest import Answer, Effect, Mangle, Redirect, Reset, Stall, When
from tests.faults.moments import ALL, BATCH, CREATING, WRITES, Moment


class Often(enum.Enum):
    """How many requests of a step get the fault. THIRD applies to all requests of the run."""

    ONCE = "once"
    THIRD = "every third"
    ALWAYS = "always"


ONCE, THIRD, ALWAYS = Often

Outcome = type[ExportError] | None
SUCCESS: Outcome = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault. `ends` has the outcome by how often it occurs; a missing frequency makes no cell.

    `effect` happens at `when`; None: one record of the batch is rejected instead. `at` are the steps that
    it applies to, `ends_at` and `ends_for` those with another outcome. `settings` extend those of the run.
    `slow` faults take real time, so only one action has them at each step.
    """

    fault: str
    effect: Effect | None
    when: When = When.BEFORE
    ends: Mapping[Often, Outcome]
    ends_at: Mapping[tuple[Often, Moment], Outcome] = field(default_factory=dict)
    ends_for: Mapping[tuple[ActionSpec, Moment], Outcome] = field(default_factory=dict)
    at: tuple[Moment, ...] = ALL
    settings: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False

    @property
    def takes_effect(self) -> bool:
        """Return whether the request with the fault takes effect."""
        return self.when is When.AFTER or self.effect is None

    def end(self, often: Often, action: ActionSpec, moment: Moment) -> Outcome:
        return self.ends_for.get((action, moment), self.ends_at.get((often, moment), self.ends[often]))


# Repeated until it succeeds, or the retries (for a 429: the longest wait) are used up.
RETRIED = {ONCE: SUCCESS, THIRD: SUCCESS, ALWAYS: UnavailableError}
# What was created is found, although its response was lost.
FOUND: dict[tuple[Often, Moment], Outcome] = {(ALWAYS, moment): SUCCESS for moment in CREATING}
# Repeated once with a new access token. A failing token request gives none.
RENEWED = {ONCE: SUCCESS, ALWAYS: AccountError}
NO_TOKEN: dict[tuple[Often, Moment], Outcome] = {(ONCE, Moment.TOKEN): AccountError}
# A batch is halved; any other request ends the run.
HALVED = {ONCE: SUCCESS, ALWAYS: RequestRefusedError}
NOT_HALVED: dict[tuple[Often, Moment], Outcome] = {
    (ONCE, moment): RequestRefusedError for moment in ALL if moment not in (*BATCH, Moment.LIST_CREATION)
}
# A list that was created a moment ago may not be found yet.
NEW_LIST: dict[tuple[ActionSpec, Moment], Outcome] = {
    (action, moment): SUCCESS
    for action in (Create.action, Replace.action)
    for moment in (Moment.MIDDLE_BATCH, Moment.LAST_BATCH)
}
REFUSED_TOKEN: dict[tuple[Often, Moment], Outcome] = {(often, Moment.TOKEN): AccountError for often in Often}
WITH_ID = (*WRITES, Moment.READ_BACK)
AFTER = When.AFTER
ANOTHER_HOST = "http://localhost:9/elsewhere"


def rows() -> tuple[Row, ...]:
    """The table."""
    row = Row
    # fmt: off
    return (
        row(fault="nothing", effect=None, ends={THIRD: SUCCESS}),

        row(fault="429, Retry-After in seconds", effect=Answer(status=429, retry_after=7), ends=RETRIED),
        row(fault="429, Retry-After as a date", effect=Answer(status=429, retry_after=7, retry_after_is_date=True),
            ends=RETRIED),
        row(fault="429 without Retry-After", effect=Answer(status=429), ends=RETRIED),
        row(fault="429 for an hour", effect=Answer(status=429, retry_after=3600), ends={ONCE: UnavailableError}),
        row(fault="500", effect=Answer(status=500), ends=RETRIED),
        row(fault="500 after applying", effect=Answer(status=500), when=AFTER, ends=RETRIED, ends_at=FOUND, at=WRITES),
        row(fault="502", effect=Answer(status=502), ends=RETRIED, at=CREATING),
        row(fault="503, Retry-After", effect=Answer(status=503, retry_after=5), ends=RETRIED),
        row(fault="reset", effect=Reset(), ends=RETRIED),
        row(fault="reset after applying", effect=Reset(), when=AFTER, ends=RETRIED, ends_at=FOUND, at=WRITES),
        row(fault="answer cut off", effect=Mangle(how="truncated"), when=AFTER, ends=RETRIED, ends_at=FOUND),
        row(fault="no answer", effect=Stall(), when=AFTER, ends={ONCE: SUCCESS}, slow=True,
            at=(*CREATING, Moment.MIDDLE_BATCH, Moment.MOVE), settings={"read_timeout_secs": 1}),

        row(fault="answer is not JSON", effect=Mangle(how="not_json"), when=AFTER, ends={ONCE: PinterestError}),
        row(fault="answer without id", effect=Mangle(how="no_id"), when=AFTER, ends={ONCE: PinterestError},
            at=WITH_ID),
        row(fault="2xx with an error", effect=Mangle(how="error_body"), when=AFTER, ends={ONCE: PinterestError}),
        row(fault="exceptions", effect=Mangle(how="exceptions"), when=AFTER, ends={ONCE: PinterestError}, at=WITH_ID,
            ends_at={(ONCE, Moment.READ_BACK): SUCCESS}),
        row(fault="redirect to another host", effect=Redirect(location=ANOTHER_HOST), ends={ONCE: PinterestError}),

        row(fault="401, token expired", effect=Answer(status=401), ends=RENEWED, ends_at=NO_TOKEN),
        row(fault="401, scope", effect=Answer(status=401, code=3), ends={ONCE: AccountError}),
        row(fault="403", effect=Answer(status=403), ends={ONCE: AccountError}),
        row(fault="404", effect=Answer(status=404), ends={ONCE: RequestRefusedError}, at=BATCH,
            ends_for=NEW_LIST),
        row(fault="413", effect=Answer(status=413), ends=HALVED, at=BATCH),
        row(fault="400", effect=Answer(status=400), ends=HALVED, ends_at=NOT_HALVED | REFUSED_TOKEN),
        row(fault="one poisoned record, stop mode", effect=None, ends={ONCE: RecordsRefusedError}, at=BATCH),
        row(fault="one poisoned record, skip mode", effect=None, ends={ONCE: SUCCESS}, at=BATCH,
            settings={"ignore_invalid_records": True}),

        row(fault="409", effect=Answer(status=409), ends=RETRIED, at=(*CREATING, Moment.MIDDLE_BATCH)),
        row(fault="423", effect=Answer(status=423), ends=RETRIED, at=(*CREATING, Moment.MIDDLE_BATCH)),
    )
    # fmt: on
