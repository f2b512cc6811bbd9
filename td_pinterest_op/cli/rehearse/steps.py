"""The steps of a rehearsal: the requests of each, the step that it needs, and its verdict."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from td_pinterest_op.cli.doctor.pinterest_checks import judge_role, judge_tier
from td_pinterest_op.cli.rehearse.stage import DEFAULT_BATCH, NotTriedError, Stage
from td_pinterest_op.errors import AccountError, ConnectionBrokenError, ExportError, RequestRefusedError
from td_pinterest_op.pinterest.rate_limit import parse_quotas
from td_pinterest_op.records.batch import RowBatch
from td_pinterest_op.records.rows import Shape

_LARGER_BATCHES = (20_000, 50_000, 100_000)
_AT_ONCE = (1, 2, 4, 8)
_SECOND_LIST = 1_000
_ROWS, _TWO_KEYS = 100, Shape(0b11)
# Of a listing, the newest are looked through: its first page.
_PAGE = 250
# Refusals of what a request holds, not of the user, the path or the pace.
_CONTENT = (400, 413, 422)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the rehearsal. `writes`: how many of its requests write. `needs`: the step that must run before it.

    `run` returns the verdict; it raises NotTriedError and what the API raises.
    """

    name: str
    request: str
    run: Callable[[Stage], str]
    writes: int = 0
    needs: str | None = None


def _try_token(stage: Stage) -> str:
    """Find out whether a refresh issues a new refresh token, and whether the old one is still valid then."""
    tokens, facts, start = stage.services.tokens, stage.facts, stage.make_token_source()
    used = tokens.token()
    facts.refresh_rotates = tokens.refresh_token != start.refresh_token
    try:
        start.token()
        facts.old_refresh_token_lives = True
    except AccountError as error:
        if error.status not in (400, 401):
            raise
        facts.old_refresh_token_lives = False
    # The one that is kept must be good, whatever the old one's return did.
    tokens.refresh(used)
    new = "a refresh brings a new refresh token" if facts.refresh_rotates else "a refresh brings no new refresh token"
    return f"{new}; the old one is {'still accepted' if facts.old_refresh_token_lives else 'refused from then on'}"


def _try_account(stage: Stage) -> str:
    """Find out the user's role in the ad account, and the app's access tier."""
    accounts = stage.services.pinterest.ad_accounts()
    account = next((known for known in accounts if known.id == stage.api.ad_account_id), None)
    headers = stage.services.client.last_headers
    stage.limits = ", ".join(f"{quota};w={window}" for quota, window in parse_quotas(headers)) or None
    role = judge_role(account).message if account else "the ad account is not listed"
    return f"{role}; {judge_tier(headers).message}"


def _try_list_without_records(stage: Stage) -> str:
    """Find out whether a customer list can be created without records."""
    with _record_fact(stage, "list_without_records"):
        stage.api.create_customer_list(name=f"{stage.name} without records", list_type="EMAIL")
    return "created: a list needs no records" if stage.facts.list_without_records else "refused: a list needs records"


def _try_list(stage: Stage) -> str:
    """Create the rehearsal's list; find out the largest batch for it, and how soon reads show the list."""
    facts, too_large = stage.facts, None
    for count in (DEFAULT_BATCH, 5_000, 2_500, 1_250):
        try:
            stage.made["list"] = stage.make_list(count)
        except (RequestRefusedError, ConnectionBrokenError) as error:
            if not _is_too_large(error) or count == 1_250:
                raise
            too_large = error
        else:
            break
    facts.largest_batch, facts.batch_too_large_status = count, too_large.status if too_large else None
    facts.list_readable_seconds, facts.list_listed_seconds = stage.measure_seconds(
        lambda: stage.api.customer_list(stage.id_of("list")) is not None, lambda: _is_listed(stage)
    )
    shown = {"read": facts.list_readable_seconds, "listed": facts.list_listed_seconds}
    unseen = " and ".join(f"not {word}" for word, seconds in shown.items() if seconds is None)
    return (
        f"created with {count:,} records; {f'{unseen} within a minute' if unseen else 'it can be read and is listed'}"
    )


def _is_listed(stage: Stage) -> bool:
    """Whether the listing of customer lists shows the rehearsal's list."""
    newest = islice(stage.api.customer_lists(), _PAGE)
    return any(listed.id == stage.id_of("list") for listed in newest)


def _try_larger_batches(stage: Stage) -> str:
    """Find out how many records one request may contain beyond the default."""
    facts, list_id = stage.facts, stage.id_of("list")
    if (facts.largest_batch or 0) < DEFAULT_BATCH:
        raise NotTriedError(f"larger batches were not tried: a batch of {DEFAULT_BATCH:,} records was already refused")
    for count in _LARGER_BATCHES:
        try:
            stage.lists.add(list_id, stage.make_people(count))
        except (RequestRefusedError, ConnectionBrokenError) as error:
            if not _is_too_large(error):
                raise
            stage.answer.record_error(error)
            facts.batch_too_large_status = error.status
            how = f"refused with {error.status}" if error.status else "cut off without an answer"
            return f"{facts.largest_batch:,} records are accepted, {count:,} are {how}"
        facts.largest_batch = count
    return f"{count:,} records are accepted"


def _is_too_large(error: ExportError) -> bool:
    """Whether an error means that the batch was too large."""
    return isinstance(error, ConnectionBrokenError) or error.status in _CONTENT


def _try_batches_at_once(stage: Stage) -> str:
    """Find out how many batches may be sent at the same time."""
    facts, list_id = stage.facts, stage.id_of("list")
    count = min(DEFAULT_BATCH, facts.largest_batch or DEFAULT_BATCH)
    with stage.services.client.disable_retries():
        for number in _AT_ONCE:
            errors = _send_at_once(stage, list_id, count=count, number=number)
            if errors and (number == 1 or isinstance(errors[0], AccountError)):
                raise errors[0]
            if errors:
                stage.answer.record_error(errors[0])
                how = f"answered {errors[0].status}" if errors[0].status else "cut off"
                return f"{facts.batches_at_once} at once are accepted, of {number} some are {how}"
            facts.batches_at_once = number
    return f"{number} at once are accepted"


def _send_at_once(stage: Stage, list_id: str, *, count: int, number: int) -> list[ExportError]:
    """Send the same batch `number` times at the same moment; return the errors."""
    records, errors, begin = stage.make_people(count), [], threading.Barrier(number)

    def send_batch() -> None:
        """Send the batch once all threads are ready; keep the error."""
        begin.wait()
        try:
            stage.api.change_records(list_id, records, operation="ADD")
        except ExportError as error:
            errors.append(error)

    # Daemons: Ctrl-C must not wait for responses.
    threads = [threading.Thread(target=send_batch, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def _try_records_v2(stage: Stage) -> str:
    """Find out whether Pinterest takes rows with several keys each."""
    rows = RowBatch([(_TWO_KEYS, stage.make_people(2 * _ROWS).data)])
    list_id = stage.id_of("list")
    with _record_fact(stage, "records_v2"):
        stage.api.change_records(list_id, rows, operation="ADD")
    return "rows with several keys are accepted" if stage.facts.records_v2 else "refused: rows with several keys"


@contextlib.contextmanager
def _record_fact(stage: Stage, fact: str) -> Iterator[None]:
    """Set the named fact: true if the block succeeds, false if Pinterest refuses its request."""
    try:
        yield
    except RequestRefusedError as error:
        if error.status not in _CONTENT:
            raise
        stage.answer.record_error(error)
        setattr(stage.facts, fact, False)
    else:
        setattr(stage.facts, fact, True)


def _try_audience(stage: Stage) -> str:
    """Create the rehearsal's audience from its list."""
    stage.make_audience(stage.id_of("list"))
    return "created from the list"


def _try_switch(stage: Stage) -> str:
    """Find out whether an audience can be switched to another list, and how soon a read shows it."""
    facts, audience_id = stage.facts, stage.id_of("audience")
    second = stage.make_list(_SECOND_LIST)
    with _record_fact(stage, "move_obeyed"):
        stage.audiences.switch_list(audience_id, list_id=second)
    if not facts.move_obeyed:
        return "refused: an audience keeps its list"
    (facts.move_seconds,) = stage.measure_seconds(
        lambda: (audience := stage.read_audience()) is not None and audience.customer_list_id == second
    )
    facts.move_obeyed = facts.move_seconds is not None
    return "switched to another list" if facts.move_obeyed else "accepted, but not visible within a minute"


def _try_removal(stage: Stage) -> str:
    """Remove the audience; find out whether it can still be read, and removed again."""
    facts = stage.facts
    if not stage.remove_audience():
        raise NotTriedError("not found out: Pinterest does not find the audience that this rehearsal created")
    stage.measure_seconds(lambda: (audience := stage.read_audience()) is None or audience.is_removed)
    facts.removed_readable = stage.read_audience() is not None
    facts.removed_again = stage.remove_audience()
    read = "can still be read, as removed" if facts.removed_readable else "can no longer be read"
    return f"removed; it {read}, and removing it again is {'accepted' if facts.removed_again else 'refused'}"


STEPS: Sequence[Step] = (
    Step("token", "POST oauth/token three times: second with the old refresh token", _try_token),
    Step("account", "GET ad_accounts", _try_account),
    Step("list_without_records", "POST customer_lists without records", _try_list_without_records, writes=1),
    Step("list", "POST customer_lists with 10,000 records, then GET until it shows", _try_list, writes=1),
    Step(
        "batches",
        "PATCH customer_lists ADD with 20,000, 50,000 and 100,000 records",
        _try_larger_batches,
        writes=3,
        needs="list",
    ),
    Step("at_once", "PATCH customer_lists ADD, 1, 2, 4 and 8 at once", _try_batches_at_once, writes=15, needs="list"),
    Step("records_v2", "PATCH customer_lists ADD with records_v2", _try_records_v2, writes=1, needs="list"),
    Step("audience", "POST audiences on the list", _try_audience, writes=1, needs="list"),
    Step(
        "move",
        "POST customer_lists, PATCH audiences UPDATE to it, then GET until it shows",
        _try_switch,
        writes=2,
        needs="audience",
    ),
    Step("remove", "PATCH audiences REMOVE, GET, and REMOVE again", _try_removal, writes=2, needs="audience"),
)
LARGE = "batches"
