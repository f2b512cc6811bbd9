"""The base class of all actions: checks and preparation, then steps."""

import abc
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from td_pinterest_op.audiences.audiences import Audiences, NewAudience
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.audiences.request import ExportRequest
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.models import CUSTOMER_LIST, Audience
from td_pinterest_op.records.read import PreparedRecords
from td_pinterest_op.redaction.format import escape
from td_pinterest_op.report.verdict import ReportText
from td_pinterest_op.settings.action import ActionSpec
from td_pinterest_op.stats import Stats, SummaryText
from td_pinterest_op.workflow.services import Services

ReadRecords = Callable[[], contextlib.AbstractContextManager[PreparedRecords]]
"""Reads the rows of the request into a spool, and checks the limits of the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of an action. `description`: its text in the plan. `request_count`: its requests other than batches."""

    description: str
    request_count: int = 0
    run: Callable[[], object]


class AudienceAction(abc.ABC):
    """An action on an audience. Running it twice gives the same result.

    The user names an audience; records go to its customer list. Methods raise AudienceError when the action cannot be
    done, and what the API raises.
    """

    action: ClassVar[ActionSpec]
    report_text: ClassVar[ReportText]

    def __init__(self, *, request: ExportRequest, services: Services, stats: Stats, sender: Sender) -> None:
        self._request, self._services, self._stats, self._sender = request, services, stats, sender
        self._settings, self._session_key, self._api = request.settings, request.task.session_key, services.pinterest
        settings = request.settings
        self._audience_id, self._new_name = settings.audience_id or "", settings.audience_name or ""
        self._audiences = Audiences(self._api)
        self._lists = CustomerLists(
            api=self._api,
            session_key=self._session_key,
            audience_id=settings.audience_id,
            audience_name=settings.audience_name,
            is_nca=settings.is_nca,
        )
        self._new_audience = NewAudience(
            name=self._new_name,
            audiences=self._audiences,
            is_own=self._is_of_this_session,
            describe_conflict=self._describe_conflict,
        )

    def _is_of_this_session(self, audience: Audience) -> bool:
        """Return whether this session created the audience."""
        return self._lists.is_of_this_session(audience)

    def _describe_conflict(self, audience: Audience) -> str:
        """Return the error message for another session's audience that already has the new name."""
        text = f'an audience named "{escape(audience.name)}" already exists (id {audience.id}): '
        if audience.audience_type == CUSTOMER_LIST:
            text += "to put people into it use action add_people_to_current_audience or replace_current_audience with "
            text += "its id, or "
        return f"{text}choose another audience_name"

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
        """Return an audience (default: that of the settings). Raises AudienceError if it cannot take records."""
        audience = self._audiences.find_usable(audience_id or self._audience_id)
        self._copy_to_stats(audience)
        self._check_audience_name(audience)
        return audience

    def _check_audience_name(self, audience: Audience | None) -> None:
        """Raise AudienceError if the audience does not have the name that the settings expect."""
        expected = self._settings.expected_audience_name
        if expected is not None and (audience is None or audience.name != expected):
            seen = f'is named "{escape(audience.name)}"' if audience else "cannot be read, so its name is unknown"
            raise AudienceError(
                f'audience {self._stats.audience_id} {seen}; expected_audience_name is "{expected}": check the id. '
                "Nothing was changed"
            )

    def _set_summary(self, *, past: str, infinitive: str) -> None:
        """Set the summary in the statistics: the text after a run (`past`) and that of a dry run (`infinitive`)."""
        self._stats.summary_text = SummaryText(past=past, infinitive=infinitive)

    def _copy_to_stats(self, audience: Audience) -> None:
        """Copy the audience's id, name, list, status and size into the statistics."""
        self._stats.audience_id, self._stats.audience_name = audience.id, audience.name
        self._stats.customer_list_id = audience.customer_list_id
        self._stats.audience_status, self._stats.audience_size = audience.status or None, audience.size


def get_list_id(audience: Audience) -> str:
    """Return the id of an audience's customer list, which must exist."""
    assert audience.customer_list_id is not None, "find_usable has checked this"  # noqa: S101
    return audience.customer_list_id
