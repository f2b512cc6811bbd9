"""Read the state of an audience a day or two after it was filled, and check it against limits."""

from dataclasses import asdict, dataclass
from typing import Any

from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.models import CustomerList
from td_pinterest_op.redaction.format import format_label
from td_pinterest_op.run_history.audience_history import AudienceHistory, Members
from td_pinterest_op.settings.table import StatusSettings
from td_pinterest_op.stats import Condition, find_condition

REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """An audience as Pinterest shows it now. `status`: REMOVED if it is removed.

    `size`: about how many people are matched, None while Pinterest does not know. `members`: records in the audience's
    list, None if they are not known.
    """

    audience_id: str
    audience_name: str
    status: str
    size: int | None
    customer_list_id: str | None
    customer_list_status: str
    members: int | None = None

    @property
    def label(self) -> str:
        """The text that names the audience in messages."""
        return format_label("audience", self.audience_id, self.audience_name)

    @property
    def match_ratio(self) -> float | None:
        """The share of the members that Pinterest has matched. None while it matches, or if a number is unknown."""
        return None if self.is_waiting or self.size is None or not self.members else self.size / self.members

    @property
    def is_usable(self) -> bool:
        """Whether an ad group can use the audience now."""
        return find_condition(self.status) is Condition.READY

    @property
    def is_waiting(self) -> bool:
        """Whether Pinterest is still matching people."""
        return find_condition(self.status) is Condition.MATCHING

    @property
    def summary(self) -> str:
        """The state in one sentence."""
        people = f"{'an unknown number of' if self.size is None else f'about {self.size:,}'} matched people"
        if self.match_ratio is not None:
            people += f" ({self.match_ratio:.0%} of {self.members:,} records)"
        if self.is_usable:
            return f"The audience is ready, with {people}."
        if self.is_waiting:
            return f"Pinterest is still matching people (status {self.status or 'unknown'}). Look again tomorrow."
        if self.status == REMOVED:
            return "The audience was removed. Create a new one."
        return f"The audience is too small to use, with {people}: Pinterest needs 100."

    def to_json(self) -> dict[str, Any]:
        """Return the state as plain JSON types, for the workflow store."""
        derived = {"usable": self.is_usable, "match_ratio": self.match_ratio, "summary": self.summary}
        return asdict(self) | derived


def read_state(api: Api, audience_id: str, known: AudienceHistory | None = None) -> State:
    """Read an audience's state from Pinterest. Only the history (`known`) has the record count of its list.

    Raises AudienceError if the ad account has no audience with that id, and the client's errors.
    """
    audience = api.find_audience(audience_id)
    if audience is None:
        raise AudienceError(f"audience {audience_id} does not exist in this ad account: check both ids")
    customer_list = api.find_customer_list(audience.customer_list_id) if audience.customer_list_id else None
    return State(
        audience_id=audience.id,
        audience_name=audience.name,
        status=REMOVED if audience.is_removed else audience.status.upper(),
        size=audience.size,
        customer_list_id=audience.customer_list_id,
        customer_list_status=customer_list.status if customer_list else "",
        members=_count_members(customer_list, known.members.get(customer_list.id)) if customer_list and known else None,
    )


def _count_members(customer_list: CustomerList, known: Members | None) -> int | None:
    """Return the number of records in a list, None if Pinterest's counters show that others changed it."""
    if known is None or (known.is_sent and ((customer_list.uploaded or 0) > known.records or customer_list.removed)):
        return None
    return known.records


def find_broken_limits(state: State, settings: StatusSettings, *, previous_size: int | None) -> list[str]:
    """Return a phrase for each limit that an audience breaks. Sizes are checked only after matching."""
    broken = [f"its status is {state.status}"] if state.status in settings.fail_on else []
    if state.is_waiting or state.size is None:
        return broken
    least, most_lost = settings.min_size, settings.max_drop_ratio
    if least is not None and state.size < least:
        broken.append(f"it has {state.size:,} people, fewer than min_size ({least:,})")
    before = previous_size
    if most_lost is not None and before and state.size < before * (1 - most_lost):
        broken.append(
            f"its size fell from {before:,} to {state.size:,} people, by {(before - state.size) / before:.0%}: more "
            f"than max_drop_ratio allows ({most_lost})"
        )
    return broken
