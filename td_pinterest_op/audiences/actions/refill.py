"""Switch an audience to a new customer list: one with other people, or an empty one."""

import contextlib
from collections.abc import Iterator

from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step, list_id_of
from td_pinterest_op.audiences.customer_lists import ListToFill, find_list, job_id_of
from td_pinterest_op.errors import AudienceError, ExportError
from td_pinterest_op.pinterest.models import Audience
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.redaction.format import escape
from td_pinterest_op.report.verdict import ON_THEIR_WAY, ReportText
from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.stats import SummaryText


class SwapList(AudienceAction):
    """Fills a new list, or leaves it empty, and only then switches the audience to it."""

    def _fill_and_switch(self, audience: Audience, prepared: Prepared, *, is_exact: bool = True) -> list[Step]:
        """Return the steps that fill a list and switch the audience to it. `is_exact`: nobody else may be in it."""
        if not prepared.unique_count:
            return self._empty_and_switch(audience, is_empty=self._lists.is_empty(audience))
        self._stats.summary_text = SummaryText(
            past="Replaced the members of {audience} with {records}",
            infinitive="replace the members of {audience} with {records}",
        )
        self._require_newer_job(audience)
        target, fill = self._plan_filled_list(audience.name, prepared, used=list_id_of(audience), is_exact=is_exact)
        return [fill, *self._switch_steps(audience, target)]

    def _empty_and_switch(self, audience: Audience, *, is_empty: bool) -> list[Step]:
        """Return the steps that switch the audience to an empty list, unless it `is_empty` already."""
        if is_empty:
            self._stats.summary_text = SummaryText(
                past="{audience} was empty already", infinitive="leave {audience} unchanged, since it is empty already"
            )
            description = f"no change: {audience.label} is already empty"
            return [Step(description=description, run=lambda: self._put_into_stats(self._resolve_duplicates(audience)))]
        self._stats.summary_text = SummaryText(past="Cleared {audience}", infinitive="clear {audience}")
        target, create = self._plan_empty_list(audience.name, used=list_id_of(audience))
        return [create, *self._switch_steps(audience, target)]

    def _plan_filled_list(
        self, audience_name: str, prepared: Prepared, *, used: str | None = None, is_exact: bool = True
    ) -> tuple[ListToFill, Step]:
        """Return the list for the records, and the step that fills it. The first batch creates the list.

        `used`: the list that the audience uses, None without an audience.
        """
        if not prepared.unique_count:
            return self._plan_empty_list(audience_name, used=used)
        target = self._lists.find_or_name_list(
            audience_name,
            job_id=self._stats.job_id,
            fingerprint=prepared.fingerprint,
            list_type=prepared.list_type,
            used=used,
            records=prepared.upload_count,
            is_exact=is_exact,
        )

        def send_records() -> None:
            self._sender.send(prepared, target.put)
            self._stats.customer_list_id = target.id

        return target, Step(description=_describe_list(target), run=send_records)

    def _plan_empty_list(self, audience_name: str, *, used: str | None) -> tuple[ListToFill, Step]:
        """Return an empty list, and the step that creates it. `used`: the list that the audience uses."""
        target = self._lists.find_or_name_empty_list(audience_name, used=used)
        return target, Step(
            description=_describe_list(target), request_count=0 if target.id else 1, run=target.create_empty
        )

    def _create_audience_with_list(self, target: ListToFill) -> Audience:
        """Create the audience that the settings describe, with `target` as its customer list."""
        description = self._settings.audience_description
        return self._audiences.create(self._new_name, description=description, list_id=target.id)

    def _switch_steps(self, audience: Audience, target: ListToFill) -> list[Step]:
        """Return the step that switches the audience to a list, unless it uses that list already."""
        used = list_id_of(audience)
        if target.id == used:
            description = f"no change: {audience.label} already uses this list"
            return [Step(description=description, run=lambda: self._switch_list(audience, target))]
        description = f"switch {audience.label} to it; customer list {used} is orphaned"
        return [Step(description=description, request_count=1, run=lambda: self._switch_list(audience, target))]

    def _switch_list(self, audience: Audience, target: ListToFill) -> None:
        """Switch the audience to a list, unless it uses that list already, and check that it does."""
        with self._explain_failure_after_upload(target):
            # Somebody else may have switched it since.
            now = self._audiences.find_usable(self._resolve_duplicates(audience).id)
            used = list_id_of(now)
            self._put_into_stats(now)
            if used != target.id:
                self._require_newer_job(now)
                self._audiences.switch_list(now.id, list_id=target.id)
                self._put_into_stats(self._audiences.confirm_list(now.id, list_id=target.id))
                self._stats.previous_customer_list_id = used

    def _resolve_duplicates(self, audience: Audience) -> Audience:
        """Return the audience itself. `Create` overrides this to remove duplicates of its session."""
        return audience

    def _require_newer_job(self, audience: Audience) -> None:
        """Raise AudienceError if the audience's list holds the people of a newer job."""
        own, other = self._stats.job_id, job_id_of(find_list(self._api, audience))
        if own and other and other > int(own) and not self._settings.replace_newer:
            raise AudienceError(
                f"{audience.label} contains the result of job {other}, which is newer than job {own} of this task. The "
                "newer result was kept. To replace it anyway, or if the job ids come from two accounts or regions of "
                "Treasure Data, set replace_newer: true"
            )

    @contextlib.contextmanager
    def _explain_failure_after_upload(self, target: ListToFill) -> Iterator[None]:
        """Add to the errors of the block that all records are already in a customer list."""
        all_in = f"All {self._stats.sent} records are in customer list {target.id}"
        try:
            yield
            self._stats.members = None if target.is_shared else self._stats.sent
        except AudienceError as error:
            # Running again would end here again.
            raise error.extend(f". {all_in}, but the audience does not use that list") from None
        except ExportError as error:
            raise error.extend(
                f". {all_in}, but Pinterest does not yet show that the audience uses that list. Running this task "
                "again is safe: it continues from there"
            ) from None


class Replace(SwapList):
    """Replace all people of an audience."""

    action = ActionSpec(
        name="replace_current_audience",
        audience_id="audience_id_replace",
        scopes=frozenset({Scope.ROWS, Scope.PEOPLE, Scope.OLD_AUDIENCE, Scope.NEW_LIST}),
        leaves_lists=True,
        drops_members=True,
    )
    report_text = ON_THEIR_WAY

    def steps(self, prepared: Prepared) -> list[Step]:
        """Return the steps that fill a list and switch the audience to it."""
        return self._fill_and_switch(self._find_usable(), prepared)


class Clear(SwapList):
    """Remove all people from an audience."""

    action = ActionSpec(
        name="clear_current_audience",
        audience_id="audience_id_clear",
        scopes=frozenset({Scope.OLD_AUDIENCE}),
        uses=frozenset({"even_if_used"}),
    )
    report_text = ReportText(
        headline="The audience is empty",
        detail="It uses a customer list without people (if Pinterest requires a record, one digest that belongs to "
        "nobody). Ads Manager may show the old size for a day or two.",
        next="Fill it again with pinterest_export.dig when you need it.",
        hides_size=True,
    )

    _is_known_unused = False

    def check(self) -> tuple[Audience, bool]:
        """Return the audience and whether it is empty. Raises AudienceError if it is not, but ad groups use it."""
        audience = self._find_usable()
        is_empty = self._lists.is_empty(audience)
        if not is_empty and not self._is_known_unused:
            self._require_unused(audience)
            self._is_known_unused = True
        return audience, is_empty

    def steps(self, _prepared: Prepared) -> list[Step]:
        """Return the steps that create an empty list and switch the audience to it."""
        audience, is_empty = self.check()
        return self._empty_and_switch(audience, is_empty=is_empty)


def _describe_list(target: ListToFill) -> str:
    """Return the plan's text for a list: whether it is created, or continued from an earlier try."""
    if target.id:
        return f"continue with customer list {target.id} of this session's earlier try"
    return f'create customer list "{escape(target.name)}"'
