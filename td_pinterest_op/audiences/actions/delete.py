"""Delete an audience. Its customer list stays: Pinterest has no way to delete one."""

import logging
from functools import partial

from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.models import Audience
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.report.verdict import ReportText
from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.stats import SummaryText

log = logging.getLogger(__name__)


class Delete(AudienceAction):
    """Delete an audience. Succeeds if it is already deleted."""

    action = ActionSpec(
        name="delete_current_audience",
        audience_id="audience_id_delete",
        scopes=frozenset({Scope.OLD_AUDIENCE}),
        uses=frozenset({"even_if_used"}),
    )
    report_text = ReportText(
        headline="The audience is deleted",
        detail="Its customer list stays: Pinterest has no way to delete one.",
        next="Check that none of your ad groups still uses the audience.",
        hides_size=True,
    )

    def check(self) -> Audience | None:
        """Return the audience, None if it cannot be read. Raises AudienceError if active ad groups use it."""
        audience = self._find_audience()
        if audience and not audience.is_removed:
            self._require_unused(audience)
        return audience

    def _find_audience(self) -> Audience | None:
        """Return the audience to delete, which may be removed already. None if it cannot be read."""
        self._stats.audience_id = self._audience_id
        audience = self._audiences.find_removable(self._audience_id)
        if audience:
            self._put_into_stats(audience)
        self._check_name(audience)
        return audience

    def steps(self, _prepared: Prepared) -> list[Step]:
        """Return the step that removes the audience, unless it is already removed."""
        audience = self._find_audience()
        self._stats.summary_text = SummaryText(past="Deleted {audience}", infinitive="delete {audience}")
        if audience is None:
            description = f"remove audience {self._audience_id}, which cannot be read and may be deleted already"
            return [Step(description=description, request_count=1, run=self._remove_unreadable_audience)]
        if audience.is_removed:
            self._stats.summary_text = SummaryText(
                past="{audience} was deleted already",
                infinitive="leave {audience} unchanged, since it is deleted already",
            )
            return [
                Step(
                    description=f"no change: {audience.label} was already removed",
                    run=partial(self._put_into_stats, audience),
                )
            ]
        description = f"remove {audience.label}; its customer list stays"
        # Whatever the answer, an audience that has just been read is gone now.
        return [Step(description=description, request_count=1, run=partial(self._audiences.remove, audience.id))]

    def _remove_unreadable_audience(self) -> None:
        """Remove an audience that cannot be read. Raises AudienceError if Pinterest does not know it."""
        audience_id = self._audience_id
        if not self._audiences.remove(audience_id):
            raise AudienceError(
                f"there is no audience {audience_id} in ad account {self._settings.ad_account_id}: either it was "
                "deleted before, or it never existed there. Check audience_id_delete and ad_account_id"
            )
        log.info(
            "audience %s could not be read, but Pinterest accepted the request to remove it: it had already "
            "been removed",
            audience_id,
        )
