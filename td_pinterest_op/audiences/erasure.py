"""Remove people from every customer list of several ad accounts, with a receipt for each list.

Orphaned lists are included: Pinterest still has their members, and a list cannot be deleted.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.errors import ExportError, PinterestError, StoppedError, UnexpectedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.models import CustomerList
from td_pinterest_op.records.batch import Batch
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.redaction.format import format_count
from td_pinterest_op.settings.table import ErasureSettings
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

MakeSender = Callable[..., Sender]  # takes `stats`


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A customer list to remove people from, and the outcome. No list: the ad account cannot be read.

    `records`: how many removals the list accepted, in `request_ids`. `reason`: why not all, "" if nothing is wrong.
    """

    ad_account_id: str
    customer_list: CustomerList | None
    records: int = 0
    request_ids: Sequence[str] = ()
    reason: str = ""

    @property
    def label(self) -> str:
        """The text that names the list in messages."""
        if self.customer_list is None:
            return f"the lists of ad account {self.ad_account_id}"
        return f"{self.customer_list.label} of ad account {self.ad_account_id}"

    def to_json(self) -> dict[str, Any]:
        """Return the target as plain JSON types, without any digest or value."""
        row = {
            "ad_account_id": self.ad_account_id,
            "customer_list_id": self.customer_list.id if self.customer_list else None,
            "customer_list_name": self.customer_list.name if self.customer_list else None,
            "records": self.records,
            "request_ids": list(self.request_ids),
        }
        return row | ({"reason": self.reason} if self.reason else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The outcome for all targets. `records`: how many removals each list has to accept."""

    targets: Sequence[Target]
    records: int
    dry_run: bool

    @property
    def _succeeded_targets(self) -> list[Target]:
        return [] if self.dry_run or not self.records else [target for target in self.targets if not target.reason]

    @property
    def _failed_targets(self) -> list[Target]:
        return [target for target in self.targets if target.reason]

    @property
    def _list_count(self) -> int:
        return sum(target.customer_list is not None for target in self.targets)

    @property
    def summary(self) -> str:
        """The requested removals in one sentence. Pinterest does not report how many of the people a list had."""
        records, lists = format_count(self.records, "record"), format_count(self._list_count, "customer list")
        unread = len(self.targets) - self._list_count
        more = f"; the lists of {format_count(unread, 'ad account')} cannot be read" if unread else ""
        if self.dry_run:
            return f"Dry run: Pinterest would be asked to remove {records} from {lists}{more}; nothing was written."
        return f"Pinterest was asked to remove {records} from {len(self._succeeded_targets):,} of {lists}{more}."

    def to_json(self) -> dict[str, Any]:
        """Return the receipt as plain JSON types, without any digest or value."""
        return {
            "lists": self._list_count,
            "summary": self.summary,
            "receipt": [target.to_json() for target in self._succeeded_targets],
            "failed": [target.to_json() for target in self._failed_targets],
        }

    def raise_for_failed(self) -> None:
        """Raise PinterestError if lists did not accept all removals. The message names each of them."""
        if not self._failed_targets or not self.records:
            return
        named = "; ".join(f"{target.label}: {target.reason}" for target in self._failed_targets)
        others = "Nothing was written" if self.dry_run else f"{len(self._succeeded_targets)} lists are finished"
        raise PinterestError(
            f"{len(self._failed_targets)} of {len(self.targets)} lists may still contain people who opted out: "
            f"{named}. {others}. Run this task again: repeating the whole erasure does no harm"
        )


def find_targets(apis: Mapping[str, Api]) -> list[Target]:
    """Return a target for each customer list of the ad accounts, and for each account that cannot be read."""
    targets = []
    for account, api in apis.items():
        try:
            targets += [Target(ad_account_id=account, customer_list=listed) for listed in api.list_customer_lists()]
        except StoppedError:
            raise
        except ExportError as error:
            log.warning("the customer lists of ad account %s cannot be read: %s", account, error)
            targets.append(Target(ad_account_id=account, customer_list=None, reason=str(error)))
    return targets


def describe_plan(targets: Sequence[Target], *, records: int, settings: ErasureSettings) -> str:
    """Return the log message on what the erasure will request."""
    lists = sum(target.customer_list is not None for target in targets)
    accounts = len({target.ad_account_id for target in targets})
    requests = lists * math.ceil(records / settings.limit_records_per_request)
    pace = settings.requests_per_minute
    return (
        f"plan: remove {records:,} records from each of {lists:,} customer lists in {accounts:,} ad accounts, "
        f"{requests:,} requests, at most {pace:,} a minute: about {math.ceil(requests / pace):,} min"
        + (" (dry run: nothing is written)" if settings.dry_run else "")
    )


def erase(
    targets: Sequence[Target], prepared: Prepared, *, apis: Mapping[str, Api], sender: MakeSender
) -> Iterator[Target]:
    """Remove the records from one list after the other, and yield the outcome for each. Continues after a failure.

    Raises StoppedError when the run is stopped, UnexpectedError when a list without an error did not accept every
    removal, and what the spool raises.
    """
    for number, target in enumerate(targets, start=1):
        if target.customer_list is None:
            yield target
            continue
        result = _remove_from_list(
            target, target.customer_list.id, prepared, api=apis[target.ad_account_id], sender=sender
        )
        log.info("%d of %d: %s: %d records removed", number, len(targets), result.label, result.records)
        if result.reason:
            log.warning("%s: %s", result.label, result.reason)
        yield result


def _remove_from_list(target: Target, list_id: str, prepared: Prepared, *, api: Api, sender: MakeSender) -> Target:
    """Remove the records from one list, and return the target with the outcome."""
    stats = Stats(action="erase", ad_account_id=target.ad_account_id, dry_run=False, unique=prepared.unique_count)
    request_ids: list[str] = []

    def remove_batch(records: Batch) -> Response:
        response = api.change_records(list_id, records, operation="REMOVE")
        # Called from several threads: append is atomic.
        request_ids.append(response.request_id)
        return response

    reason = ""
    try:
        sender(stats=stats).send(prepared, remove_batch)
    except (StoppedError, UnexpectedError):
        raise
    except ExportError as error:
        reason = str(error)
        # The sender has stopped all requests.
        api.client.rate_limiter.resume()
    if not reason and stats.sent + stats.refused != prepared.unique_count:
        raise UnexpectedError(
            "the receipt is inconsistent: a customer list reported no error, but did not accept every removal"
        )
    if stats.refused and not reason:
        reason = f"Pinterest refused {stats.refused:,} of the records"
    return replace(target, records=stats.sent, request_ids=tuple(request_ids), reason=reason)
