"""The steps of a rehearsal: the requests of each, the step that it needs, and its verdict."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from td_pinterest_op.cli.ad_accounts import list_ad_accounts
from td_pinterest_op.cli.doctor.pinterest_checks import judge_role, judge_tier
from td_pinterest_op.cli.rehearse.rehearsal import DEFAULT_BATCH, NotTriedError, Rehearsal
from td_pinterest_op.errors import AccountError, ExportError, RequestRefusedError, UnavailableError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.rate_limit import parse_quotas
from td_pinterest_op.records.rows import RecordLayout
from td_pinterest_op.runtime.shutdown import start_thread

_LARGER_BATCHES = (20_000, 50_000, 100_000)
_AT_ONCE = (1, 2, 4, 8)
_SECOND_LIST = 1_000
_ROWS = 100
_TWO_KEYS = RecordLayout(("email", "maid"))
# Of a listing, the newest are looked through: its first page.
_PAGE = 250
# Refusals of what a request holds, not of the user, the path or the pace.
_CONTENT = (400, 413, 422)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the rehearsal. `writes`: the number of write requests. `needs`: the step that must run before.

    `run` returns the result as text for the user. Raises NotTriedError and what the API raises.
    """

    name: str
    request: str
    run: Callable[[Rehearsal], str]
    writes: int = 0
    needs: str | None = None


def _try_token_refresh(rehearsal: Rehearsal) -> str:
    """Find out whether a refresh issues a new refresh token, and whether the old token then stays valid."""
    tokens = rehearsal.services.tokens
    facts = rehearsal.facts
    start = rehearsal.make_token_source()
    used = tokens.get_token()
    facts.refresh_rotates = tokens.refresh_token != start.refresh_token
    try:
        start.get_token()
        facts.old_refresh_token_lives = True
    except AccountError as error:
        if error.status not in (400, 401):
            raise
        facts.old_refresh_token_lives = False
    # The one that is kept must be good, whatever the old one's return did.
    tokens.replace_token(used, has_worked=True)
    new = "a refresh brings a new refresh token" if facts.refresh_rotates else "a refresh brings no new refresh token"
    return f"{new}; the old one is {'still accepted' if facts.old_refresh_token_lives else 'refused from then on'}"


def _examine_account(rehearsal: Rehearsal) -> str:
    """Find out the user's role in the ad account, and the app's access tier."""
    accounts = list_ad_accounts(rehearsal.services.pinterest)
    account = next((known for known in accounts if known.id == rehearsal.api.ad_account_id), None)
    headers = rehearsal.services.client.last_headers
    rehearsal.limits = ", ".join(f"{quota};w={window}" for quota, window in parse_quotas(headers)) or None
    role = judge_role(account).message if account else "the ad account is not listed"
    return f"{role}; {judge_tier(headers).message}"


def _try_empty_list_creation(rehearsal: Rehearsal) -> str:
    """Find out whether Pinterest creates a customer list without records. Return the result as text for the user."""
    with _record_acceptance(rehearsal, "list_without_records"):
        rehearsal.api.create_customer_list(name=f"{rehearsal.name} without records", list_type="EMAIL")
    return (
        "created: a list needs no records" if rehearsal.facts.list_without_records else "refused: a list needs records"
    )


def _try_list_creation(rehearsal: Rehearsal) -> str:
    """Create the rehearsal's list of 10,000 records. Find out how soon reads show the new list."""
    facts = rehearsal.facts
    rehearsal.made["list"] = rehearsal.create_list(DEFAULT_BATCH)
    facts.largest_batch = DEFAULT_BATCH
    facts.list_readable_seconds, facts.list_listed_seconds = rehearsal.measure_delays(
        lambda: rehearsal.api.find_customer_list(rehearsal.require_id_of("list")) is not None,
        lambda: _is_listed(rehearsal),
    )
    shown = {"read": facts.list_readable_seconds, "listed": facts.list_listed_seconds}
    unseen = " and ".join(f"not {word}" for word, seconds in shown.items() if seconds is None)
    seen = f"{unseen} within a minute" if unseen else "it can be read and is listed"
    return f"created with {DEFAULT_BATCH:,} records; {seen}"


def _is_listed(rehearsal: Rehearsal) -> bool:
    """Return whether the rehearsal's customer list is among the newest lists that the ad account shows."""
    newest = islice(rehearsal.api.list_customer_lists(), _PAGE)
    return any(listed.id == rehearsal.require_id_of("list") for listed in newest)


def _try_larger_batches(rehearsal: Rehearsal) -> str:
    """Find out whether Pinterest accepts batches larger than the default size, and up to how many records."""
    facts = rehearsal.facts
    list_id = rehearsal.require_id_of("list")
    for count in _LARGER_BATCHES:
        try:
            rehearsal.lists.add(list_id, rehearsal.make_batch(count))
        except (RequestRefusedError, UnavailableError) as error:
            is_cut_off = error.status is None and error.maybe_applied
            if not is_cut_off and error.status not in _CONTENT:
                raise
            rehearsal.response.record_error(error)
            facts.batch_too_large_status = error.status
            how = f"refused with {error.status}" if error.status else "cut off without an answer"
            return f"{facts.largest_batch:,} records are accepted, {count:,} are {how}"
        facts.largest_batch = count
    return f"{count:,} records are accepted"


def _try_concurrent_batches(rehearsal: Rehearsal) -> str:
    """Find out how many batches may be sent at the same time."""
    facts = rehearsal.facts
    list_id = rehearsal.require_id_of("list")
    with _disable_retries(rehearsal.services.client):
        for number in _AT_ONCE:
            errors = _send_concurrently(rehearsal, list_id, requests=number)
            if errors and (number == 1 or isinstance(errors[0], AccountError)):
                raise errors[0]
            if errors:
                rehearsal.response.record_error(errors[0])
                how = f"answered {errors[0].status}" if errors[0].status else "cut off"
                return f"{facts.batches_at_once} at once are accepted, of {number} some are {how}"
            facts.batches_at_once = number
    return f"{number} at once are accepted"


@contextlib.contextmanager
def _disable_retries(client: Client) -> Iterator[None]:
    """Within the block, send each request of the client only once, even if the request fails."""
    before = client.retry
    client.retry = replace(client.retry, count=0, longest_wait=0.0)
    try:
        yield
    finally:
        client.retry = before


def _send_concurrently(rehearsal: Rehearsal, list_id: str, *, requests: int) -> list[ExportError]:
    """Send a batch of 10,000 records in each of `requests` concurrent requests. Return the errors of the requests."""
    records = rehearsal.make_batch(DEFAULT_BATCH)
    errors = []
    begin = threading.Barrier(requests)

    def send_batch() -> None:
        """Add the records to the list, when all threads are ready, and store the error if the request fails."""
        begin.wait()
        try:
            rehearsal.api.change_records(list_id, records, operation="ADD")
        except ExportError as error:
            errors.append(error)

    # In daemon threads: Ctrl-C must not wait for responses.
    for future in [start_thread(send_batch) for _ in range(requests)]:
        future.result()
    return errors


def _try_records_v2(rehearsal: Rehearsal) -> str:
    """Find out whether Pinterest accepts rows that combine several identifiers of one person."""
    rows = rehearsal.make_batch(_ROWS, layout=_TWO_KEYS)
    list_id = rehearsal.require_id_of("list")
    with _record_acceptance(rehearsal, "records_v2"):
        rehearsal.api.change_records(list_id, rows, operation="ADD")
    return "rows with several keys are accepted" if rehearsal.facts.records_v2 else "refused: rows with several keys"


@contextlib.contextmanager
def _record_acceptance(rehearsal: Rehearsal, fact: str) -> Iterator[None]:
    """Set the fact named `fact` to whether Pinterest accepts the `with` block's request. Raises other errors."""
    try:
        yield
    except RequestRefusedError as error:
        if error.status not in _CONTENT:
            raise
        rehearsal.response.record_error(error)
        setattr(rehearsal.facts, fact, False)
    else:
        setattr(rehearsal.facts, fact, True)


def _try_audience_creation(rehearsal: Rehearsal) -> str:
    """Create the rehearsal's audience from the rehearsal's customer list. Return the result as text for the user."""
    rehearsal.create_audience(rehearsal.require_id_of("list"))
    return "created from the list"


def _try_list_switch(rehearsal: Rehearsal) -> str:
    """Find out whether an audience can be switched to another list, and how soon a read shows the new list."""
    facts = rehearsal.facts
    audience_id = rehearsal.require_id_of("audience")
    second = rehearsal.create_list(_SECOND_LIST)
    with _record_acceptance(rehearsal, "move_obeyed"):
        rehearsal.audiences.switch_list(audience_id, list_id=second)
    if not facts.move_obeyed:
        return "refused: an audience keeps its list"
    (facts.move_seconds,) = rehearsal.measure_delays(
        lambda: (audience := rehearsal.read_audience()) is not None and audience.customer_list_id == second
    )
    facts.move_obeyed = facts.move_seconds is not None
    return "switched to another list" if facts.move_obeyed else "accepted, but not visible within a minute"


def _try_removal(rehearsal: Rehearsal) -> str:
    """Remove the audience. Find out whether a removed audience can still be read, and be removed a second time."""
    facts = rehearsal.facts
    if not rehearsal.remove_audience():
        raise NotTriedError("unknown: Pinterest no longer finds the audience that this rehearsal created")
    rehearsal.measure_delays(lambda: (audience := rehearsal.read_audience()) is None or audience.is_removed)
    facts.removed_readable = rehearsal.read_audience() is not None
    facts.removed_again = rehearsal.remove_audience()
    read = "can still be read, as removed" if facts.removed_readable else "can no longer be read"
    return f"removed; it {read}, and removing it again is {'accepted' if facts.removed_again else 'refused'}"


STEPS: Sequence[Step] = (
    Step("token", "POST oauth/token three times: second with the old refresh token", _try_token_refresh),
    Step("account", "GET ad_accounts", _examine_account),
    Step("list_without_records", "POST customer_lists without records", _try_empty_list_creation, writes=1),
    Step("list", "POST customer_lists with 10,000 records, then GET until it shows", _try_list_creation, writes=1),
    Step(
        "batches",
        "PATCH customer_lists ADD with 20,000, 50,000 and 100,000 records",
        _try_larger_batches,
        writes=3,
        needs="list",
    ),
    Step(
        "at_once", "PATCH customer_lists ADD, 1, 2, 4 and 8 at once", _try_concurrent_batches, writes=15, needs="list"
    ),
    Step("records_v2", "PATCH customer_lists ADD with records_v2", _try_records_v2, writes=1, needs="list"),
    Step("audience", "POST audiences on the list", _try_audience_creation, writes=1, needs="list"),
    Step(
        "move",
        "POST customer_lists, PATCH audiences UPDATE to it, then GET until it shows",
        _try_list_switch,
        writes=2,
        needs="audience",
    ),
    Step("remove", "PATCH audiences REMOVE, GET, and REMOVE again", _try_removal, writes=2, needs="audience"),
)
LARGE = "batches"
