"""The action that mirrors a query into an audience. `mirroring` has the SQL."""

import contextlib
import hashlib
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from td_pinterest_op.audiences.actions.audience_action import Step, get_list_id
from td_pinterest_op.audiences.actions.members import MembersAction
from td_pinterest_op.audiences.list_name import parse_list_name
from td_pinterest_op.audiences.lookup import find_audiences_by_name, find_used_list
from td_pinterest_op.audiences.sender import MAX_HALVINGS
from td_pinterest_op.errors import (
    NOTHING_CHANGED,
    AudienceError,
    RecordsRefusedError,
    RequestRefusedError,
    add_to_errors,
)
from td_pinterest_op.mirroring.checks import (
    check_first_run,
    check_leave_ratio,
    check_ledger,
    warn_of_second_rebuild,
)
from td_pinterest_op.mirroring.ledger import JOINERS, LEAVERS, REPLACE_MODE, REPLACEMENT, Ledger
from td_pinterest_op.mirroring.mirror_jobs import MirrorJobs
from td_pinterest_op.mirroring.mirror_run import MirrorWarehouseSteps
from td_pinterest_op.mirroring.plan_guard import PlanGuard
from td_pinterest_op.pinterest.api import Audience
from td_pinterest_op.records.limits import check_export_limits
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.redaction.secret import escape_and_quote
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.treasure_data.job import JobOrQuery

log = logging.getLogger(__name__)

# Of a plan of which Pinterest accepts nothing yet, so many refused records are about the request. Fewer are each tried
# alone, and so the others are sent.
_REFUSALS_TO_BLAME_REQUEST = 64


class Mirror(MembersAction):
    """The action that makes an audience equal to a query's people.

    The ledger, a table in Treasure Data, records who is in the audience. A run's plan (who joins, who leaves) is
    written into it before anything is sent.
    """

    action = ActionSpec(
        name="mirror_current_audience",
        audience_id="audience_id",
        scopes=("rows", "people", "old audience", "new audience", "new list"),
        uses=("ledger", "begin", "rebuild", "max_leave_ratio", "resend_days"),
        drops_members=True,
        finds_by_name=True,
        needs_query=True,
        least_records=100,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._audience: Audience | None = None  # until it is found, or created by the first step
        source = cast("JobOrQuery", self.request.source)
        database, table = self._settings.ledger
        jobs = MirrorJobs(
            td=self.services.treasure_data,
            source=source,
            database=database or source.database,
            session_task_key=self._session_task_key,
        )
        self._ledger = Ledger(jobs=jobs, name=table, ad_account_id=self._settings.ad_account_id)
        self._run = MirrorWarehouseSteps(
            ledger=self._ledger, settings=self._settings, lists=self.request.lists, stats=self.stats
        )
        self._guard = PlanGuard(ledger=self._ledger, stats=self.stats, client=self._client)
        self._plan: Mapping[str, PreparedRecords] = {}
        # A refused record ends no sending: it is void, and the run fails once its plan is settled, if it must.
        self._sender.settings = replace(self._settings, ignore_invalid_records=True)
        self._refused: dict[str, list[bytes]] = {JOINERS: [], LEAVERS: []}  # digests, once they were sent

    def find_and_check_audience(self) -> None:
        """Find the audience that mirrors the query, and keep it for the steps. A first run may find none.

        Raises AudienceError if it cannot take records, or its name is ambiguous or contradicts the settings.
        """
        name = self._new_name
        if self._audience_id:
            self._audience = self._require_usable_audience()
        elif named := find_audiences_by_name(self._api, name):
            self._audience = self._require_only_namesake(named)
        if self._audience and name not in ("", self._audience.name):
            raise AudienceError(
                f"{self._audience.label} is not named {escape_and_quote(name)}: audience_id and audience_name must "
                "name the same audience",
                sent=NOTHING_CHANGED,
                subjects=[self._audience.subject],
            )

    @property
    def _existing_audience(self) -> Audience:
        assert self._audience is not None, "the first step has created it"  # noqa: S101
        return self._audience

    @contextlib.contextmanager
    def prepare_and_check_limits(self) -> Iterator[PreparedRecords]:
        """Compare the query's people with the ledger, and check the limits of the settings.

        Yields no records: the steps read them, once the plan is in the ledger.
        """
        audience = self._audience
        if audience:
            self._ledger.jobs.audience_id = audience.id
        with contextlib.closing(self._run):
            now = self.services.timing.now()
            tables = self._ledger.jobs.list_tables()
            self._ledger.jobs.drop_leftover_tables(tables, now=now)
            self._ledger.check_table(tables.get(self._ledger.name))
            if not self._settings.dry_run:
                self._ledger.create_if_missing()
            self._ledger.load_state(now=now)
            if audience:
                state = self._ledger.state
                check_ledger(self._ledger, self._settings, customer_list_id=get_list_id(audience))
                warn_of_second_rebuild(state, self._settings)
                check_first_run(state, self._settings, audience_size=self._count_possible_people(audience))
            self.people_query = self._run.describe_queries()
            digests_table = self._run.hash_and_withhold(self.people_query)
            self._run.compare_with_ledger(self.people_query, digests_table)
            self._run.count_changes()
            check_export_limits(self._settings, self.stats)
            check_leave_ratio(self._run.figures, self._settings, leavers=self._run.counts["leavers"])
            yield PreparedRecords()

    def _count_possible_people(self, audience: Audience) -> int | None:
        """Return how many people may be in the audience, None if that is unknown: the greater of Pinterest's counts.

        For some time, Pinterest's size of an audience is unknown or 0, whoever is in it.
        """
        used = find_used_list(self._api, audience)
        name = parse_list_name(used)
        dummies = name.dummy_record_count if name else None
        uploaded = used.uploaded if used else None  # dummies included
        if uploaded is None and dummies is None:
            return audience.size or None
        return max(max(audience.size or 0, uploaded or 0) - (dummies or 0), 0)

    def plan_steps(self, _prepared: PreparedRecords) -> list[Step]:
        """Return the steps that write the plan into the ledger, send it, and mark it as settled."""
        changes = self._run.figures
        audience = self._audience
        replaces = changes.mode == REPLACE_MODE
        people = format_count(changes.people, "person", "people")
        text = f"{changes.joined:,} joining, {changes.left:,} leaving, {changes.resent:,} resent"
        if replaces and audience:  # it may have members whom the ledger does not know
            text = f"all members replaced by {people}, {self._run.counts['leavers']:,} known members leaving"
        self._set_summary(f"mirror {{audience}}: {text}")
        compared = (
            f"plan by {changes.mode} in the ledger {self._settings.ledger.table}: {people}, "
            f"{changes.members:,} known members; {text}"
        )
        if self.stats.list_jobs and not replaces and self._ledger.state.may_have_unknown_people:
            compared += "; adopted people who are withheld remain in the audience: pinterest_erasure.dig removes them"
        if not replaces and not changes.to_send_count:
            return [Step(description=f"no change: {compared}", run=self._run.count_members_and_compact)]
        steps = []
        if not audience:
            creates = f"create audience {escape_and_quote(self._new_name)} without people"
            steps.append(Step(description=creates, request_count=2, run=self._create_empty_audience))
        steps.append(Step(description=compared, run=self._write_ledger_plan))
        label = audience.label if audience else "the audience"
        used = f"customer list {audience.customer_list_id}" if audience else "its empty list"
        added = changes.joined + changes.resent  # a replace sends nobody again
        added_batches = math.ceil(added / self._batch_size)
        # Leavers first: some may have opted out, and are gone even if the run fails while it adds.
        if changes.left:  # a replace removes nobody
            removes = f"remove {format_count(changes.left, 'record')} from {label} ({used})"
            left_batches = math.ceil(changes.left / self._batch_size)
            steps.append(Step(description=removes, batch_count=left_batches, run=self._remove_leavers))
        if replaces:
            records = format_count(added, "record")
            replacing = f"fill a new customer list with {records}, and switch {label} to it; {used} is orphaned"
            steps.append(
                Step(description=replacing, request_count=1, batch_count=added_batches, run=self._replace_members)
            )
        elif added:
            adds = f"add {format_count(added, 'record')} to {label} ({used})"
            steps.append(Step(description=adds, batch_count=added_batches, run=self._add_joiners))
        steps.append(Step(description="mark the plan as settled in the ledger", run=self._settle_sent_plan))
        return steps

    def _create_empty_audience(self) -> None:
        target, create_list = self._plan_filling_new_list(self._new_name, PreparedRecords())
        create_list.run()
        self._audience = self._create_audience_with_list(target)
        if get_list_id(self._audience) != target.id:  # another run of this session fills it
            raise self._build_conflict_error(self._audience)
        self._ledger.jobs.audience_id = self._audience.id

    def _write_ledger_plan(self) -> None:
        """Write the plan into the ledger. From then on, a newer run's plan stops this run."""
        self._run.write_plan(get_list_id(self._existing_audience))
        self._plan = self._run.read_plan()
        self._guard.trust_plan_as_newest()
        self.stats.mirror = replace(self._run.figures, plan=self._ledger.state.number)

    def _remove_leavers(self) -> None:
        self._send_changes(LEAVERS)

    def _add_joiners(self) -> None:
        self._send_changes(JOINERS)

    def _send_changes(self, kind: str) -> None:
        """Send the plan's changes of a `kind`: JOINERS or LEAVERS."""
        self._sender.refusals_to_blame_request = _REFUSALS_TO_BLAME_REQUEST
        with self._guard.fail_if_overtaken(kind):
            self._send_records(self._existing_audience, self._plan[kind], adds=kind == JOINERS)
        self._note_refused(kind)

    def _note_refused(self, kind: str) -> None:
        self._refused[kind] = [digest for record in self._sender.refused for _, digest in record.parts]
        self._sender.refused.clear()

    def _replace_members(self) -> None:
        # A retry goes on with an unused list of its session key. Each plan gets a key of its own, so that none goes on
        # with the list of another.
        key = f"{self._session_task_key} {self._ledger.state.number}"
        self._session_task_key = hashlib.sha256(key.encode()).hexdigest()[:8]
        with self._guard.fail_if_overtaken(REPLACEMENT):
            audience = self._require_usable_audience(self._existing_audience.id)
            for step in self._plan_replacement(audience, self._plan[JOINERS]):
                step.run()
        self._note_refused(JOINERS)
        self.stats.members = None  # known once the plan is settled

    def _settle_sent_plan(self) -> None:
        with self._guard.fail_if_overtaken():
            self._guard.require_newest_plan()
        with add_to_errors(
            sent="The whole plan was sent, but is not settled in the ledger: the next run sends it again"
        ):
            self._run.note_refused(joiners=self._refused[JOINERS], leavers=self._refused[LEAVERS])
            # The list that the audience uses now: after a replace, the new one.
            self._run.settle_plan(self.stats.customer_list_id or "")
        self._run.count_members_and_compact()
        self._fail_if_refused()

    def _fail_if_refused(self) -> None:
        """Raise an error about the records that Pinterest refused, if the run must not end well."""
        joiners = len(self._refused[JOINERS])
        leavers = len(self._refused[LEAVERS])
        refused = joiners + leavers
        if not refused:
            return
        audience = self._existing_audience
        if not self.stats.sent and refused >= 2**MAX_HALVINGS:
            raise RequestRefusedError(
                f"Pinterest refused all {refused:,} records of the plan for {audience.label} (400): the cause may be "
                "the request, not its records",
                sent="The plan is settled: the next run asks again",
                subjects=[audience.subject],
            )
        if self._settings.ignore_invalid_records:
            return
        changes = [
            f"to add {format_count(joiners, 'record')} to {audience.label}" if joiners else "",
            f"to remove {format_count(leavers, 'record')} from {audience.label}" if leavers else "",
        ]
        sent = format_count(self.stats.sent, "record")
        raise RecordsRefusedError(
            f"Pinterest refused {' and '.join(filter(None, changes))} (400)",
            sent=f"Everything else in the plan was sent ({sent}), and the plan is settled",
            advice="Set ignore_invalid_records: true to skip and count such records",
            subjects=[audience.subject],
        )
