"""The actions that change the people of an audience: in the list that it uses, or by a switch to a new list."""

from collections.abc import Callable
from functools import partial

from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step, get_list_id
from td_pinterest_op.audiences.create_once import read_until_found
from td_pinterest_op.audiences.customer_lists import TargetList, find_list, get_list_name
from td_pinterest_op.audiences.usage import require_unused
from td_pinterest_op.errors import AudienceError, ExportError, RequestRefusedError
from td_pinterest_op.pinterest.api import Audience
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.settings.table import ActionSpec


class MembersAction(AudienceAction):
    """An action that sends records to an audience's list, or to a new list to which it then switches the audience."""

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the step that adds the records to the audience's list, or removes them from it."""
        return self._plan_list_change(self._find_usable_audience(), prepared)

    def _plan_list_change(self, audience: Audience, prepared: PreparedRecords) -> list[Step]:
        """Return the step that adds the records to the list that the audience uses, or removes them from it."""
        people, adds = "{records}" if prepared.record_count else "nobody", self.action.adds_people
        verb, to = ("add", "to") if adds else ("remove", "from")
        # Pinterest does not report which of the people to remove were in the list.
        done, would = ("Added", "add") if adds else ("Asked Pinterest to remove", "ask Pinterest to remove")
        self._set_summary(past=f"{done} {people} {to} {{audience}}", infinitive=f"{would} {people} {to} {{audience}}")
        send = partial(self._send_records, audience, prepared, adds=adds)
        description = f"{verb} {to} {audience.label} (customer list {get_list_id(audience)})"
        return [Step(description=description, batch_count=prepared.count_batches(self._batch_size), run=send)]

    def _send_records(self, audience: Audience, prepared: PreparedRecords, *, adds: bool) -> None:
        """Add records to the audience's list if `adds`, else remove them. Raises AudienceError if the list changed."""
        audience, operation = self._remove_duplicates(audience), "ADD" if adds else "REMOVE"
        self._sender.send(prepared, partial(self._api.change_records, get_list_id(audience), operation=operation))
        now = read_until_found(partial(self._api.find_audience, audience.id), self._api.client)
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

    def _plan_replacement(self, audience: Audience, prepared: PreparedRecords, *, is_exact: bool = True) -> list[Step]:
        """Return the steps to fill a list and switch `audience` to it. `is_exact`: it must contain nobody else."""
        if prepared.record_count:
            people = "the members of {audience} with {records}"
            self._set_summary(past=f"Replaced {people}", infinitive=f"replace {people}")
            self._require_newer_job(audience)
        elif self._lists.is_empty(audience):
            unchanged = "leave {audience} unchanged, since it is empty already"
            self._set_summary(past="{audience} was empty already", infinitive=unchanged)
            description = f"no change: {audience.label} is already empty"
            return [Step(description=description, run=partial(self._remove_duplicates, audience))]
        else:
            self._set_summary(past="Cleared {audience}", infinitive="clear {audience}")
        used = get_list_id(audience)
        target, fill = self._plan_list(audience.name, prepared, current_list_id=used, is_exact=is_exact)
        switch = partial(self._assign_uploaded_list, target, partial(self._switch_list, audience, target))
        if target.id == used:
            return [fill, Step(description=f"no change: {audience.label} already uses this list", run=switch)]
        description = f"switch {audience.label} to this list; customer list {used} is orphaned"
        return [fill, Step(description=description, request_count=1, run=switch)]

    def _plan_list(
        self,
        audience_name: str,
        prepared: PreparedRecords,
        *,
        current_list_id: str | None = None,
        is_exact: bool = True,
    ) -> tuple[TargetList, Step]:
        """Return the list to fill, new or reused, and the step for it. `is_exact`: it must contain nobody else."""
        target = self._lists.find_or_name_list(
            audience_name, prepared, job_id=self._stats.job_id, current_list_id=current_list_id, is_exact=is_exact
        )
        description = f'create customer list "{escape(target.name)}"'
        if target.id:
            description = f"continue with customer list {target.id} of this session's earlier try"
        if not prepared.record_count:
            return target, Step(description=description, request_count=0 if target.id else 1, run=target.create_empty)
        batch_count, send = prepared.count_batches(self._batch_size), partial(self._sender.send, prepared, target.add)
        return target, Step(description=description, batch_count=batch_count, run=send)

    def _create_audience_with_list(self, target: TargetList, *, may_switch: bool = True) -> Audience:
        """Create an audience that uses the list, and return it. `may_switch`: or switch an earlier try's to it."""
        description = self._settings.audience_description
        create = partial(self._audiences.create, self._new_name, description=description, list_id=target.id)
        return self._create_new_audience(create, list_id=target.id if may_switch else None)

    def _switch_list(self, audience: Audience, target: TargetList) -> None:
        """Switch the audience to the list `target` if it uses another list, and wait until Pinterest shows `target`."""
        # Somebody else may have switched it since.
        now = self._audiences.find_usable(self._remove_duplicates(audience).id)
        used = get_list_id(now)
        self._copy_to_stats(now)
        if used != target.id:
            self._require_newer_job(now)
            client = self._api.client
            checked_at = client.age

            def check_again() -> None:
                """Raise AudienceError if a newer job has filled the audience in the last ten seconds or more."""
                nonlocal checked_at
                if client.age > checked_at + 10.0:
                    checked_at = client.age
                    self._require_newer_job(self._api.find_audience(now.id) or now)

            with client.check_writes(check_again):
                self._copy_to_stats(self._audiences.use_list(now, list_id=target.id))
            self._stats.previous_customer_list_id = used

    def _require_newer_job(self, audience: Audience) -> None:
        """Raise AudienceError if the audience's list was filled by a newer Treasure Data job than this task's."""
        name = get_list_name(find_list(self._api, audience))
        own, other = self._stats.job_id, name and name.job_id
        if own and other and int(other) > int(own) and not self._settings.replace_newer:
            raise AudienceError(
                f"{audience.label} contains the result of job {other}, which is newer than job {own} of this task. The "
                "newer result was kept. To replace it anyway, or if the job ids come from two accounts or regions of "
                "Treasure Data, set replace_newer: true"
            )

    def _assign_uploaded_list(self, target: TargetList, change: Callable[[], None]) -> None:
        """Call `change`, which assigns the list `target`. If this fails, the error says the list has all records."""
        self._stats.customer_list_id = target.id
        all_in = f". All {self._stats.sent} records are in customer list {target.id}" if self._stats.sent else ""
        try:
            change()
        except AudienceError as error:
            # Running again would end here again.
            raise error.extend(f"{all_in}, but the audience does not use that list" if all_in else "") from None
        except ExportError as error:
            if all_in and not isinstance(error, RequestRefusedError):
                all_in += ", but Pinterest does not yet show that the audience uses that list"
            raise error.extend(f"{all_in}. Running this task again is safe: it continues from there") from None
        self._stats.members = None if target.is_shared else self._stats.sent


class Add(MembersAction):
    """Add people to an audience."""

    action = ActionSpec(
        name="add_people_to_current_audience",
        audience_id="audience_id_add_people",
        scopes=("rows", "people", "old audience"),
    )


class Remove(MembersAction):
    """Remove people from an audience."""

    action = ActionSpec(
        name="remove_people_from_current_audience",
        aliases=("remove_people_to_current_audience",),
        audience_id="audience_id_remove_people",
        scopes=("rows", "old audience"),
    )


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
        return self._plan_replacement(self._find_usable_audience(), prepared)


class Clear(Replace):
    """Remove all people from an audience."""

    action = ActionSpec(
        name="clear_current_audience",
        audience_id="audience_id_clear",
        scopes=("old audience",),
        uses=("even_if_used",),
    )

    _audience: Audience

    def check_audience(self) -> None:
        """Find the audience. Raises AudienceError if it is not empty and active ad groups use it."""
        self._audience = self._find_usable_audience()
        if not self._settings.even_if_used and not self._lists.is_empty(self._audience):
            require_unused(self._api, self._audience)

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the steps that create an empty list and switch the audience to it, unless the audience is empty."""
        return self._plan_replacement(self._audience, prepared)
