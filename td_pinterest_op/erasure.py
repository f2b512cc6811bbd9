"""Erasure: `py>: td_pinterest_op.erasure.PinterestErasure` in a .dig file.

It removes a query's people from every customer list of several ad accounts, and from the ledgers of mirrors. Lists that
no audience uses are included: they keep their members, and cannot be deleted.
"""

import contextlib
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast

from td_pinterest_op import __version__
from td_pinterest_op.audiences.consistency import POLL_WAITS
from td_pinterest_op.audiences.request import parse_task_request
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import ExportError, JobError, PinterestError, SettingsError, StoppedError, UnexpectedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.mirroring.ledger import require_ledger_columns
from td_pinterest_op.records.columns import find_identifier_columns
from td_pinterest_op.records.limits import check_invalid_values
from td_pinterest_op.records.prepared import Batch, PreparedRecords
from td_pinterest_op.records.readers import IdentifierRecordReader
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.redaction.secret import mask_and_escape
from td_pinterest_op.run_history.history_table import HistoryRow, build_run_row
from td_pinterest_op.runtime.clock import SYSTEM_TIMING, Timing
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.table import ERASURE_SETTINGS, ErasureSettings
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.outcome import Outcome, open_history, publishing
from td_pinterest_op.task_runtime.process import GuardedTaskRun
from td_pinterest_op.task_runtime.progress import ProgressReporter
from td_pinterest_op.task_runtime.services import Services, connect_services
from td_pinterest_op.task_runtime.task import Task, get_current_task, store_workflow_values
from td_pinterest_op.treasure_data.job import JobOrQuery, run_statement_job
from td_pinterest_op.treasure_data.quoting import quote_name
from td_pinterest_op.treasure_data.result import open_job_rows, read_small_result
from td_pinterest_op.treasure_data.tables import list_tables
from td_pinterest_op.treasure_data.user_sql import HASHING_ENGINES
from td_pinterest_op.trino.hashed_query import UserQuery, prepend_comments
from td_pinterest_op.trino.withholding_sql import build_list_digests_select

log = logging.getLogger(__name__)

_REPEAT_ADVICE = "Repeating the whole erasure does no harm"
_RUN_AGAIN = f"Run this task again. {_REPEAT_ADVICE}"


class PinterestErasure:
    """The operator that erases a query's people from the ad accounts in the settings."""

    def run(self) -> None:
        """Erase the people of the current task, and store the receipt as the parameter `pinterest_erasure`."""
        with GuardedTaskRun():
            store_workflow_values(pinterest_erasure=erase_people(get_current_task(), SYSTEM_TIMING))


def erase_people(task: Task, timing: Timing) -> dict[str, Any]:
    """Erase the people of the task's query. Returns the receipt: counts, and what each list accepted, in JSON types.

    Raises ExportError, whose message names the lists that failed.
    """
    log.info("td_pinterest_op %s", __version__)
    request = parse_task_request(task, table=ERASURE_SETTINGS)
    settings = request.settings
    stats = Stats(
        action="erase",
        ad_account_id=settings.ad_account_ids[0],
        dry_run=settings.dry_run,
        for_this_run=settings.for_this_run,
    )
    with connect_services(task, settings, timing=timing, counts=stats.requests, needs_scopes=True) as services:
        erasure = _Erasure(settings=settings, stats=stats, services=services)
        outcome = Outcome(
            get_subjects=lambda: [("ad account", account) for account in settings.ad_account_ids],
            build_rows=lambda: [erasure.build_history_row()],
            history=open_history(services, settings.history),
        )
        with publishing(services, outcome):
            return erasure.erase_and_build_receipt(cast("JobOrQuery", request.source))


@dataclass
class _ListRemovalResult:
    """A customer list to remove people from, or an ad account with unreadable lists, which has only a `reason`."""

    ad_account_id: str
    customer_list_id: str | None = None
    customer_list_name: str | None = None
    records: int = 0  # accepted removals
    request_ids: list[str] = field(default_factory=list)  # the accepted requests
    reason: str = ""  # why not all were accepted, or ""

    @property
    def label(self) -> str:
        named = self.customer_list_id and f'customer list {self.customer_list_id} "{self.customer_list_name}"'
        return f"{named or 'unread lists'} of ad account {self.ad_account_id}"

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "reason" or value}


@dataclass(kw_only=True)
class _Erasure:
    settings: ErasureSettings
    stats: Stats
    services: Services
    targets: list[_ListRemovalResult] = field(default_factory=list)
    unread: list[_ListRemovalResult] = field(default_factory=list)  # ad accounts whose lists cannot be read
    # Of the errors of single lists and accounts, which may all have the same advice.
    _advice: list[str] = field(default_factory=list)

    @property
    def _finished_targets(self) -> list[_ListRemovalResult]:
        """The lists that accepted all removals: none in a dry run, or if there is nobody to remove."""
        return [each for each in self.targets if each.records == self.stats.unique > 0]

    @property
    def _failed_targets(self) -> list[_ListRemovalResult]:
        """The lists with people left, and the ad accounts whose lists cannot be read."""
        return [each for each in (*self.targets, *self.unread) if each.reason]

    def erase_and_build_receipt(self, source: JobOrQuery) -> dict[str, Any]:
        ledgers = self._require_ledger_tables(source)
        with contextlib.closing(Spool()) as spool:
            # Before the accounts, whose errors end no run: a refused token concerns all of them.
            self.services.tokens.get_token()
            lists = self._find_new_lists()
            query, prepared = self._read_people(source, spool)
            self._log_plan(ledgers)
            is_erasing = self.stats.unique > 0 and not self.settings.dry_run
            if is_erasing:
                self._remove_from_lists(lists, prepared)
        cleaned: list[str] = []
        failure: ExportError | None = None
        try:
            self._require_all_lists_finished()
            # Only now: while somebody is in a list, the ledger must say so, or no mirror would remove them.
            if is_erasing and ledgers:
                self._delete_from_ledgers(ledgers, cleaned, source, query)
        except StoppedError:
            raise
        except ExportError as error:
            failure = error
        receipt = self._build_receipt(cleaned)
        log.info("receipt: %s", json.dumps(receipt))
        if not ledgers:
            log.info(
                "`ledgers` names no ledger: a mirror counts these people as members until its next run removes them, "
                "or, if they are not in its `suppress`, adds them again within `resend_days`"
            )
        log.info("adds and mirrors send these people again, unless they are in the lists `suppress` of those tasks")
        if failure:
            raise failure
        return receipt

    def _log_plan(self, ledgers: Sequence[str]) -> None:
        requests = len(self.targets) * math.ceil(self.stats.unique / self.settings.limit_records_per_request)
        log.info(
            "plan: remove %s from each of %s in %s, %s%s%s",
            format_count(self.stats.unique, "record"),
            format_count(len(self.targets), "customer list"),
            format_count(len(self.settings.ad_account_ids), "ad account"),
            format_count(requests, "request"),
            f", and delete them from {', '.join(ledgers)}" if ledgers else "",
            " (dry run: nothing is written)" if self.settings.dry_run else "",
        )

    def _remove_from_lists(self, lists: Sequence[_ListRemovalResult], prepared: PreparedRecords) -> None:
        """Remove the people from these lists, and from those that are made meanwhile, such as by a replace."""
        number = 0
        while True:
            for each in lists:
                number += 1
                self._remove_from_list(each, prepared)
                log.info("%d of %d: %s: %d records removed", number, len(self.targets), each.label, each.records)
            self.services.client.rate_limiter.wait(sum(POLL_WAITS))  # listings may lag
            if not (lists := self._find_new_lists()):
                return

    def _require_all_lists_finished(self) -> None:
        """Raise PinterestError if a list has people left, or could not be read."""
        failed = self._failed_targets
        if failed and self.stats.unique:
            advice = dict.fromkeys(filter(None, self._advice)) or ["Run this task again"]
            named = "; ".join(f"{each.label}: {each.reason}" for each in failed)
            raise PinterestError(
                f"{len(failed)} of {len(self.targets) + len(self.unread)} lists may still contain people who opted "
                f"out: {named}. Lists that are finished: {len(self._finished_targets)}",
                advice=". ".join([*advice, _REPEAT_ADVICE]),
                subjects=[("ad account", each.ad_account_id) for each in failed],
            )

    def _delete_from_ledgers(
        self, ledgers: Sequence[str], cleaned: list[str], source: JobOrQuery, query: UserQuery
    ) -> None:
        """Delete the people from each ledger, and add its name to `cleaned`."""
        try:
            self._require_hashable_addresses(source, query)
            for ledger in ledgers:
                self._delete_from_ledger(ledger, source, query)
                cleaned.append(ledger)
        except StoppedError:
            raise
        except ExportError as error:
            left = ", ".join(ledgers[len(cleaned) :])
            error.sent = f"Pinterest was asked to remove the people, but {left} may still have them"
            error.advice = _RUN_AGAIN
            raise

    def _build_receipt(self, cleaned: Sequence[str]) -> dict[str, Any]:
        """Return the receipt. `cleaned`: the ledgers that the people were deleted from."""
        statistics = self.stats.to_json()
        return {
            "erased_at": self.services.timing.get_utc_time().isoformat(timespec="seconds"),
            **{name: statistics[name] for name in ("job_id", "dry_run", "version", "rows")},
            "records": self.stats.unique,
            "accounts": len(self.settings.ad_account_ids),
            "requests": statistics["requests"],
            "lists": len(self.targets),
            "ledgers": list(cleaned),
            "summary": self.summary,
            "receipt": [each.to_json() for each in self._finished_targets],
            "failed": [each.to_json() for each in self._failed_targets],
        }

    def build_history_row(self) -> HistoryRow:
        statistics = self.stats.to_json()
        # The records sent are counted list by list, in the receipt.
        for name in ("sent", "refused"):
            del statistics["records"][name]
        counts = {"accounts": len(self.settings.ad_account_ids), "lists": len(self.targets)}
        return build_run_row({**statistics, "summary": self.summary, "erasure": counts})

    def _require_ledger_tables(self, source: JobOrQuery) -> list[str]:
        """Check that the `ledgers` are ledgers. Return their names with databases."""
        ledgers = self.settings.ledgers
        if ledgers and (source.job_id is not None or source.engine not in HASHING_ENGINES):
            raise SettingsError(
                "ledgers needs `query` and `database` on this task, and the engine presto or trino: by this query the "
                "warehouse finds whom to delete from these tables",
                key="ledgers",
            )
        names = []
        for ledger in ledgers:
            database = ledger.database or source.database
            name = f"{database}.{ledger.table}"
            table = list_tables(self.services.treasure_data, database).get(ledger.table)
            if table is None:
                raise JobError(f"there is no table {name}, which `ledgers` names")
            require_ledger_columns(table.columns, name)
            names.append(name)
        return names

    def _require_hashable_addresses(self, source: JobOrQuery, query: UserQuery) -> None:
        """Raise JobError if the query has addresses that only the operator can hash: no ledger row would be found."""
        statement = (
            f"SELECT answer FROM (\n{build_list_digests_select(query)}\n) WHERE answer = '{Reason.UNSURE.value}'"  # noqa: S608
        )
        purpose = "look for addresses that the warehouse cannot hash"
        if read_small_result(self.services.treasure_data, _build_source(source, query, statement, purpose)):
            raise JobError(
                "the query has addresses that the warehouse cannot hash: replace each with the SHA-256 of its "
                "lowercase form"
            )

    def _delete_from_ledger(self, ledger: str, source: JobOrQuery, query: UserQuery) -> None:
        table = ".".join(map(quote_name, ledger.split(".")))
        # The query again, not its digests: Treasure Data keeps the text of a job.
        statement = (
            f"DELETE FROM {table} WHERE digest IN (\nSELECT answer FROM (\n{build_list_digests_select(query)}\n))"  # noqa: S608
        )
        purpose = "delete people from a mirror's ledger"
        run_statement_job(self.services.treasure_data, _build_source(source, query, statement, purpose))

    def _find_new_lists(self) -> list[_ListRemovalResult]:
        known = {each.customer_list_id for each in self.targets}
        unread = {each.ad_account_id for each in self.unread}
        found: list[_ListRemovalResult] = []
        for account in self.settings.ad_account_ids:
            if account in unread:
                continue
            try:
                for each in self.services.build_pinterest_api(account).list_customer_lists():
                    if each.id not in known:
                        found.append(_ListRemovalResult(account, each.id, mask_and_escape(each.name, longest=255)))
            except StoppedError:
                raise
            except ExportError as error:
                log.warning("customer lists of ad account %s cannot be read: %s", account, error)
                self.unread.append(_ListRemovalResult(account, reason=error.describe(advises=False)))
                self._advice.append(error.advice)
        self.targets += found
        return found

    def _read_people(self, source: JobOrQuery, spool: Spool) -> tuple[UserQuery, PreparedRecords]:
        stats = self.stats
        rows = open_job_rows(self.services.treasure_data, source, on_job_id=partial(setattr, stats, "job_id"))
        columns = find_identifier_columns(rows.job, self.settings.columns)
        types = {column.type.name for column in columns}
        missing = [name for name in CUSTOMER_LIST_TYPES if name not in types]
        if missing:
            log.warning(
                "the query selects no %s, so people are not removed from customer lists of that type. Select those "
                "columns too, if the warehouse has them",
                " and no ".join(missing),
            )
        reader = IdentifierRecordReader(columns=columns, stats=stats, spool=spool)
        reporter = ProgressReporter(timing=self.services.timing)
        with reporter.show_progress("reading", "rows", rows.job.records) as progress:
            prepared = reader.read(rows, progress=progress)
        check_invalid_values(self.settings, stats)
        return UserQuery(text=source.query, names=rows.job.names, columns=columns), prepared

    def _remove_from_list(self, target: _ListRemovalResult, prepared: PreparedRecords) -> None:
        """Remove the records from a list, and store the outcome in `target`. Raises errors that concern all lists."""
        count = prepared.record_count
        stats = Stats(ad_account_id=target.ad_account_id, unique=count, requests=self.stats.requests)
        # A refusal by one list stops the requests to no other.
        services = self.services.for_another_run(self.services.task, stats)
        reporter = ProgressReporter(timing=services.timing)
        sender = Sender(
            client=services.client, settings=self.settings, stats=stats, reporter=reporter, repeat_advice=""
        )

        def remove_batch(records: Batch) -> Response:
            list_id = target.customer_list_id or ""
            response = services.pinterest.change_records(list_id, records, operation="REMOVE")
            # Called from several threads: append is atomic.
            target.request_ids.append(response.request_id)
            return response

        try:
            sender.send(prepared, remove_batch)
        except (StoppedError, UnexpectedError):
            raise
        except ExportError as error:
            target.reason = error.describe(advises=False)
            self._advice.append(error.advice)
        else:
            if stats.sent != count:
                target.reason = f"Pinterest accepted {stats.sent:,} of the records, and refused {stats.refused:,}"
        target.records = stats.sent

    @property
    def summary(self) -> str:
        """A sentence about the requested removals. Pinterest does not report the actual ones."""
        records = format_count(self.stats.unique, "record")
        lists = format_count(len(self.targets), "customer list")
        unread = format_count(len(self.unread), "ad account")
        more = f"; lists of {unread} cannot be read" if self.unread else ""
        more += self.stats.run_only_settings_text
        if self.settings.dry_run:
            return f"Dry run: Pinterest would be asked to remove {records} from {lists}{more}; nothing was written."
        return f"Pinterest was asked to remove {records} from {len(self._finished_targets):,} of {lists}{more}."


def _build_source(source: JobOrQuery, query: UserQuery, statement: str, purpose: str) -> JobOrQuery:
    text = prepend_comments(statement, f"td_pinterest_op: {purpose}", query=query.text)
    return source.replace_query(text, adopts=False, purpose=purpose)
