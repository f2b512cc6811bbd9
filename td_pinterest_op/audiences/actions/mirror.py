"""Mirror a query into an audience: send only people who join or leave. `mirroring` has the SQL."""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from td_pinterest_op.audiences.actions.audience_action import ReadRecords, Step, list_id_of
from td_pinterest_op.audiences.actions.change import Change
from td_pinterest_op.audiences.actions.refill import SwapList
from td_pinterest_op.audiences.audiences import NewAudience
from td_pinterest_op.audiences.customer_lists import find_list
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.mirroring.guard import PlanGuard
from td_pinterest_op.mirroring.ledger import JOIN, LEAVE, REPLACING, Ledger
from td_pinterest_op.mirroring.plan import REPLACE, check_leavers, check_state
from td_pinterest_op.mirroring.run import MirrorRun
from td_pinterest_op.mirroring.stage import NEW, Stage
from td_pinterest_op.pinterest.models import Audience
from td_pinterest_op.records.columns import choose_list_type
from td_pinterest_op.records.plan import check_rows
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.redaction.format import format_count
from td_pinterest_op.report.verdict import ON_THEIR_WAY
from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.stats import MirrorFigures, SummaryText
from td_pinterest_op.treasure_data.job import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlannedChanges(Prepared):
    """The numbers of a plan's changes. Their records are read later, once the plan is in the ledger."""

    changes: MirrorFigures

    def count_batches(self, size: int) -> int:
        """Return how many requests of up to `size` records the changes take."""
        return math.ceil(self.changes.left / size) + math.ceil((self.changes.joined + self.changes.resent) / size)


class Mirror(SwapList, Change):
    """Mirror a query into an audience: send only the people who join or leave."""

    action = ActionSpec(
        name="mirror_current_audience",
        audience_id="audience_id",
        scopes=frozenset({Scope.ROWS, Scope.PEOPLE, Scope.OLD_AUDIENCE, Scope.NEW_AUDIENCE, Scope.NEW_LIST}),
        uses=frozenset({"ledger", "begin", "rebuild", "max_leave_ratio", "resend_days"}),
        drops_members=True,
        finds_by_name=True,
        needs_query=True,
        least_records=100,
    )
    report_text = replace(ON_THEIR_WAY, headline="{sent} changes are on their way to Pinterest")

    _audience: Audience | None = None
    _mirror: MirrorRun
    _guard: PlanGuard
    _plan: Mapping[str, Prepared]

    def check(self) -> Audience | None:
        """Return the audience that mirrors the query, None if it has to be created."""
        self._audience = self._find_usable() if self._audience_id else self._find_audience_by_name()
        if self._audience and self._settings.audience_name not in (None, self._audience.name):
            raise AudienceError(
                f'{self._audience.label} is not "{self._new_name}": audience_id and audience_name must name the same '
                "audience. Nothing was changed"
            )
        return self._audience

    def _find_audience_by_name(self) -> Audience | None:
        """Return the audience with the name in the settings, None without one. Raises AudienceError for several."""
        self._stats.audience_name = self._new_name
        named = self._audiences.find_by_name(self._new_name)
        if len(named) > 1:
            ids = ", ".join(audience.id for audience in named)
            raise AudienceError(
                f'several audiences are named "{self._new_name}" (ids {ids}): set audience_id to the one that you mean'
            )
        return self._find_usable(named[0].id) if named else None

    @property
    def _existing_audience(self) -> Audience:
        """The audience that mirrors the query, after it was found or created."""
        assert self._audience is not None, "the first step has created it"  # noqa: S101
        return self._audience

    @contextlib.contextmanager
    def prepare(self, _read_records: ReadRecords) -> Iterator[Prepared]:
        """Compare the query's people with the ledger, check the limits, and yield the numbers of changes."""
        with contextlib.closing(self._open_mirror_run()) as run:
            self._mirror = run
            run.read_state(now=self._services.timing.wall())
            if self._audience:
                used = find_list(self._api, self._audience)
                people = self._audience.size or (used and used.uploaded) or 0
                list_id = list_id_of(self._audience)
                check_state(run.state, self._settings, customer_list_id=list_id, people=people)
            run.compare_with_ledger()
            check_rows(self._settings, self._stats)
            check_leavers(run.figures, run.state, self._settings)
            changes = self._stats.mirror or MirrorFigures()
            yield _PlannedChanges(
                unique_count=changes.change_count, list_type=choose_list_type(run.columns), spool=None, changes=changes
            )

    def _open_mirror_run(self) -> MirrorRun:
        source = cast("Source", self._request.source)
        database, table = self._settings.ledger
        stage = Stage(
            td=self._services.treasure_data,
            source=source,
            database=database or source.database,
            name=self._audience.id if self._audience else NEW,
            session_key=self._session_key,
        )
        ledger = Ledger(name=table, database=stage.database, audience_id=stage.name, session=stage.token)
        return MirrorRun(
            stage=stage, ledger=ledger, settings=self._settings, lists=self._request.lists, stats=self._stats
        )

    def steps(self, prepared: Prepared) -> list[Step]:
        """Return the steps that write the plan into the ledger, send its changes, and mark it as settled."""
        assert isinstance(prepared, _PlannedChanges), "prepare has made it"  # noqa: S101
        changes = prepared.changes
        planned = _describe_changes(changes, "join", "leave", "are sent again")
        self._stats.summary_text = SummaryText(
            past=f"Mirrored {{audience}}: {_describe_changes(changes, 'joined', 'left', 'sent again')}",
            infinitive=f"mirror {{audience}}: {planned}",
        )
        compared = (
            f"plan by {changes.mode} in the ledger {self._settings.ledger.table}: {changes.people:,} people, "
            f"{changes.members:,} members; {planned}"
        )
        if changes.mode != REPLACE and not changes.change_count:
            return [Step(description=f"none: {compared}", run=self._compact_ledger)]
        create = Step(
            description=f'create audience "{self._new_name}" without people', request_count=2, run=self._create_audience
        )
        return [
            *([] if self._audience else [create]),
            Step(description=compared, run=self._write_ledger_plan),
            *self._send_steps(changes),
            Step(description="mark the plan as settled in the ledger", run=self._settle_plan),
        ]

    def _send_steps(self, changes: MirrorFigures) -> list[Step]:
        """Return the step that fills a new list and switches to it, or those that remove and add people."""
        if changes.mode == REPLACE:
            label = self._audience.label if self._audience else "the audience"
            people = format_count(changes.joined, "record")
            description = f"fill a new customer list with {people}, and switch {label} to it"
            return [Step(description=description, request_count=1, run=self._replace_members)]
        of = f"{self._existing_audience.label} (customer list {self._existing_audience.customer_list_id})"
        counts = (("remove", "from", LEAVE, changes.left), ("add", "to", JOIN, changes.joined + changes.resent))
        return [
            Step(description=f"{verb} {format_count(count, 'record')} {to} {of}", run=partial(self._send_changes, op))
            for verb, to, op, count in counts
            if count
        ]

    def _create_audience(self) -> None:
        new = NewAudience(
            self._new_name,
            audiences=self._audiences,
            is_own=self._lists.is_of_this_session,
            conflict=lambda audience: f"{audience.label} was created while this task ran: run this task again",
        )
        target, fill = self._plan_empty_list(self._new_name, used=None)
        fill.run()
        new.wait_for_consistency()
        kept = new.create(partial(self._create_audience_with_list, target))
        self._audience = self._audiences.confirm_list(kept.id, list_id=list_id_of(kept))
        self._put_into_stats(self._audience)
        new.remove_late_duplicates()
        self._mirror.ledger = replace(self._mirror.ledger, audience_id=kept.id)

    def _write_ledger_plan(self) -> None:
        """Write the plan into the ledger, and create the guard that stops it once there is a newer plan."""
        run = self._mirror
        self._plan = run.write_plan(list_id_of(self._existing_audience))
        self._guard = PlanGuard(run=run, client=self._services.client, clock=self._services.timing.monotonic)
        run.stage.outcome = ""
        if self._stats.mirror:
            self._stats.mirror = replace(self._stats.mirror, plan=run.state.number)

    def _send_changes(self, op: str) -> None:
        """Send the plan's changes of one kind. `op`: JOIN or LEAVE."""
        with self._guard.watch(op):
            self._send_change(self._existing_audience, self._plan[op], adds=op == JOIN)

    def _replace_members(self) -> None:
        """Fill a new list with the people of the plan, and switch the audience to it."""
        audience = self._existing_audience
        # Each plan is a session of its own, which does not take the lists of other plans of the task's session.
        key = hashlib.sha256(f"{self._session_key} {self._mirror.state.number}".encode()).hexdigest()[:8]
        self._lists = self._build_customer_lists(key, audience.id, audience.name)
        text = self._stats.summary_text
        with self._guard.watch(REPLACING):
            for step in self._fill_and_switch(self._find_usable(audience.id), self._plan[JOIN]):
                step.run()
        self._stats.summary_text = text

    def _settle_plan(self) -> None:
        """Mark the plan as settled if it is still the newest, and compact the ledger."""
        with self._guard.watch():
            self._guard.require_newest()
        self._mirror.stage.outcome = (
            ". The whole plan was sent, but is not yet settled in the ledger: the next run sends it again"
        )
        self._mirror.settle_plan(self._stats.customer_list_id or "")
        self._compact_ledger()

    def _compact_ledger(self) -> None:
        """Put the number of members into the statistics, and compact the ledger. Every plan must be settled."""
        self._stats.members = None if self._mirror.state.is_adopted else self._mirror.figures.people
        self._mirror.stage.outcome = ""
        self._mirror.compact_ledger()


def _describe_changes(changes: MirrorFigures, join: str, leave: str, resend: str) -> str:
    """Return the numbers of changes as text, with these verbs."""
    again = f", {changes.resent:,} {resend}" if changes.resent else ""
    return f"{changes.joined:,} {join}, {changes.left:,} {leave}{again}" if changes.change_count else "no changes"
