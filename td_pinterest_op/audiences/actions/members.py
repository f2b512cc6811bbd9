"""The actions that change the people of an audience: in the list that it uses, or by a switch to a new list."""

import contextlib
from collections.abc import Iterator
from functools import partial

from td_pinterest_op.audiences.actions.audience_action import CreatingAction, Step, get_list_id
from td_pinterest_op.audiences.customer_lists import ListToFill, find_list, parse_list_name
from td_pinterest_op.audiences.usage import require_unused
from td_pinterest_op.errors import AudienceError, ExportError
from td_pinterest_op.pinterest.api import Audience
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.settings.setting import ActionSpec


class MembersAction(CreatingAction):
    """An action that sends records to an audience's list, or to a new list to which it then switches the audience."""

    def _plan_change(self, audience: Audience, prepared: PreparedRecords, *, adds: bool) -> list[Step]:
        """Return the step that adds the records to the audience's list (`adds`), or removes them from it."""
        people = "{records}" if prepared.unique_count else "nobody"
        verb, to = ("add", "to") if adds else ("remove", "from")
        # Pinterest does not report which of the people to remove were in the list.
        done, would = ("Added", "add") if adds else ("Asked Pinterest to remove", "ask Pinterest to remove")
        self._set_summary(past=f"{done} {people} {to} {{audience}}", infinitive=f"{would} {people} {to} {{audience}}")
        send = partial(self._send_records, audience, prepared, adds=adds)
        description = f"{verb} {to} {audience.label} (customer list {get_list_id(audience)})"
        return [Step(description=description, batch_count=prepared.count_batches(self._batch_size), run=send)]

    def _send_records(self, audience: Audience, prepared: PreparedRecords, *, adds: bool) -> None:
        """Add or remove the records in the audience's list. Raises AudienceError if the audience has changed lists."""
        operation = "ADD" if adds else "REMOVE"
        self._sender.send(prepared, partial(self._api.change_records, get_list_id(audience), operation=operation))
        now = self._api.find_audience(audience.id)
        if now and not now.is_removed and now.customer_list_id == audience.customer_list_id:
            self._copy_to_stats(now)
            return
        state, advice = "can no longer be found", ""
        if now and now.is_removed:
            state = "was removed"
        elif now:
            state, advice = f"uses customer list {now.customer_list_id} now", ". Run this task again"
        raise AudienceError(
            f"{audience.label} was changed by somebody else during this export: it {state}. All {self._stats.sent} "
            f"records went to customer list {audience.customer_list_id}, which it no longer uses, so they have no "
            f"effect on the audience{advice}"
        )

    def _plan_replace(self, audience: Audience, prepared: PreparedRecords, *, is_exact: bool = True) -> list[Step]:
        """Return the steps that fill a list and switch the audience to it. `is_exact`: it has these people only."""
        if not prepared.unique_count:
            return self._plan_clear(audience, is_empty=self._lists.is_empty(audience))
        people = "the members of {audience} with {records}"
        self._set_summary(past=f"Replaced {people}", infinitive=f"replace {people}")
        self._require_newer_job(audience)
        target, fill = self._plan_list(audience.name, prepared, used=get_list_id(audience), is_exact=is_exact)
        return [fill, self._plan_switch(audience, target)]

    def _plan_clear(self, audience: Audience, *, is_empty: bool) -> list[Step]:
        """Return the steps that switch the audience to an empty list, or change nothing if it `is_empty` already."""
        if is_empty:
            unchanged = "leave {audience} unchanged, since it is empty already"
            self._set_summary(past="{audience} was empty already", infinitive=unchanged)
            description = f"no change: {audience.label} is already empty"
            return [Step(description=description, run=lambda: self._copy_to_stats(self._resolve_duplicates(audience)))]
        self._set_summary(past="Cleared {audience}", infinitive="clear {audience}")
        target, create = self._plan_list(audience.name, PreparedRecords(), used=get_list_id(audience))
        return [create, self._plan_switch(audience, target)]

    def _plan_list(
        self, audience_name: str, prepared: PreparedRecords, *, used: str | None = None, is_exact: bool = True
    ) -> tuple[ListToFill, Step]:
        """Return a list for the records, and the step that fills it. `used`: the id of the audience's current list."""
        target = self._lists.find_or_name_list(
            audience_name, prepared, job_id=self._stats.job_id, used=used, is_exact=is_exact
        )
        if not prepared.unique_count:
            count = 0 if target.id else 1
            return target, Step(description=target.description, request_count=count, run=target.create_empty)

        def send_records() -> None:
            """Send the records to the list, and store its id in the statistics."""
            self._sender.send(prepared, target.add)
            self._stats.customer_list_id = target.id

        batch_count = prepared.count_batches(self._batch_size)
        return target, Step(description=target.description, batch_count=batch_count, run=send_records)

    def _create_audience_with_list(self, target: ListToFill) -> Audience:
        """Create the audience that the settings describe, with `target` as its customer list."""
        description = self._settings.audience_description
        return self._audiences.create(self._new_name, description=description, list_id=target.id)

    def _plan_switch(self, audience: Audience, target: ListToFill) -> Step:
        """Return the step that switches the audience to a list, unless it uses that list already."""
        used = get_list_id(audience)
        switch = partial(self._switch_list, audience, target)
        if target.id == used:
            return Step(description=f"no change: {audience.label} already uses this list", run=switch)
        description = f"switch {audience.label} to this list; customer list {used} is orphaned"
        return Step(description=description, request_count=1, run=switch)

    def _switch_list(self, audience: Audience, target: ListToFill) -> None:
        """Switch the audience to a list, unless it uses that list already, and check that it does."""
        with self._explain_failure_after_upload(target):
            # Somebody else may have switched it since.
            now = self._audiences.find_usable(self._resolve_duplicates(audience).id)
            used = get_list_id(now)
            self._copy_to_stats(now)
            if used != target.id:
                self._require_newer_job(now)
                self._audiences.switch_list(now.id, list_id=target.id)
                self._copy_to_stats(self._audiences.confirm_list(now.id, list_id=target.id))
                self._stats.previous_customer_list_id = used

    def _resolve_duplicates(self, audience: Audience) -> Audience:
        """Return the audience unchanged. `Create` also removes duplicates that this session created."""
        return audience

    def _require_newer_job(self, audience: Audience) -> None:
        """Raise AudienceError if the audience's list was filled by a newer Treasure Data job than this task's."""
        customer_list = find_list(self._api, audience)
        name = parse_list_name(customer_list.name) if customer_list else None
        own, other = self._stats.job_id, name and name.job_id
        if own and other and int(other) > int(own) and not self._settings.replace_newer:
            raise AudienceError(
                f"{audience.label} contains the result of job {other}, which is newer than job {own} of this task. The "
                "newer result was kept. To replace it anyway, or if the job ids come from two accounts or regions of "
                "Treasure Data, set replace_newer: true"
            )

    @contextlib.contextmanager
    def _explain_failure_after_upload(self, target: ListToFill) -> Iterator[None]:
        """Extend an error of the `with` block: all records are already in a customer list."""
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


class Add(MembersAction):
    """Add people to an audience."""

    action = ActionSpec(
        name="add_people_to_current_audience",
        audience_id="audience_id_add_people",
        scopes=("rows", "people", "old audience"),
    )

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the step that adds the records to the audience's list."""
        return self._plan_change(self._find_usable_audience(), prepared, adds=True)


class Remove(MembersAction):
    """Remove people from an audience."""

    action = ActionSpec(
        name="remove_people_from_current_audience",
        aliases=("remove_people_to_current_audience",),
        audience_id="audience_id_remove_people",
        scopes=("rows", "old audience"),
    )

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the step that removes the records from the audience's list."""
        return self._plan_change(self._find_usable_audience(), prepared, adds=False)


class Replace(MembersAction):
    """Replace all people of an audience."""

    action = ActionSpec(
        name="replace_current_audience",
        audience_id="audience_id_replace",
        scopes=("rows", "people", "old audience", "new list"),
        leaves_lists=True,
        drops_members=True,
    )

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the steps that fill a list and switch the audience to it."""
        return self._plan_replace(self._find_usable_audience(), prepared)


class Clear(MembersAction):
    """Remove all people from an audience."""

    action = ActionSpec(
        name="clear_current_audience",
        audience_id="audience_id_clear",
        scopes=("old audience",),
        uses=("even_if_used",),
    )

    _audience: Audience
    _is_empty: bool

    def check_audience(self) -> None:
        """Find the audience. Raises AudienceError if it is not empty and active ad groups use it."""
        self._audience = self._find_usable_audience()
        self._is_empty = self._lists.is_empty(self._audience)
        if not self._is_empty and not self._settings.even_if_used:
            require_unused(self._api, self._audience)

    def plan_steps(self, _prepared: PreparedRecords) -> list[Step]:
        """Return the steps that create an empty list and switch the audience to it."""
        return self._plan_clear(self._audience, is_empty=self._is_empty)
