"""Create an audience with its own customer list."""

from __future__ import annotations

from functools import cached_property, partial

from td_pinterest_op.audiences.actions.audience_action import Step, name_conflict
from td_pinterest_op.audiences.actions.change import Change
from td_pinterest_op.audiences.actions.refill import SwapList
from td_pinterest_op.audiences.audiences import NewAudience
from td_pinterest_op.audiences.customer_lists import ListToFill
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.models import Audience
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.redaction.format import escape
from td_pinterest_op.report.verdict import ON_THEIR_WAY
from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.settings.table import IfExists
from td_pinterest_op.stats import SummaryText


class Create(SwapList, Change):
    """Create an audience. If another session has created one of that name, `if_exists` decides."""

    action = ActionSpec(
        name="create_new_audience",
        scopes=frozenset({Scope.ROWS, Scope.PEOPLE, Scope.NEW_AUDIENCE, Scope.NEW_LIST}),
        needs=frozenset({"audience_name"}),
        uses=frozenset({"if_exists"}),
        only_once=True,
    )
    report_text = ON_THEIR_WAY

    @cached_property
    def _new(self) -> NewAudience:
        return NewAudience(
            self._new_name,
            audiences=self._audiences,
            is_own=self._lists.is_of_this_session,
            conflict=self._conflict_text,
        )

    def check(self) -> tuple[Audience | None, Audience | None]:
        """Return the audience of another session with the new name, and the one that this session has created."""
        self._stats.audience_name = self._new_name
        others, own = self._new.find()
        if own or not others:
            return None, own
        if_exists = self._settings.if_exists
        if if_exists is IfExists.FAIL:
            raise AudienceError(name_conflict(others[0]))
        if len(others) > 1:
            ids = ", ".join(audience.id for audience in others)
            raise AudienceError(
                f'several audiences are named "{self._new_name}" (ids {ids}): with if_exists: {if_exists.value} '
                "there must be only one. Use another action, with the id of the audience that you mean"
            )
        return self._find_usable(others[0].id), None

    def steps(self, prepared: Prepared) -> list[Step]:
        """Fill a list and create the audience, resume what this session began, or change an existing audience."""
        existing, own = self.check()
        if existing and self._settings.if_exists is IfExists.ADD:
            return self._change(existing, prepared, adds=True)
        if existing:
            return self._fill_and_switch(existing, prepared)
        people = "with {records}" if prepared.unique else "without people"
        text = SummaryText(past=f"Created {{audience}} {people}", infinitive=f"create {{audience}} {people}")
        if own:
            is_exact = self._settings.if_exists is IfExists.REPLACE
            steps = self._fill_and_switch(own, prepared, is_exact=is_exact)
        else:
            target, fill = self._fill(self._new_name, prepared)
            description = f'create audience "{self._new_name}" from it'
            steps = [fill, Step(description=description, request_count=1, run=lambda: self._create_audience(target))]
        self._stats.summary_text = text
        return steps

    def _create_audience(self, target: ListToFill) -> None:
        with self._explain_failure_after_upload(target):
            self._new.wait_for_consistency()
            existing, own = self.check()  # it may have been created while the records were sent
            if existing:
                raise AudienceError(self._conflict_text(existing))
            if own:
                self._switch_list(own, target)
                return
            kept = self._new.create(partial(self._create_with, target))
            self._note(kept)
            if kept.customer_list_id != target.id:  # an earlier try made it, on a list of its own
                self._audiences.switch_list(kept.id, list_id=target.id)
            self._note(self._audiences.confirm_list(kept.id, list_id=target.id))
            self._new.remove_late_duplicates()

    def _resume(self, audience: Audience) -> Audience:
        return self._new.resume(audience) if self._lists.is_of_this_session(audience) else audience

    def _conflict_text(self, audience: Audience) -> str:
        if self._settings.if_exists is IfExists.FAIL:
            return name_conflict(audience)
        return (
            f'an audience named "{escape(audience.name)}" already exists (id {audience.id}): it was created while '
            f"this task ran. Run this task again: if_exists: {self._settings.if_exists.value} then applies to it"
        )
