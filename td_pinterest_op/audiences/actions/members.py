"""The actions that change the people of an audience: in the list that it uses, or by a switch to a new list."""

import logging
from dataclasses import replace
from functools import partial

from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step, get_list_id
from td_pinterest_op.audiences.consistency import request_new_audience, wait_out_listing_lag
from td_pinterest_op.audiences.customer_lists import TargetList
from td_pinterest_op.audiences.list_name import ListJobs, ListName, parse_list_name, shorten_for_list_name
from td_pinterest_op.audiences.lookup import find_used_list, read_audience_until_found
from td_pinterest_op.audiences.switching import ListSwitcher
from td_pinterest_op.audiences.usage import require_unused
from td_pinterest_op.errors import (
    NOTHING_SENT,
    AudienceError,
    LimitError,
)
from td_pinterest_op.pinterest.api import Audience
from td_pinterest_op.records.limits import build_limit_advice
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.redaction.secret import escape_for_message
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import ActionSpec

log = logging.getLogger(__name__)

# Before a session's time, its lists cannot have been made. A day more, since clocks and time zones differ.
_SESSION_TIME_MARGIN_SECONDS = 86_400.0


class MembersAction(AudienceAction):
    """The base class of the actions that send records to an audience's customer list, or switch it to a new list.

    No run replaces a list that a newer run has filled: see `ListSwitcher`.
    """

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the step that adds the records to the audience's list or removes them, as `adds_people` says."""
        return self._plan_add_or_remove(self._require_usable_audience(), prepared)

    def _plan_add_or_remove(self, audience: Audience, prepared: PreparedRecords, *, note: str = "") -> list[Step]:
        """Return the step for `audience`: see `plan_steps`. `note`: follows the audience's name in the summary."""
        people = "{records}" if prepared.record_count else "nobody"
        if self.action.adds_people:
            change = f"add to {audience.label}"
            self._set_summary(f"add {people} to {{audience}}{note}")
        else:
            change = f"remove from {audience.label}"
            # Pinterest does not report which of the people to remove were in the list.
            self._set_summary(f"ask Pinterest to remove {people} from {{audience}}")
        return [
            Step(
                description=f"{change} (customer list {get_list_id(audience)})",
                batch_count=prepared.count_batches(self._batch_size),
                run=partial(self._send_records, audience, prepared, adds=self.action.adds_people),
            )
        ]

    def _send_records(self, audience: Audience, prepared: PreparedRecords, *, adds: bool) -> None:
        audience = self._remove_duplicates_if_own(audience)
        operation = "ADD" if adds else "REMOVE"
        self._sender.send(prepared, partial(self._api.change_records, get_list_id(audience), operation=operation))
        now = read_audience_until_found(self._api, audience.id)
        if now and not now.is_removed and now.customer_list_id == audience.customer_list_id:
            self._copy_to_stats(now)
            return
        state = f"uses customer list {now.customer_list_id} now" if now and not now.is_removed else "was removed"
        raise AudienceError(
            f"{audience.label} was changed by somebody else during this export: it {state}",
            sent=f"All {format_count(self.stats.sent, 'record')} went to customer list {audience.customer_list_id}, "
            "which it no longer uses, so they have no effect on the audience",
            advice="Run this task again",
            subjects=[audience.subject],
        )

    def _plan_replacement(self, audience: Audience, prepared: PreparedRecords) -> list[Step]:
        """Return the two steps that fill a new list, and switch `audience` to it."""
        target, fill = self._plan_filling_new_list(audience.name, prepared, audience)
        self._build_switcher(target).require_older_list(audience)
        text = f"switch {audience.label} to this list; customer list {audience.customer_list_id} is orphaned"

        def switch() -> None:
            self._ensure_switched(self._remove_duplicates_if_own(audience), target)

        return [fill, Step(description=text, request_count=1, run=switch)]

    def _check_shrinking(self, audience: Audience, prepared: PreparedRecords) -> None:
        """Raise LimitError if far fewer records would take the place of those in use: see `max_leave_ratio`.

        The number of those in use is in their list's name, without people who were added since.
        """
        limit = self._settings.max_leave_ratio
        if limit is None:
            return
        name = parse_list_name(find_used_list(self._api, audience))
        before = name.records if name else None
        after = prepared.record_count
        if before is None:
            log.warning(
                "max_leave_ratio cannot be judged: customer list %s of %s has no number of records in its name",
                audience.customer_list_id,
                audience.label,
            )
        elif before - after > limit * before:
            raise LimitError(
                f"{after:,} records would take the place of {before:,}, so that a greater share would leave than "
                f"max_leave_ratio allows ({limit})",
                sent=NOTHING_SENT,
                advice=build_limit_advice("max_leave_ratio"),
            )

    def _set_replacement_summary(self, prepared: PreparedRecords, *, note: str = "") -> None:
        if prepared.record_count:
            self._set_summary(f"replace the members of {{audience}}{note} with {{records}}")
        else:
            self._set_summary(f"clear {{audience}}{note}")

    def _plan_filling_new_list(
        self, audience_name: str, prepared: PreparedRecords, existing: Audience | None = None
    ) -> tuple[TargetList, Step]:
        """Return a new list for the `prepared` records, and the step that fills it.

        `existing`: the audience that will use the list, None if it does not exist yet.
        """
        jobs = ListJobs(people=self.stats.job_id)
        if not jobs.people:  # a clear counts as old as the list that it replaces: an older replace must not undo it
            cleared = parse_list_name(find_used_list(self._api, existing)) if existing else None
            jobs = cleared.jobs if cleared else ListJobs()
        if self.stats.list_jobs:
            jobs = replace(jobs, withheld=max(self.stats.list_jobs.values(), key=int))
        records = prepared if prepared.record_count else PreparedRecords()  # whose type is EMAIL
        name = ListName(
            audience=shorten_for_list_name(audience_name),
            session=self._session_task_key,
            jobs=jobs,
            fingerprint=records.fingerprint,
            records=records.record_count,
        )
        begins = self.services.timing.now()
        session_time = self.services.task.session_time
        if session_time:  # which may be in the future
            begins = min(begins, session_time.timestamp())
        target = TargetList(
            api=self._api,
            name=name,
            list_type=records.list_type,
            is_nca=self._settings.is_nca,
            older_id=existing.customer_list_id if existing else None,
            begins=begins - _SESSION_TIME_MARGIN_SECONDS,
            created_ids=self._created_list_ids,
        )
        text = f'fill customer list "{escape_for_message(str(name))}"'
        if not prepared.record_count:
            return target, Step(description=text, request_count=1, run=target.ensure_created_empty)
        send = partial(self._sender.send, prepared, target.add)
        return target, Step(description=text, batch_count=prepared.count_batches(self._batch_size), run=send)

    def _build_switcher(self, target: TargetList) -> ListSwitcher:
        if self.action.adds_people:
            advice = (
                "Ways that need no switch: create_new_audience with another audience_name; or mirror_current_audience "
                "with begin: adopt, which leaves in people who are in the audience now but not in the query"
            )
        else:
            advice = "Without a switch, only remove_people_from_current_audience with a query of the people clears it"
        return ListSwitcher(api=self._api, target=target, replaces_newer=self._settings.replace_newer, advice=advice)

    def _create_audience_with_list(self, target: TargetList) -> Audience:
        """Create an audience that uses `target`. Return the one that this session keeps, which may be an older one."""
        description = self._settings.audience_description
        request = partial(request_new_audience, self._api, self._new_name, description=description, list_id=target.id)
        return self._create_once_per_session(request)

    def _ensure_switched(self, audience: Audience, target: TargetList) -> None:
        """Make `audience` use the list `target`, and copy its state to the statistics."""
        now = self._require_usable_audience(audience.id)  # somebody else may have switched it since
        if now.customer_list_id == target.id:
            return  # by another try of this run; somebody may have added people since
        self._copy_to_stats(self._build_switcher(target).switch_and_confirm(now))
        self.stats.members = self.stats.sent
        self.stats.previous_customer_list_id = now.customer_list_id


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
        uses=("max_leave_ratio",),
        drops_members=True,
    )

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the two steps that fill a new list, and switch the audience to it."""
        audience = self._require_usable_audience()
        self._check_shrinking(audience, prepared)
        self._set_replacement_summary(prepared)
        return self._plan_replacement(audience, prepared)


class Clear(MembersAction):
    """The action that removes all people from an audience."""

    action = ActionSpec(
        name="clear_current_audience",
        audience_id="audience_id_clear",
        scopes=("old audience",),
        uses=("even_if_used",),
    )

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the steps that switch the audience to an empty list, or one without changes if it is empty already.

        It is empty if its list was created empty, and Pinterest has counted no person in it. Raises AudienceError if it
        has people and active ad groups use it.
        """
        audience = self._require_usable_audience()
        used = find_used_list(self._api, audience)
        name = parse_list_name(used)
        is_empty = False
        if used and name and name.dummy_record_count is not None:
            wait_out_listing_lag(self._client)  # the counter then includes all that was added before this run
            counted = self._api.find_customer_list(used.id)
            uploaded = counted.uploaded if counted else None
            is_empty = uploaded is not None and uploaded <= name.dummy_record_count
        if not is_empty:
            if not self._settings.even_if_used:
                require_unused(self._api, audience)
            self._set_replacement_summary(prepared)
            return self._plan_replacement(audience, prepared)
        self._set_summary("leave {audience} unchanged, since it is empty already", "{audience} was empty already")
        return [Step(description=f"no change: {audience.label} is already empty")]
