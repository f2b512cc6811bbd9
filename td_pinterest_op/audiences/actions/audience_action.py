"""The base class of all actions: checks and preparation, then steps."""

import abc
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.audiences.request import ExportRequest
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.audiences.usage import require_unused
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.models import CUSTOMER_LIST, Audience
from td_pinterest_op.records.read import PreparedRecords
from td_pinterest_op.redaction.format import escape
from td_pinterest_op.report.verdict import ReportText
from td_pinterest_op.settings.action import ActionSpec
from td_pinterest_op.stats import Stats
from td_pinterest_op.workflow.services import Services

ReadRecords = Callable[[], contextlib.AbstractContextManager[PreparedRecords]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of an action. `description`: its text in the plan. `request_count`: its requests, batches excluded."""

    description: str
    request_count: int = 0
    run: Callable[[], object]


class AudienceAction(abc.ABC):
    """An action on an audience. Running it twice gives the same result. `stats` are the run's figures.

    The user names an audience; records go to its customer list (`rule.customer_list_id`).

    Methods raise AudienceError when the action cannot be done, and what the API raises.
    """

    action: ClassVar[ActionSpec]
    report_text: ClassVar[ReportText]

    def __init__(self, *, request: ExportRequest, services: Services, stats: Stats, sender: Sender) -> None:
        self._request, self._services, self._stats, self._sender = request, services, stats, sender
        self._settings, self._session_key = request.settings, request.task.session_key
        self._api, settings = services.pinterest, request.settings
        self._lists = self._build_customer_lists(self._session_key, settings.audience_id, settings.audience_name)
        self._audiences = Audiences(self._api)

    def _build_customer_lists(
        self, session_key: str, audience_id: str | None, audience_name: str | None
    ) -> CustomerLists:
        """Return the customer lists that a session created for an audience."""
        return CustomerLists(
            api=self._api,
            session_key=session_key,
            audience_id=audience_id,
            audience_name=audience_name,
            is_nca=self._settings.is_nca,
        )

    @property
    def _audience_id(self) -> str:
        """The id of the audience that the settings name, "" without one."""
        return self._settings.audience_id or ""

    @property
    def _new_name(self) -> str:
        """The name of the audience to create, "" without one."""
        return self._settings.audience_name or ""

    def check(self) -> object:
        """Check, before any row is read, that the action can be done with the audience."""
        return self._find_usable()

    def prepare(self, read_records: ReadRecords) -> contextlib.AbstractContextManager[PreparedRecords]:
        """Prepare the records to send, and free them at the end of the block.

        `read_records` reads the request's rows into a spool and checks the limits. An action without rows makes no
        spool, and needs no temporary folder.
        """
        return read_records() if self.action.reads_rows else contextlib.nullcontext(PreparedRecords())

    @abc.abstractmethod
    def steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the steps, and describe them in `Stats.summary_text`. Writes nothing to Pinterest."""

    def _find_usable(self, audience_id: str | None = None) -> Audience:
        """Return an audience, by default that of the settings. Raises AudienceError if it cannot take records."""
        audience = self._audiences.find_usable(audience_id or self._audience_id)
        self._put_into_stats(audience)
        self._check_name(audience)
        return audience

    def _require_unused(self, audience: Audience) -> None:
        """Raise AudienceError if active ad groups use the audience, unless the settings allow that."""
        if not self._settings.even_if_used:
            require_unused(self._api, audience)

    def _check_name(self, audience: Audience | None) -> None:
        """Raise AudienceError if the audience does not have the name that the settings expect."""
        expected = self._settings.expected_audience_name
        if expected is not None and (audience is None or audience.name != expected):
            seen = f'is named "{escape(audience.name)}"' if audience else "cannot be read, so its name is unknown"
            raise AudienceError(
                f'audience {self._stats.audience_id} {seen}; expected_audience_name is "{expected}": check the id. '
                "Nothing was changed"
            )

    def _put_into_stats(self, audience: Audience) -> None:
        """Copy the audience's id, name, list, status and size into the statistics."""
        self._stats.audience_id, self._stats.audience_name = audience.id, audience.name
        self._stats.customer_list_id = audience.customer_list_id
        self._stats.audience_status, self._stats.audience_size = audience.status or None, audience.size


def list_id_of(audience: Audience) -> str:
    """Return the id of an audience's customer list. `Audiences.find_usable` has checked that it has one."""
    assert audience.customer_list_id is not None, "find_usable has checked this"  # noqa: S101
    return audience.customer_list_id


def describe_name_conflict(audience: Audience) -> str:
    """Return the error message for an audience that already has the name of the one to create."""
    use = "to put people into it use action add_people_to_current_audience or replace_current_audience with its id, or "
    return (
        f'an audience named "{escape(audience.name)}" already exists (id {audience.id}): '
        f"{use if audience.audience_type == CUSTOMER_LIST else ''}choose another audience_name"
    )
