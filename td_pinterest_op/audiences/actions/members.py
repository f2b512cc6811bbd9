"""The actions that change the people of an audience: in the list that it uses, or by a switch to a new list."""

from dataclasses import replace
from functools import partial

from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step, get_list_id
from td_pinterest_op.audiences.audiences import (
    PATIENCE,
    create_audience,
    find_audiences_by_name,
    find_list,
    read_until_found,
    switch_audience,
    wait_for_consistency,
)
from td_pinterest_op.audiences.customer_lists import (
    NO_JOB,
    ListName,
    TargetList,
    find_own_lists,
    get_list_name,
    shorten_audience_name,
)
from td_pinterest_op.audiences.usage import require_unused
from td_pinterest_op.errors import AudienceError, PinterestError
from td_pinterest_op.pinterest.api import Audience, CustomerList, age_key
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.settings.table import ActionSpec


class MembersAction(AudienceAction):
    """The base class of the actions that send records to an audience's customer list, or replace it with a new list.

    The newest run wins: no run replaces a customer list that a newer run has filled. A run is newer if the ids of its
    Treasure Data jobs, which are in its list's name, are greater or, for equal jobs, if its list has a greater id.
    """

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the step that adds the `prepared` records to the audience's list, or removes them from it.

        `adds_people` of the action decides which.
        """
        return self._plan_list_change(self._find_usable_audience(), prepared)

    def _plan_list_change(self, audience: Audience, prepared: PreparedRecords) -> list[Step]:
        """Return the step that adds the `prepared` records to the list of `audience`, or removes them from it.

        `adds_people` of the action decides which.
        """
        people = "{records}" if prepared.record_count else "nobody"
        if self.action.adds_people:
            change = f"add to {audience.label}"
            self._set_summary(f"Added {people} to {{audience}}", f"add {people} to {{audience}}")
        else:
            change = f"remove from {audience.label}"
            # Pinterest does not report which of the people to remove were in the list.
            removal = f"Pinterest to remove {people} from {{audience}}"
            self._set_summary(f"Asked {removal}", f"ask {removal}")
        return [
            Step(
                description=f"{change} (customer list {get_list_id(audience)})",
                batch_count=prepared.count_batches(self._batch_size),
                run=partial(self._send_records, audience, prepared, adds=self.action.adds_people),
            )
        ]

    def _send_records(self, audience: Audience, prepared: PreparedRecords, *, adds: bool) -> None:
        """Add the `prepared` records to the customer list of `audience` (`adds`), or remove them from it (not `adds`).

        Raises AudienceError if the audience uses another list, or is removed, once the records are sent.
        """
        audience = self._keep_session_audience(audience)
        operation = "ADD" if adds else "REMOVE"
        self._sender.send(prepared, partial(self._api.change_records, get_list_id(audience), operation=operation))
        now = read_until_found(partial(self._api.find_audience, audience.id), self._client)
        if now and not now.is_removed and now.customer_list_id == audience.customer_list_id:
            self._copy_to_stats(now)
            return
        state = f"uses customer list {now.customer_list_id} now" if now and not now.is_removed else "was removed"
        raise AudienceError(
            f"{audience.label} was changed by somebody else during this export: it {state}. All {self.stats.sent} "
            f"records went to customer list {audience.customer_list_id}, which it no longer uses, so they have no "
            "effect on the audience. Run this task again"
        )

    def _plan_replacement(self, audience: Audience, prepared: PreparedRecords) -> list[Step]:
        """Return the two steps that fill a new customer list with the `prepared` records, and switch `audience` to it.

        Raises AudienceError if a newer run has filled a list for the audience.
        """
        if prepared.record_count:
            people = "the members of {audience} with {records}"
            self._set_summary(f"Replaced {people}", f"replace {people}")
        else:
            self._set_summary("Cleared {audience}", "clear {audience}")
        target, fill = self._plan_list(audience.name, prepared)
        self._require_newest(audience, target)
        description = f"switch {audience.label} to this list; customer list {audience.customer_list_id} is orphaned"
        switch = Step(description=description, request_count=1, run=partial(self._switch_list, audience, target))
        return [fill, switch]

    def _plan_list(self, audience_name: str, prepared: PreparedRecords) -> tuple[TargetList, Step]:
        """Return the list to fill with the `prepared` records, and the step that fills it.

        `audience_name`: the name of the audience that will use the list.
        """
        jobs = self.stats.job_id or NO_JOB
        if self.stats.list_jobs:
            jobs += f"+{max(map(int, self.stats.list_jobs.values()))}"
        records = prepared if prepared.record_count else PreparedRecords()  # of type EMAIL
        name = ListName(
            audience=shorten_audience_name(audience_name),
            session=self._session_key,
            jobs=jobs,
            fingerprint=records.fingerprint,
        )
        target = TargetList(
            api=self._api,
            name=name,
            list_type=records.list_type,
            is_nca=self._settings.is_nca,
            created_ids=self._created_list_ids,
        )
        description = f'fill customer list "{escape(str(name))}"'
        if not prepared.record_count:
            return target, Step(description=description, request_count=1, run=target.create_empty)
        send = partial(self._sender.send, prepared, target.add)
        return target, Step(description=description, batch_count=prepared.count_batches(self._batch_size), run=send)

    def _create_audience_with_list(self, target: TargetList) -> Audience:
        """Create and return an audience that uses the customer list `target`.

        If an earlier run of this session already created the audience, returns that one, which may use another list.
        """
        description = self._settings.audience_description
        create = partial(create_audience, self._api, self._new_name, description=description, list_id=target.id)
        return self._create_new_audience(create)

    def _switch_list(self, audience: Audience, target: TargetList) -> None:
        """Switch `audience` to the customer list `target`, and wait until Pinterest shows the switch.

        If two runs do this at once, the newer run wins: each waits until listings show its list, and looks for a newer
        list once more after its switch. A run that finds one switches the audience to that list, and raises
        AudienceError.
        """
        audience = self._keep_session_audience(audience)
        now = self._find_usable_audience(audience.id)  # somebody else may have switched it since
        if now.customer_list_id == target.id:
            return  # by another try of this run; somebody may have added people since

        def find_listed() -> CustomerList | None:
            """Return the customer list `target` as Pinterest's listing shows it, or None while it is not listed."""
            return next((made for made in self._api.list_customer_lists() if made.id == target.id), None)

        read_until_found(find_listed, self._client)
        with self._client.check_writes(lambda: self._require_newest(self._api.find_audience(now.id) or now, target)):
            switch_audience(self._api, now.id, list_id=target.id)
        self._require_newest(replace(now, customer_list_id=target.id), target, is_switched=True)
        self._confirm_list(now, target)
        self.stats.previous_customer_list_id = now.customer_list_id

    def _confirm_list(self, audience: Audience, target: TargetList) -> None:
        """Wait until Pinterest shows that `audience` uses the list `target`, and copy its state to the statistics.

        Waits for as long as the retry settings allow, at least half a minute, since reads may lag behind writes. Raises
        PinterestError if Pinterest does not show it by then, and AudienceError if it shows a newer run's list.
        """
        seen = ""

        def find_switched() -> Audience | None:
            """Return the audience if Pinterest shows that it uses the list `target`, else None."""
            nonlocal seen
            now = self._api.find_audience(audience.id)
            seen = f"it used customer list {now.customer_list_id}" if now else "it was not found"
            if now and now.customer_list_id != target.id:
                self._require_newest(now, target)
                return None
            return now

        waits = (0.0, *self._client.retry.iterate_waits_for(PATIENCE))
        switched = read_until_found(find_switched, self._client, waits=waits)
        if switched is None:
            raise PinterestError(
                f"Pinterest accepted customer list {target.id} for audience {audience.id} but does not show it yet: "
                f"when the audience was last read, {seen}. The change may appear later, and running this task again is "
                "safe"
            )
        self._copy_to_stats(switched)
        self.stats.members = self.stats.sent

    def _require_newest(self, audience: Audience, target: TargetList, *, is_switched: bool = False) -> None:
        """Raise AudienceError if a newer run has created a list for `audience`. `target`: the list of this run.

        If the audience was switched to `target` already (`is_switched`), it is first switched to the newer list.
        """
        newer = self._find_newer_list(audience, target)
        if newer is None:
            return
        if is_switched:
            switch_audience(self._api, audience.id, list_id=newer.id)
        name = get_list_name(newer)
        advice = "To replace it, run this task again"
        if name and name.has_newer_jobs(target.name):
            advice = (
                "To replace the result of a newer job anyway, or if the job ids come from two accounts or regions of "
                "Treasure Data, set replace_newer: true"
            )
        raise AudienceError(
            f"customer list {newer.id} is for {audience.label} and newer than the list of this task (job "
            f"{name and name.jobs}, here job {target.name.jobs}): another run has made it, and it was kept. {advice}"
        )

    def _find_newer_list(self, audience: Audience, target: TargetList) -> CustomerList | None:
        """Return a list that a newer run of this operator created for `audience`, or None. `target`: this run's list.

        It is either the list that the audience uses, or one that was created after that list, with the audience's name.
        """
        used = find_list(self._api, audience)
        if used and self._is_newer(used, target):
            return used
        used_age = age_key(get_list_id(audience))
        for made in find_own_lists(self._api, target.name.audience):
            if age_key(made.id) <= used_age:
                break
            # A list of the same name is another try's of this run.
            if made.name != str(target.name) and self._is_newer(made, target):
                # Of several audiences with this name, it may be for another one.
                others = [each for each in find_audiences_by_name(self._api, audience.name) if each.id != audience.id]
                return None if others else made
        return None

    def _is_newer(self, made: CustomerList, target: TargetList) -> bool:
        """Return whether a run newer than this one has created the list `made`. `target`: the list of this run.

        Compares the job ids in the names of the lists or, if they are equal or not comparable, the ids of the lists.
        """
        name = get_list_name(made)
        if name is None or made.id == target.id:
            return False
        has_newer_jobs = name.has_newer_jobs(target.name)
        if has_newer_jobs is None:
            return target.id != "" and age_key(made.id) > age_key(target.id)
        return has_newer_jobs and not self._settings.replace_newer


class Add(MembersAction):
    """The action that adds the query's people to an audience."""

    action = ActionSpec(
        name="add_people_to_current_audience",
        audience_id="audience_id_add_people",
        scopes=("rows", "people", "old audience"),
    )


class Remove(MembersAction):
    """The action that removes the query's people from an audience."""

    action = ActionSpec(
        name="remove_people_from_current_audience",
        aliases=("remove_people_to_current_audience",),
        audience_id="audience_id_remove_people",
        scopes=("rows", "old audience"),
    )


class Replace(MembersAction):
    """The action that replaces all people of an audience with the query's people."""

    action = ActionSpec(
        name="replace_current_audience",
        audience_id="audience_id_replace",
        scopes=("rows", "people", "old audience", "new list"),
        leaves_lists=True,
        drops_members=True,
    )

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the two steps that fill a new list with the `prepared` records, and switch the audience to it."""
        return self._plan_replacement(self._find_usable_audience(), prepared)


class Clear(MembersAction):
    """The action that removes all people from an audience."""

    action = ActionSpec(
        name="clear_current_audience",
        audience_id="audience_id_clear",
        scopes=("old audience",),
        uses=("even_if_used",),
    )

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the steps that create an empty customer list and switch the audience to it.

        An empty audience gets one step without changes: its list was created empty by this operator, and Pinterest has
        counted no person in it. Raises AudienceError if the audience has people and active ad groups use it.
        """
        audience = self._find_usable_audience()
        used = find_list(self._api, audience)
        name = get_list_name(used)
        is_empty = False
        if used and name and name.initial_count is not None:
            wait_for_consistency(self._client)  # the counter then includes all that was added before this run
            counted = self._api.find_customer_list(used.id)
            uploaded = counted.uploaded if counted else None
            is_empty = uploaded is not None and uploaded <= name.initial_count
        if not is_empty:
            if not self._settings.even_if_used:
                require_unused(self._api, audience)
            return self._plan_replacement(audience, prepared)
        self._set_summary("{audience} was empty already", "leave {audience} unchanged, since it is empty already")
        return [Step(description=f"no change: {audience.label} is already empty")]
