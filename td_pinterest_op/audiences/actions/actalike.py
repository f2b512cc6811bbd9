"""Create a look-alike audience: people who resemble those of a seed audience."""

from functools import cached_property

from td_pinterest_op.audiences.actions.audience_action import AudienceAction, Step, describe_name_conflict
from td_pinterest_op.audiences.audiences import NewAudience
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.models import ACTALIKE, Audience
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.report.verdict import ReportText
from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.stats import Condition, SummaryText, find_condition

# Below this, the API description calls a list and an audience too small.
_SMALLEST_SEED = 100


class CreateActalike(AudienceAction):
    """Create a look-alike audience.

    A rerun recognises a customer-list audience of its session by the list. A look-alike audience has no list, so its
    description ends with the session key.
    """

    action = ActionSpec(
        name="create_actalike_audience",
        scopes=frozenset({Scope.NEW_AUDIENCE}),
        needs=frozenset({"audience_name", "seed_audience_id", "country", "percentage"}),
        only_once=True,
    )
    report_text = ReportText(
        headline="The look-alike audience is created",
        detail="Pinterest looks for people who are like those of the seed audience, which takes a day or two.",
        next="Look again in two days: run pinterest_status.dig, or open the audience in Ads Manager.",
        tone="waiting",
        final=False,
    )

    @property
    def _session_suffix(self) -> str:
        """The end of the description of this session's audience, by which a rerun recognises it."""
        return f"(td {self._session_key})"

    @cached_property
    def _new_audience(self) -> NewAudience:
        """The audience to create, or to resume."""
        return NewAudience(
            self._new_name, audiences=self._audiences, is_own=self._is_own, conflict=describe_name_conflict
        )

    def check(self) -> Audience | None:
        """Return the audience that this session created. Without one, check the new name and the seed audience."""
        self._stats.audience_name = self._new_name
        others, own = self._new_audience.find()
        if others and not own:
            raise AudienceError(describe_name_conflict(others[0]))
        if not own:
            self._check_seed()
        return own

    def steps(self, _prepared: Prepared) -> list[Step]:
        """Return the step that creates the audience, or that keeps the one of an earlier try of this session."""
        own = self.check()
        self._stats.summary_text = SummaryText(
            past="Created look-alike {audience}", infinitive="create look-alike {audience}"
        )
        if own:
            description = f"no change: this session already created {own.label}"
            return [Step(description=description, run=lambda: self._put_into_stats(self._new_audience.resume(own)))]
        description = (
            f'create audience "{self._new_name}": the {self._settings.percentage} % of the people in '
            f"{self._settings.country} who are most like audience {self._settings.seed_audience_id}"
        )
        return [Step(description=description, request_count=1, run=self._create_audience)]

    def _create_audience(self) -> None:
        self._new_audience.wait_for_consistency()
        own = self.check()
        self._put_into_stats(
            self._new_audience.resume(own) if own else self._new_audience.create(self._request_creation)
        )
        self._new_audience.remove_late_duplicates()

    def _request_creation(self) -> Audience:
        """Send the request that creates the audience."""
        settings = self._settings
        return self._api.create_audience(
            name=self._new_name,
            description=" ".join(filter(None, (settings.audience_description, self._session_suffix))),
            audience_type=ACTALIKE,
            rule={
                "seed_id": [settings.seed_audience_id],
                "country": settings.country,
                "percentage": settings.percentage,
            },
        )

    def _is_own(self, audience: Audience) -> bool:
        """Return whether this session created the audience."""
        return audience.audience_type == ACTALIKE and audience.description.endswith(self._session_suffix)

    def _check_seed(self) -> None:
        """Raise AudienceError for a seed audience that Pinterest cannot use, or cannot use yet."""
        seed_id = self._settings.seed_audience_id or ""
        seed = self._api.find_audience(seed_id)
        if seed is None or seed.is_removed:
            raise AudienceError(
                f"there is no seed audience {seed_id} in ad account {self._api.ad_account_id}: check both ids"
            )
        # The status first: while Pinterest fills an audience, its size is no measure.
        condition = find_condition(seed.status)
        if condition is not Condition.READY:
            why = (
                f"Pinterest needs at least {_SMALLEST_SEED} matched people in a seed audience; add people to it"
                if condition is Condition.TOO_SMALL
                else "Pinterest takes a day or two to fill an audience; run this task again then"
            )
            raise AudienceError(
                f"seed audience {seed.label} has the status {seed.status or 'unknown'}, not READY: {why}. Nothing was "
                "created"
            )
        if seed.size is not None and seed.size < _SMALLEST_SEED:
            raise AudienceError(
                f"seed audience {seed.label} has {seed.size} people, but Pinterest needs at least {_SMALLEST_SEED} to "
                "find similar people: add people to it. Nothing was created"
            )
