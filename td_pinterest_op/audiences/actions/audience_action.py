"""The base class of all actions: checks and preparation, then steps, and the creation of an audience."""

import abc
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.audiences.consistency import read_until_found, wait_for_consistency
from td_pinterest_op.audiences.create_once import create_once
from td_pinterest_op.audiences.customer_lists import (
    CustomerLists,
    find_list,
    get_list_name,
    shorten_audience_name,
)
from td_pinterest_op.audiences.request import ExportRequest
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Audience, age_key
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.stats import Stats, SummaryText
from td_pinterest_op.workflow.services import Services

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
        self._request = request
        self._services = services
        self._stats = stats
        self._sender = sender
        self._settings = settings
        self._session_key = request.task.session_key
        self._api = services.pinterest
        self._batch_size = settings.limit_records_per_request
        self._audience_id = settings.audience_id or ""
        self._new_name = settings.audience_name or ""
        stats.audience_name = settings.audience_name
        self._audiences = Audiences(self._api)
        self._lists = CustomerLists(api=self._api, session_key=self._session_key, is_nca=settings.is_nca)

    def check_audience(self) -> None:
        """Check, before any row is read, that the action can be applied to the audience. Raises AudienceError."""
        self._find_usable_audience()

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
        self._stats.audience_id = audience.id
        self._stats.audience_name = audience.name
        self._stats.customer_list_id = audience.customer_list_id
        self._stats.audience_status = audience.status or None
        self._stats.audience_size = audience.size

    def _is_of_this_session(self, audience: Audience) -> bool:
        """Whether this workflow session created the audience."""
        return self._lists.is_of_this_session(audience)

    def _is_of_any_session(self, audience: Audience) -> bool:
        """Whether a workflow session created the audience, under the name in the settings."""
        name = get_list_name(find_list(self._api, audience))
        return name is not None and name.audience == shorten_audience_name(self._new_name)

    def _describe_conflict(self, audience: Audience) -> str:
        """Return the error message for another session's audience that has the name in the settings."""
        text = f'an audience named "{escape(audience.name)}" already exists (id {audience.id}): '
        if audience.audience_type == CUSTOMER_LIST:
            text += "to put people into it use action add_people_to_current_audience or replace_current_audience with "
            text += "its id, or "
        return f"{text}choose another audience_name"

    def _find_namesakes(self) -> tuple[list[Audience], list[Audience]]:
        """Return two lists of audiences with the settings' name, oldest first: other sessions', and this session's."""
        named = sorted(self._audiences.find_by_name(self._new_name), key=lambda audience: age_key(audience.id))
        own = list(filter(self._is_of_this_session, named))
        return [audience for audience in named if audience not in own], own

    def _create_new_audience(self, create: Callable[[], Audience]) -> Audience:
        """Create an audience by `create`, and return the session's audience that stays: it may be an older duplicate.

        Raises AudienceError, and withdraws the new audience, if there was another one of that name first.
        """
        made = create_once(
            create=create, find=lambda: next(iter(self._find_namesakes()[1]), None), client=self._api.client
        )
        others, own = self._find_namesakes_once_listed(made)
        return self._keep_oldest(own or [made], rivals=others)

    def _keep_session_audience(self, audience: Audience) -> Audience:
        """Remove the duplicates of the audience that this session created, and return the one that stays.

        Returns `audience` itself if this session did not create it. Raises AudienceError, and withdraws the session's
        audiences, if a session that ran at the same time created an audience of that name first.
        """
        if not self._is_of_this_session(audience):
            return audience
        wait_for_consistency(self._api.client)
        others, own = self._find_namesakes_once_listed(audience)
        # Another audience may have got this name since.
        return self._keep_oldest(own or [audience], rivals=filter(self._is_of_any_session, others))

    def _find_namesakes_once_listed(self, audience: Audience) -> tuple[list[Audience], list[Audience]]:
        """Return what `_find_namesakes` does, once it contains `audience`, and so every older one. Else empty lists."""

        def find_namesakes() -> tuple[list[Audience], list[Audience]] | None:
            """Return other sessions' and this session's audiences of the name, or None until `audience` is listed."""
            others, own = self._find_namesakes()
            return (others, own) if audience.id in {each.id for each in others + own} else None

        return read_until_found(find_namesakes, self._api.client) or ([], [])

    def _keep_oldest(self, own: Sequence[Audience], *, rivals: Iterable[Audience]) -> Audience:
        """Return the oldest of the session's audiences, and remove the others, or all if a rival is older.

        Raises AudienceError for an older rival.
        """
        kept = own[0]
        rival = next((other for other in rivals if age_key(other.id) < age_key(kept.id)), None)
        if rival:
            self._remove_audiences(own, "another session created an audience of the same name first")
            raise AudienceError(self._describe_conflict(rival))
        self._remove_audiences(own[1:], f"it is a duplicate of {kept.id}")
        self._copy_to_stats(kept)
        return kept

    def _remove_audiences(self, audiences: Iterable[Audience], reason: str) -> None:
        """Remove audiences that this session created."""
        for audience in audiences:
            log.warning("removing audience %s, which this session created: %s", audience.id, reason)
            self._audiences.remove(audience.id)


def get_list_id(audience: Audience) -> str:
    """Return the id of an audience's customer list, which must exist."""
    assert audience.customer_list_id is not None, "find_usable has checked this"  # noqa: S101
    return audience.customer_list_id
