"""The actions that create or delete an audience."""

import re
from functools import partial

from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step
from td_pinterest_op.audiences.actions.members import MembersAction
from td_pinterest_op.audiences.consistency import read_until_found
from td_pinterest_op.audiences.customer_lists import TargetList
from td_pinterest_op.audiences.lookup import check_type_and_account, read_audience_until_found, require_audience
from td_pinterest_op.audiences.usage import require_unused
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.api import ACTALIKE_TYPE, Audience, AudienceCondition, classify_audience_status
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.redaction.secret import escape_and_quote
from td_pinterest_op.settings.table import ActionSpec

_CREATED_BEFORE_NOTE = " (which this session had created before)"
_SESSION_KEY_PATTERN = re.compile(r"\(td ([0-9a-f]{8})\)$")


class Create(MembersAction):
    """The action that creates an audience with the query's people.

    If another session's audience has the name, `if_exists` decides: fail, add the people to it, or replace its people.
    """

    action = ActionSpec(
        name="create_new_audience",
        scopes=("rows", "people", "new audience", "new list"),
        needs=("audience_name",),
        uses=("if_exists", "max_leave_ratio"),
        only_once=True,
    )

    def find_and_check_audience(self) -> None:
        """Raise AudienceError if another session's audience has the name and `if_exists` is fail, or several do."""
        self._find_other_or_session_audience()

    def _find_other_or_session_audience(self) -> tuple[Audience | None, Audience | None]:
        """Return the audience with the settings' name as (another session's, this session's), at most one of them.

        If this session created one, those of other sessions do not count.
        """
        others, own = self._find_other_and_session_namesakes()
        if own or not others:
            return None, own[0] if own else None
        if self._settings.if_exists == "fail":
            raise self._build_conflict_error(others[0])
        return self._require_only_namesake(others), None

    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the steps that create an audience with the `prepared` records, or send them to the existing one."""
        existing, own = self._find_other_or_session_audience()
        audience = existing or own
        note = _CREATED_BEFORE_NOTE if own else ""
        if audience and self._settings.if_exists == "add":  # other sessions may have added people, and they stay
            return self._plan_add_or_remove(audience, prepared, note=note)
        if audience:  # also this session's own, whatever `if_exists` is
            self._check_shrinking(audience, prepared)
            self._set_replacement_summary(prepared, note=note)
            return self._plan_replacement(audience, prepared)
        target, fill = self._plan_filling_new_list(self._new_name, prepared)
        people = "with {records}" if prepared.record_count else "without people"
        self._set_summary(f"create {{audience}} {people}")
        run = partial(self._create_or_switch_audience, target, prepared)
        text = f"create audience {escape_and_quote(self._new_name)} with this list"
        return [fill, Step(description=text, request_count=1, run=run)]

    def _create_or_switch_audience(self, target: TargetList, prepared: PreparedRecords) -> None:
        """Create the audience with the list `target`, or make this session's existing one use that list."""
        self.stats.customer_list_id = target.id  # which has the records, should nothing else be found
        audience = self._create_audience_with_list(target)
        is_new = audience.customer_list_id == target.id
        if not is_new:
            self._set_replacement_summary(prepared, note=_CREATED_BEFORE_NOTE)
        self._ensure_switched(audience, target)
        if is_new:
            self.stats.members = self.stats.sent


class CreateActalike(AudienceAction):
    """The action that creates a look-alike (actalike) audience: people who resemble those of a seed audience.

    Its description ends with the key of the digdag session, by which a rerun recognises it. Other audiences have the
    key in their list's name.
    """

    action = ActionSpec(
        name="create_actalike_audience",
        scopes=("new audience",),
        needs=("audience_name", "seed_audience_id", "country", "percentage"),
        only_once=True,
    )

    def _find_creator_key(self, audience: Audience) -> str | None:
        match = _SESSION_KEY_PATTERN.search(audience.description) if audience.audience_type == ACTALIKE_TYPE else None
        return match[1] if match else None

    def plan_steps(self, _prepared: PreparedRecords) -> list[Step]:
        """Return the step that creates the audience, or one without changes if this session created it.

        Raises AudienceError if another session's audience has the name, or the seed audience is not ready.
        """
        own = self._find_session_audience()
        if own:
            self._set_unchanged_summary()
            text = f"no change: this session already created {own.label}"
            return [Step(description=text, run=partial(self._remove_duplicates_if_own, own))]
        seed = require_audience(self._api, self._settings.seed_audience_id or "")
        if classify_audience_status(seed.status) is not AudienceCondition.READY:
            raise AudienceError(
                f"seed {seed.label} has the status {seed.status or 'unknown'}, not READY: it needs at least 100 "
                "matched people, whom Pinterest takes a day or two to find",
                sent="Nothing was created",
                advice="Name another seed, add people to it, or run this task again then",
            )
        self._set_summary("create look-alike {audience}")
        text = (
            f"create audience {escape_and_quote(self._new_name)}: the {self._settings.percentage} % of the people in "
            f"{self._settings.country} who are most like audience {self._settings.seed_audience_id}"
        )
        return [Step(description=text, request_count=1, run=self._ensure_audience)]

    def _set_unchanged_summary(self) -> None:
        text = "look-alike {audience} unchanged, which this session had created before"
        self._set_summary(f"leave {text}", f"left {text}")

    def _ensure_audience(self) -> None:
        """Create the audience, unless Pinterest now lists one of an earlier run of this session."""
        settings = self._settings
        description = " ".join(filter(None, (settings.audience_description, f"(td {self._session_task_key})")))
        rule = {"seed_id": [settings.seed_audience_id], "country": settings.country, "percentage": settings.percentage}
        self._set_unchanged_summary()  # unless it is created

        def create() -> Audience:
            self._set_summary("create look-alike {audience}")
            return self._api.create_audience(
                name=self._new_name, description=description, rule=rule, audience_type=ACTALIKE_TYPE
            )

        self._create_once_per_session(create)


class Delete(AudienceAction):
    """The action that deletes an audience. It succeeds if the audience is already deleted.

    Its customer list stays: Pinterest has no way to delete one.
    """

    action = ActionSpec(
        name="delete_current_audience",
        audience_id="audience_id_delete",
        scopes=("old audience",),
        uses=("even_if_used",),
    )

    def plan_steps(self, _prepared: PreparedRecords) -> list[Step]:
        """Return the step that removes the audience, or one without changes if it is already removed.

        Raises AudienceError if it must not be removed, for example because active ad groups use it.
        """
        audience = read_audience_until_found(self._api, self._audience_id)
        if audience:
            self._copy_to_stats(audience)
        self._require_expected_name(audience)
        if audience and audience.is_removed:
            self._set_summary(
                "leave {audience} unchanged, since it is deleted already", "{audience} was deleted already"
            )
            return [Step(description=f"no change: {audience.label} was already removed")]
        if audience:
            check_type_and_account(self._api, audience)
            if not self._settings.even_if_used:
                require_unused(self._api, audience)
            self._set_summary("delete {audience}")
            text = f"remove {audience.label}; its customer list stays"
        else:  # it was removed long ago, for example
            self._set_summary("delete {audience}, if it still exists", "deleted {audience}, or it was deleted before")
            text = f"remove audience {self._audience_id}, which cannot be read and may be deleted already"
        run = partial(self._remove_audience, was_found=audience is not None)
        return [Step(description=text, request_count=1, run=run)]

    def _remove_audience(self, *, was_found: bool) -> None:
        """Remove the audience. `was_found`: whether this run has read it before.

        Raises AudienceError if Pinterest answers 404, unless the audience was read before and is removed now.
        """
        if self._api.remove_audience(self._audience_id):
            return

        def find_removal() -> bool | None:
            audience = self._api.find_audience(self._audience_id)
            return audience is None or audience.is_removed or None

        # A request that is repeated, since its response was lost, gets a 404 too.
        if was_found and read_until_found(find_removal, self._client):
            return
        raise AudienceError(
            f"there is no audience {self._audience_id} to remove in ad account {self._settings.ad_account_id} (404): "
            "either it was deleted before, or it never existed there",
            advice="Check audience_id_delete and ad_account_id",
            subjects=[("audience", self._audience_id), self._api.subject],
        )
