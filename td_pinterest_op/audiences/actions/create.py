"""Create an audience with its own customer list."""

from functools import cached_property, partial

from td_pinterest_op.audiences.actions.audience_action import Step, describe_name_conflict
from td_pinterest_op.audiences.actions.change import Change
from td_pinterest_op.audiences.actions.refill import SwapList
from td_pinterest_op.audiences.audiences import NewAudience
from td_pinterest_op.audiences.customer_lists import ListToFill
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.models import Audience
from td_pinterest_op.records.read import PreparedRecords
from td_pinterest_op.redaction.format import escape
from td_pinterest_op.report.verdict import ON_THEIR_WAY
from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.settings.table import IfExists
from td_pinterest_op.stats import SummaryText


class Create(SwapList, Change):
    """Create an audience. If another session has created one with the same name, `if_exists` decides."""

    action = ActionSpec(
        name="create_new_audience",
        scopes=frozenset({Scope.ROWS, Scope.PEOPLE, Scope.NEW_AUDIENCE, Scope.NEW_LIST}),
        needs=frozenset({"audience_name"}),
        uses=frozenset({"if_exists"}),
        only_once=True,
    )
    report_text = ON_THEIR_WAY

    @cached_property
    def _new_audience(self) -> NewAudience:
        """The audience to create, or to resume."""
        return NewAudience(
            self._new_name,
            audiences=self._audiences,
            is_own=self._lists.is_of_this_session,
            conflict=self._describe_conflict,
        )

    def check(self) -> tuple[Audience | None, Audience | None]:
        """Return another session's audience with the new name, and the one of this session. Either may be None."""
        self._stats.audience_name = self._new_name
        others, own = self._new_audience.find()
        if own or not others:
            return None, own
        if_exists = self._settings.if_exists
        if if_exists is IfExists.FAIL:
            raise AudienceError(describe_name_conflict(others[0]))
        if len(others) > 1:
            ids = ", ".join(audience.id for audience in others)
            raise AudienceError(
                f'several audiences are named "{self._new_name}" (ids {ids}): with if_exists: {if_exists.value} '
                "there must be only one. Use another action, with the id of the audience that you mean"
            )
        return self._find_usable(others[0].id), None

    def steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the steps that create the audience with a list, resume an earlier try, or change an existing one."""
        existing, own = self.check()
        if existing and self._settings.if_exists is IfExists.ADD:
            return self._change_steps(existing, prepared, adds=True)
        if existing:
            return self._fill_and_switch(existing, prepared)
        people = "with {records}" if prepared.unique_count else "without people"
        text = SummaryText(past=f"Created {{audience}} {people}", infinitive=f"create {{audience}} {people}")
        if own:
            is_exact = self._settings.if_exists is IfExists.REPLACE
            steps = self._fill_and_switch(own, prepared, is_exact=is_exact)
        else:
            target, fill = self._plan_filled_list(self._new_name, prepared)
            description = f'create audience "{self._new_name}" from it'
            steps = [fill, Step(description=description, request_count=1, run=lambda: self._create_audience(target))]
        self._stats.summary_text = text
        return steps

    def _create_audience(self, target: ListToFill) -> None:
        """Create the audience with the filled list, or switch the one that this session created to it."""
        with self._explain_failure_after_upload(target):
            self._new_audience.wait_for_consistency()
            existing, own = self.check()  # it may have been created while the records were sent
            if existing:
                raise AudienceError(self._describe_conflict(existing))
            if own:
                self._switch_list(own, target)
                return
            kept = self._new_audience.create(partial(self._create_audience_with_list, target))
            self._put_into_stats(kept)
            if kept.customer_list_id != target.id:  # an earlier try made it, on a list of its own
                self._audiences.switch_list(kept.id, list_id=target.id)
            self._put_into_stats(self._audiences.confirm_list(kept.id, list_id=target.id))
            self._new_audience.remove_late_duplicates()

    def _resolve_duplicates(self, audience: Audience) -> Audience:
        """Return the audience to keep, if this session created several."""
        return self._new_audience.resume(audience) if self._lists.is_of_this_session(audience) else audience

    def _describe_conflict(self, audience: Audience) -> str:
        """Return the error message for another session's audience with the new name."""
        if self._settings.if_exists is IfExists.FAIL:
            return describe_name_conflict(audience)
        return (
            f'an audience named "{escape(audience.name)}" already exists (id {audience.id}): it was created while '
            f"this task ran. Run this task again: if_exists: {self._settings.if_exists.value} then applies to it"
        )
