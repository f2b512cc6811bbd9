"""The base class of all actions: checks and preparation, then steps, and the creation of an audience."""

import abc
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from td_pinterest_op.audiences.consistency import create_once, wait_out_listing_lag, wait_out_read_lag
from td_pinterest_op.audiences.list_name import parse_list_name, shorten_for_list_name
from td_pinterest_op.audiences.lookup import find_audiences_by_name, find_used_list, require_writable_audience
from td_pinterest_op.audiences.request import ExportRequest
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import (
    NOTHING_CHANGED,
    AudienceError,
)
from td_pinterest_op.pinterest.api import CUSTOMER_LIST_TYPE, Audience, build_age_key
from td_pinterest_op.records.columns import find_people_columns
from td_pinterest_op.records.limits import check_export_limits
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.redaction.secret import escape_and_quote
from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.stats import Stats, SummaryByTense
from td_pinterest_op.task_runtime.progress import ProgressReporter
from td_pinterest_op.task_runtime.services import Services
from td_pinterest_op.treasure_data.result import open_job_rows
from td_pinterest_op.trino.hashed_query import UserQuery, describe_query, open_hashed_rows
from td_pinterest_op.withholding.filtered_readers import open_record_reader
from td_pinterest_op.withholding.lists import fetch_list_columns, open_lists

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of an action. The descriptions of all steps are the plan that a run shows first."""

    description: str
    request_count: int = 0  # requests, without those that send batches
    batch_count: int = 0  # batches of records, each in one request
    run: Callable[[], object] = lambda: None  # carries out the step, if it changes anything


@dataclass(kw_only=True, eq=False)
class AudienceAction(abc.ABC):
    """The base class of the actions on an audience. Repeating an action changes nothing more.

    Methods raise AudienceError, and the errors of `Api`.

    A digdag session (a scheduled run of the workflow, with its retries) creates an audience only once, even if a run is
    killed or a response is lost: of several that it created, only the oldest is kept. If two sessions create audiences
    with one name at once, the older audience is kept, and the other session's run fails.
    """

    action: ClassVar[ActionSpec]

    request: ExportRequest
    services: Services
    stats: Stats  # the action adds what it finds and does
    reporter: ProgressReporter

    def __post_init__(self) -> None:
        settings = self.request.settings
        self._settings = settings
        self._session_task_key = self.services.task.session_task_key
        self._client = self.services.client
        self._sender = Sender(client=self._client, settings=settings, stats=self.stats, reporter=self.reporter)
        self._api = self.services.pinterest
        self._batch_size = settings.limit_records_per_request
        self._audience_id = settings.audience_id or ""
        self._new_name = settings.audience_name or ""
        self._created_list_ids: set[str] = set()
        self.people_query: UserQuery | None = None  # once its columns are known

    def find_and_check_audience(self) -> None:
        """Raise AudienceError if the action cannot be applied to the audience. Called before any row is read.

        Actions that read no rows check it in `plan_steps` instead.
        """
        if self.action.reads_rows:
            self._require_usable_audience()

    @contextlib.contextmanager
    def prepare_and_check_limits(self) -> Iterator[PreparedRecords]:
        """Yield the task's unique records, checked against the limits. Their files last as long as the `with` block."""
        source = self.request.source
        if source is None:  # the action reads no rows
            yield PreparedRecords()
            return
        settings = self._settings
        stats = self.stats
        sources = self.request.lists
        with contextlib.ExitStack() as stack:
            td = self.services.treasure_data
            queries = fetch_list_columns(td, sources, settings)
            on_job_id = partial(setattr, stats, "job_id")
            query: UserQuery | None = None
            if settings.hash_in == "operator":
                rows = open_job_rows(td, source, on_job_id=on_job_id)
            else:
                list_columns = {name: query.columns for name, query in queries.items()}
                find_columns = partial(find_people_columns, settings=settings, list_columns=list_columns)
                query = describe_query(td, source, find_columns)
                rows = open_hashed_rows(td, source, query, control=settings.control, on_job_id=on_job_id)
            lists = stack.enter_context(open_lists(td, sources, settings, stats, queries=queries))
            reader = stack.enter_context(open_record_reader(rows.job, settings, stats, lists=lists))
            self.people_query = query or UserQuery(text=source.query, names=rows.job.names, columns=reader.columns)
            with self.reporter.show_progress("reading", "rows", rows.job.records) as progress:
                prepared = reader.read(rows, progress=progress)
            check_export_limits(settings, stats)
            yield prepared

    @abc.abstractmethod
    def plan_steps(self, prepared: PreparedRecords) -> list[Step]:
        """Return the action's steps, and set the summary of the run. Changes nothing at Pinterest."""

    def _require_usable_audience(self, audience_id: str | None = None) -> Audience:
        """Return an audience, by default that of the settings, and copy its state to the statistics.

        Raises AudienceError if it is missing, cannot take records, or does not have the expected name.
        """
        audience = require_writable_audience(self._api, audience_id or self._audience_id)
        self._copy_to_stats(audience)
        self._require_expected_name(audience)
        return audience

    def _require_expected_name(self, audience: Audience | None) -> None:
        """Raise AudienceError if `audience` (None if it cannot be read) does not have the name that settings expect."""
        expected = self._settings.expected_audience_name
        # Settings are trimmed, and names at Pinterest are not.
        if expected is not None and (audience is None or audience.name.strip() != expected):
            seen = (
                f"is named {escape_and_quote(audience.name)}" if audience else "cannot be read, so its name is unknown"
            )
            raise AudienceError(
                f"audience {self.stats.audience_id} {seen}, but expected_audience_name is {escape_and_quote(expected)}",
                sent=NOTHING_CHANGED,
                advice="Check the id",
                subjects=[("audience", self.stats.audience_id)],
            )

    def _set_summary(self, infinitive: str, past: str = "") -> None:
        """Store the sentence that sums up the run: see `SummaryByTense`. `past`: by default, from a regular verb."""
        verb, _, rest = infinitive.partition(" ")
        self.stats.summary_text = SummaryByTense(past or f"{verb.removesuffix('e')}ed {rest}", infinitive)

    def _copy_to_stats(self, audience: Audience) -> None:
        self.stats.audience_id = audience.id
        self.stats.audience_name = audience.name
        self.stats.customer_list_id = audience.customer_list_id
        self.stats.audience_status = audience.status or None
        self.stats.audience_size = audience.size

    def _find_creator_key(self, audience: Audience) -> str | None:
        """Return the key of the session that created `audience`, from its list's name, or None if unknown."""
        if audience.customer_list_id in self._created_list_ids:  # which reads may not show yet
            return self._session_task_key
        name = parse_list_name(find_used_list(self._api, audience))
        return name.session if name and name.audience == shorten_for_list_name(self._new_name) else None

    def _build_conflict_error(self, audience: Audience) -> AudienceError:
        what = f"an audience named {escape_and_quote(audience.name)} already exists (id {audience.id})"
        if self._settings.if_exists != "fail" or self.action.finds_by_name:
            what += ": it was created while this task ran"
            advice = "Run this task again, which then uses it"
        elif audience.audience_type == CUSTOMER_LIST_TYPE:
            advice = (
                "To put people into it, use action add_people_to_current_audience or replace_current_audience with its "
                "id. Or choose another audience_name"
            )
        else:
            advice = "Choose another audience_name"
        return AudienceError(what, advice=advice, subjects=[audience.subject, ("audience", audience.name)])

    def _require_only_namesake(self, audiences: Sequence[Audience]) -> Audience:
        """Return the only one of the `audiences` with the settings' name. Raises AudienceError if there are several."""
        if len(audiences) > 1:
            ids = ", ".join(each.id for each in audiences)
            raise AudienceError(
                f"{len(audiences)} audiences are named {escape_and_quote(self._new_name)} (ids {ids})",
                advice="Name the one that you mean by its id, with an action for an existing audience",
                subjects=[("audience", self._new_name)],
            )
        return self._require_usable_audience(audiences[0].id)

    def _find_other_and_session_namesakes(self) -> tuple[list[Audience], list[Audience]]:
        """Return the audiences with the settings' name as (others, this session's), the oldest first."""
        named = sorted(find_audiences_by_name(self._api, self._new_name), key=lambda each: build_age_key(each.id))
        own = [each for each in named if self._find_creator_key(each) == self._session_task_key]
        return [each for each in named if each not in own], own

    def _find_session_audience(self) -> Audience | None:
        """Return this session's oldest audience with the settings' name, or None.

        Raises AudienceError if only another session created one.
        """
        others, own = self._find_other_and_session_namesakes()
        if others and not own:
            raise self._build_conflict_error(others[0])
        return own[0] if own else None

    def _create_once_per_session(self, create: Callable[[], Audience]) -> Audience:
        """Return the audience that this session keeps. If it has none, `create` creates one."""
        wait_out_listing_lag(self._client)
        audience = self._find_session_audience()  # it may have been created while the records were sent
        if audience is None:
            audience = create_once(
                create=create,
                find_created=lambda: next(iter(self._find_other_and_session_namesakes()[1]), None),
                client=self._client,
            )
            wait_out_read_lag(self._client)
        return self._remove_duplicates(audience)

    def _remove_duplicates_if_own(self, audience: Audience) -> Audience:
        """Return `audience` or, if this session created several with its name, the one that it keeps."""
        if not self.action.only_once or self._find_creator_key(audience) != self._session_task_key:
            return audience
        wait_out_listing_lag(self._client)
        return self._remove_duplicates(audience)

    def _remove_duplicates(self, audience: Audience) -> Audience:
        """Return this session's oldest audience with the settings' name, and remove its others.

        `audience` is one of them, and was created ten seconds ago or more: listings show it and all older ones, unless
        they were removed. If another session was first, removes all of this session's, and raises AudienceError, as it
        does if none is left.
        """
        others, own = self._find_other_and_session_namesakes()
        if not own:
            shown = self._api.find_audience(audience.id)
            if shown is None or shown.is_removed:
                raise AudienceError(
                    f"{audience.label}, which this session created, was removed, or Pinterest does not show it yet",
                    advice="Run this task again",
                    subjects=[audience.subject],
                )
            own = [shown]
        kept = own[0]
        # An older audience that was given this name later is no rival.
        rivals = [
            each for each in others if build_age_key(each.id) < build_age_key(kept.id) and self._find_creator_key(each)
        ]
        removed = own if rivals else own[1:]
        older = rivals[0] if rivals else kept
        for duplicate in removed:
            log.warning("removing audience %s, which this session created: %s is older", duplicate.id, older.id)
            self._api.remove_audience(duplicate.id)
        if rivals:
            raise self._build_conflict_error(rivals[0])
        self._copy_to_stats(kept)
        return kept


def get_list_id(audience: Audience) -> str:
    """Return the id of the list that an audience is known to have."""
    assert audience.customer_list_id is not None, "require_writable_audience has checked this"  # noqa: S101
    return audience.customer_list_id
