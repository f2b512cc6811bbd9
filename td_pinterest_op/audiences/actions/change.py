"""Add people to an audience, or remove them from it."""

from functools import partial

from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step, list_id_of
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.models import Audience
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.report.verdict import ON_THEIR_WAY, ON_THEIR_WAY_OUT
from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.stats import SummaryText


class Change(AudienceAction):
    """Sends records to the customer list of an audience."""

    def _change_steps(self, audience: Audience, prepared: Prepared, *, adds: bool) -> list[Step]:
        """Return the step that adds the records to the audience's list, or removes them from it."""
        people = "{records}" if prepared.unique_count else "nobody"
        verb, to = ("add", "to") if adds else ("remove", "from")
        # Pinterest does not report which of the people to remove were in the list.
        done, would = ("Added", "add") if adds else ("Asked Pinterest to remove", "ask Pinterest to remove")
        self._stats.summary_text = SummaryText(
            past=f"{done} {people} {to} {{audience}}", infinitive=f"{would} {people} {to} {{audience}}"
        )

        send = partial(self._send_change, audience, prepared, adds=adds)
        return [Step(description=f"{verb} {to} {audience.label} (customer list {list_id_of(audience)})", run=send)]

    def _send_change(self, audience: Audience, prepared: Prepared, *, adds: bool) -> None:
        """Send the records, and check that the audience still uses the list."""
        put = partial(self._api.change_records, list_id_of(audience), operation="ADD" if adds else "REMOVE")
        self._sender.send(prepared, put)
        self._check_list_unchanged(audience)

    def _check_list_unchanged(self, audience: Audience) -> None:
        """Raise AudienceError if the audience no longer uses the list that got the records."""
        now = self._api.find_audience(audience.id)
        if now and not now.is_removed and now.customer_list_id == audience.customer_list_id:
            self._put_into_stats(now)
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


class Add(Change):
    """Add people to an audience."""

    action = ActionSpec(
        name="add_people_to_current_audience",
        audience_id="audience_id_add_people",
        scopes=frozenset({Scope.ROWS, Scope.PEOPLE, Scope.OLD_AUDIENCE}),
    )
    report_text = ON_THEIR_WAY

    def steps(self, prepared: Prepared) -> list[Step]:
        """Return the step that adds the records to the audience's list."""
        return self._change_steps(self._find_usable(), prepared, adds=True)


class Remove(Change):
    """Remove people from an audience."""

    action = ActionSpec(
        name="remove_people_from_current_audience",
        aliases=("remove_people_to_current_audience",),
        audience_id="audience_id_remove_people",
        scopes=frozenset({Scope.ROWS, Scope.OLD_AUDIENCE}),
    )
    report_text = ON_THEIR_WAY_OUT

    def steps(self, prepared: Prepared) -> list[Step]:
        """Return the step that removes the records from the audience's list."""
        return self._change_steps(self._find_usable(), prepared, adds=False)
