"""The base class of all actions: checks and preparation, then steps, and the creation of an audience."""

import abc
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.audiences.create_once import age_key, create_once, read_until_found, wait_for_consistency
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.audiences.request import ExportRequest
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Audience
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.stats import Stats, SummaryText
from td_pinterest_op.workflow.services import Services

_SIMULTANEOUS = 3600.0  # the most seconds between the creations by two sessions that run at the same time

log = logging.getLogger(__name__)

ReadRecords = Callable[[], contextlib.AbstractContextManager[PreparedRecords]]
"""Reads the rows of the request into a spool, and checks the limits of the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of an action: its text in the plan, the numbers of its requests, and its work."""

    description: str  # the step's text in the plan
    request_count: int = 0  # how many requests the step sends, without those that send batches of records
    batch_count: int = 0
    run: Callable[[], object]


class AudienceAction(abc.ABC):
    """An action on an audience. Running it twice gives the same result.

    Records go to the customer list of the audience. Methods raise AudienceError, and what the API raises.

    A session creates an audience once, even if a run is killed or a response is lost: of the session's audiences with
    the same name, all but the oldest are duplicates. If two sessions create audiences of one name at once, the first
    keeps its audience, and the other fails with the message of `_describe_conflict`.
    """

    action: ClassVar[ActionSpec]

    def __init__(self, *, request: ExportRequest, services: Services, stats: Stats, sender: Sender) -> None:
        settings = request.settings
        self._request, self._services, self._stats, self._sender = request, services, stats, sender
        self._settings, self._session_key, self._api = settings, request.task.session_key, services.pinterest
        self._batch_size = settings.limit_records_per_request
        self._audience_id, self._new_name = settings.audience_id or "", settings.audience_name or ""
        stats.audience_name = settings.audience_name
        self._audiences = Audiences(self._api)
        self._lists = CustomerLists(
            api=self._api,
            session_key=self._session_key,
            audience_id=settings.audience_id,
            audience_name=settings.audience_name,
            is_nca=settings.is_nca,
        )

    def check_audience(self) -> object:
        """Check, before any row is read, that the action can be applied to the audience. Raises AudienceError."""
        return self._find_usable_audience()

    def prepare_records(self, read_records: ReadRecords) -> contextlib.AbstractContextManager[PreparedRecords]:
        """Return a context manager that reads and checks the records to send. An action without rows has no records."""
        return read_records() if self.action.reads_rows else contextlib.nullcontext(PreparedRecords())

    @abc.abstractmethod
    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the steps of the action, and set the summary of the run. Writes nothing to Pinterest."""

    def _find_usable_audience(self, audience_id: str | None = None) -> Audience:
        """Return an audience, by default that of the settings. Raises AudienceError if its list cannot take records."""
        audience = self._audiences.find_usable(audience_id or self._audience_id)
        self._copy_to_stats(audience)
        self._check_expected_audience(audience)
        return audience

    def _check_expected_audience(self, audience: Audience | None) -> None:
        """Raise AudienceError unless the audience (None: unreadable) has the name that the settings expect."""
        expected = self._settings.expected_audience_name
        if expected is not None and (audience is None or audience.name != expected):
            seen = f'is named "{escape(audience.name)}"' if audience else "cannot be read, so its name is unknown"
            raise AudienceError(
                f'audience {self._stats.audience_id} {seen}, but expected_audience_name is "{expected}": check the id. '
                "Nothing was changed"
            )

    def _set_summary(self, *, past: str, infinitive: str) -> None:
        """Store the sentence that says what the run did (`past`) or, in a dry run, would do (`infinitive`)."""
        self._stats.summary_text = SummaryText(past=past, infinitive=infinitive)

    def _copy_to_stats(self, audience: Audience) -> None:
        """Store what is known of the audience, such as its id, name and size, in the statistics of the run."""
        self._stats.audience_id, self._stats.audience_name = audience.id, audience.name
        self._stats.customer_list_id = audience.customer_list_id
        self._stats.audience_status, self._stats.audience_size = audience.status or None, audience.size

    def _is_of_this_session(self, audience: Audience) -> bool:
        """Whether this workflow session created the audience."""
        return self._lists.is_of_this_session(audience)

    def _describe_conflict(self, audience: Audience) -> str:
        """Return the error message for another session's audience that has the name in the settings."""
        text = f'an audience named "{escape(audience.name)}" already exists (id {audience.id}): '
        if audience.audience_type == CUSTOMER_LIST:
            text += "to put people into it use action add_people_to_current_audience or replace_current_audience with "
            text += "its id, or "
        return f"{text}choose another audience_name"

    def _find_namesakes(self) -> tuple[list[Audience], list[Audience]]:
        """Return two lists of audiences with the settings' name, oldest first: other sessions', and this session's."""
        named = sorted(self._audiences.find_by_name(self._new_name), key=age_key)
        own = list(filter(self._is_of_this_session, named))
        return [audience for audience in named if audience not in own], own

    def _create_new_audience(self, create: Callable[[], Audience], *, list_id: str | None = None) -> Audience:
        """Create an audience by `create`, and remove duplicates that retries created. Returns the audience that stays.

        That audience may be an older duplicate with another list: `list_id`, unless None, is the list to switch it to.
        """
        client = self._api.client
        made, extra = create_once(
            create=create, find=lambda: next(iter(self._find_namesakes()[1]), None), client=client
        )
        kept = self._keep_oldest(made, is_new=True)
        if list_id:
            kept = self._audiences.use_list(kept, list_id=list_id)
        if extra:  # Pinterest may list a duplicate late
            self._keep_oldest(kept, is_new=True)
        self._copy_to_stats(kept)
        return kept

    def _remove_duplicates(self, audience: Audience) -> Audience:
        """If this session created `audience`, remove its duplicates. Returns the audience that is kept.

        Returns `audience` itself if another session created it, or if the action is not `only_once`.
        """
        if not self.action.only_once or not self._is_of_this_session(audience):
            return audience
        wait_for_consistency(self._api.client)
        return self._keep_oldest(audience, is_new=False)

    def _keep_oldest(self, audience: Audience, *, is_new: bool) -> Audience:
        """Keep the oldest of this session's audiences with the name of `audience`. Return it, and remove the others.

        If another session created an audience of that name first, removes all of this session's and raises
        AudienceError. For an `audience` that is not new, only other sessions' audiences of the same hour count.
        """

        def find_namesakes_if_listed() -> tuple[list[Audience], list[Audience]] | None:
            """Return other sessions' and this session's audiences of the name, or None until `audience` is listed."""
            others, own = self._find_namesakes()
            return (others, own) if audience.id in {each.id for each in others + own} else None

        # A listing that shows the audience shows every older one as well.
        others, own = read_until_found(find_namesakes_if_listed, self._api.client) or ([], [])
        oldest = own[0] if own else audience
        older = (other for other in others if age_key(other) < age_key(oldest))
        # An audience that is older than an hour stays: another audience may have been renamed to its name since.
        is_young = is_new or (audience.created or 0) >= self._api.client.timing.now() - _SIMULTANEOUS
        earlier = next((each for each in older if is_new or (is_young and _is_simultaneous(each, audience))), None)
        if earlier:
            for made in own:
                log.warning("removing audience %s: another session created an audience of the same name first", made.id)
                self._audiences.remove(made.id)
            raise AudienceError(self._describe_conflict(earlier))
        kept, *duplicates = own or [audience]
        for duplicate in duplicates:
            log.warning("removing audience %s, a duplicate of %s that this session created", duplicate.id, kept.id)
            self._audiences.remove(duplicate.id)
        self._copy_to_stats(kept)
        return kept


def _is_simultaneous(audience: Audience, other: Audience) -> bool:
    """Return whether two audiences were created within an hour: their sessions may have run at the same time."""
    if audience.created is None or other.created is None:
        return False
    return abs(audience.created - other.created) <= _SIMULTANEOUS


def get_list_id(audience: Audience) -> str:
    """Return the id of an audience's customer list, which must exist."""
    assert audience.customer_list_id is not None, "find_usable has checked this"  # noqa: S101
    return audience.customer_list_id
