"""The steps of a rehearsal: what each asks, what it needs, and how it comes to its verdict."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from td_pinterest_op.cli import checks
from td_pinterest_op.cli.rehearse.findings import DEFAULT_BATCH, Facts
from td_pinterest_op.cli.rehearse.stage import LARGEST, Stage
from td_pinterest_op.connect import Services
from td_pinterest_op.errors import AccountError, BrokenTwiceError, ExportError, RequestRefusedError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.oauth import Tokens
from td_pinterest_op.pinterest.request import Request
from td_pinterest_op.pinterest.transport import Response
from td_pinterest_op.records.batch import RowRecords
from td_pinterest_op.records.rows import Shape

_LARGER_BATCHES = (20_000, 50_000, LARGEST)
_AT_ONCE = (1, 2, 4, 8)
_SECOND_LIST = 1_000
_ROWS, _TWO_KEYS = 100, Shape(0b11)
_QUOTA = re.compile(r"(?<!\d)(\d{1,9})\s*;\s*w=(\d{1,9})(?!\d)")
# Refusals of what a request holds, not of the user, the path or the pace.
_CONTENT = (400, 413, 422)


@dataclass(slots=True, kw_only=True)
class Answer:
    """The answer that decides a step: that to its last write, else that to its last read. None: there was none."""

    status: int | None = None
    code: int | None = None
    is_write: bool = False

    def note(self, request: Request, response: Response) -> None:
        """Take an answer in, as the client got it."""
        if request.write or not self.is_write:
            self.status, self.code, self.is_write = response.status, response.code, request.write

    def of(self, error: ExportError) -> None:
        """Take in what an error says of its answer."""
        self.status, self.code = error.status, error.code


class NotTriedError(Exception):
    """A step has nothing to ask any more; its text is the verdict."""


@dataclass(slots=True, kw_only=True)
class Asking:
    """What the steps work with.

    `found_token` makes a source of tokens from the refresh token as it was found. `single_tries` yields the calls of
    the ad account without any retry.
    """

    services: Services
    stage: Stage
    found_tokens: Callable[[], Tokens]
    single_tries: Callable[[], contextlib.AbstractContextManager[Api]]
    facts: Facts = field(default_factory=Facts)
    answer: Answer = field(default_factory=Answer)
    limits: str | None = None

    @property
    def list_id(self) -> str:
        """The list with the first people. Raises NotTriedError without one."""
        if self.stage.list_id is None:
            raise NotTriedError("not tried: there is no list")
        return self.stage.list_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`writes`: the requests to Pinterest that write, without repeats. `needs`: the step that makes what it needs.

    `run` returns the verdict; it raises NotTriedError and what the API raises.
    """

    name: str
    asked: str
    run: Callable[[Asking], str]
    writes: int = 0
    needs: str | None = None


def _token(asking: Asking) -> str:
    tokens, facts, start = asking.services.tokens, asking.facts, asking.found_tokens()
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
    return f"{new}; the old one is {'still good' if facts.old_refresh_token_lives else 'refused from then on'}"


def _account(asking: Asking) -> str:
    catalog = asking.services.catalog
    account = next((known for known in catalog.ad_accounts() if known.id == asking.stage.api.ad_account_id), None)
    headers = asking.services.client.last_headers
    quotas = _QUOTA.findall(headers.get("x-ratelimit-limit", ""))
    asking.limits = ", ".join(f"{quota};w={window}" for quota, window in quotas) or None
    role = checks.role(account).message if account else "the ad account is not listed"
    return f"{role}; {checks.tier(headers).message}"


def _list_without_records(asking: Asking) -> str:
    with _judging(asking, "list_without_records"):
        asking.stage.api.create_customer_list(name=f"{asking.stage.name} without records", list_type="EMAIL")
    return "made: a list needs no records" if asking.facts.list_without_records else "refused: a list needs records"


def _list(asking: Asking) -> str:
    stage, facts, too_large = asking.stage, asking.facts, None
    for count in (DEFAULT_BATCH, 5_000, 2_500, 1_250):
        try:
            stage.list_id = stage.make_list(count)
        except (RequestRefusedError, BrokenTwiceError) as error:
            if not _is_too_large(error) or count == 1_250:
                raise
            too_large = error
        else:
            break
    facts.largest_batch, facts.batch_too_large_status = count, too_large.status if too_large else None
    facts.list_readable_seconds, facts.list_listed_seconds = stage.seconds_until(
        lambda: stage.api.customer_list(asking.list_id) is not None, lambda: stage.is_listed(asking.list_id)
    )
    unseen = [
        text
        for text, seconds in (("read", facts.list_readable_seconds), ("listed", facts.list_listed_seconds))
        if seconds is None
    ]
    return f"made with {count:,} records; " + (
        f"not {' and not '.join(unseen)} within a minute" if unseen else "it is read and listed"
    )


def _batches(asking: Asking) -> str:
    facts, list_id = asking.facts, asking.list_id
    if (facts.largest_batch or 0) < DEFAULT_BATCH:
        raise NotTriedError(f"not tried: {DEFAULT_BATCH:,} records are too many already")
    for count in _LARGER_BATCHES:
        try:
            asking.stage.add(list_id, count)
        except (RequestRefusedError, BrokenTwiceError) as error:
            if not _is_too_large(error):
                raise
            asking.answer.of(error)
            facts.batch_too_large_status = error.status
            how = f"refused with {error.status}" if error.status else "cut off without an answer"
            return f"{facts.largest_batch:,} records are taken, {count:,} are {how}"
        facts.largest_batch = count
    return f"{LARGEST:,} records are taken"


def _is_too_large(error: ExportError) -> bool:
    return isinstance(error, BrokenTwiceError) or error.status in _CONTENT


def _at_once(asking: Asking) -> str:
    facts, list_id = asking.facts, asking.list_id
    count = min(DEFAULT_BATCH, facts.largest_batch or DEFAULT_BATCH)
    with asking.single_tries() as api:
        for number in _AT_ONCE:
            errors = _all_at_once(api, list_id, asking.stage, count=count, number=number)
            if errors and (number == 1 or isinstance(errors[0], AccountError)):
                raise errors[0]
            if errors:
                asking.answer.of(errors[0])
                how = f"answered {errors[0].status}" if errors[0].status else "cut off"
                return f"{facts.batches_at_once} at once are taken, of {number} some are {how}"
            facts.batches_at_once = number
    return f"{number} at once are taken"


def _all_at_once(api: Api, list_id: str, stage: Stage, *, count: int, number: int) -> list[ExportError]:
    """Send the same batch `number` times at the same moment; returns the errors."""
    records, errors, begin = stage.people(count), [], threading.Barrier(number)

    def send() -> None:
        begin.wait()
        try:
            api.change_records(list_id, records, operation="ADD")
        except ExportError as error:
            errors.append(error)

    # Daemons: Ctrl-C must not wait for responses.
    threads = [threading.Thread(target=send, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def _records_v2(asking: Asking) -> str:
    rows = RowRecords([(_TWO_KEYS, asking.stage.people(2 * _ROWS).data)])
    list_id = asking.list_id
    with _judging(asking, "records_v2"):
        asking.stage.api.change_records(list_id, rows, operation="ADD")
    return "rows with several keys are taken" if asking.facts.records_v2 else "refused: rows with several keys"


@contextlib.contextmanager
def _judging(asking: Asking, fact: str) -> Iterator[None]:
    """A fact is true if the block is done, and false if what it asks for is refused."""
    try:
        yield
    except RequestRefusedError as error:
        if error.status not in _CONTENT:
            raise
        asking.answer.of(error)
        setattr(asking.facts, fact, False)
    else:
        setattr(asking.facts, fact, True)


def _audience(asking: Asking) -> str:
    asking.stage.make_audience(asking.list_id)
    return "made on the list"


def _need_audience(asking: Asking) -> None:
    if asking.stage.audience_id is None:
        raise NotTriedError("not tried: there is no audience")


def _move(asking: Asking) -> str:
    _need_audience(asking)
    stage, facts = asking.stage, asking.facts
    second = stage.make_list(_SECOND_LIST)
    with _judging(asking, "move_obeyed"):
        stage.move(second)
    if not facts.move_obeyed:
        return "refused: an audience keeps its list"
    (facts.move_seconds,) = stage.seconds_until(lambda: stage.list_behind() == second)
    facts.move_obeyed = facts.move_seconds is not None
    return "obeyed" if facts.move_obeyed else "accepted, and not to be seen within a minute"


def _remove(asking: Asking) -> str:
    _need_audience(asking)
    stage, facts = asking.stage, asking.facts
    if not stage.remove():
        raise NotTriedError("not found out: Pinterest does not know the audience that it made")
    stage.seconds_until(stage.shows_removal)
    facts.removed_readable = not stage.is_gone()
    facts.removed_again = stage.remove()
    read = "is read as removed" if facts.removed_readable else "cannot be read any more"
    return f"removed; it {read}, and removing it again is {'accepted' if facts.removed_again else 'refused'}"


STEPS: Sequence[Step] = (
    Step(name="token", asked="POST oauth/token three times: second with the old refresh token", run=_token),
    Step(name="account", asked="GET ad_accounts", run=_account),
    Step(
        name="list_without_records",
        asked="POST customer_lists without records",
        run=_list_without_records,
        writes=1,
    ),
    Step(name="list", asked="POST customer_lists with 10,000 records, then GET until it shows", run=_list, writes=1),
    Step(
        name="batches",
        asked="PATCH customer_lists ADD with 20,000, 50,000 and 100,000 records",
        run=_batches,
        writes=len(_LARGER_BATCHES),
        needs="list",
    ),
    Step(
        name="at_once",
        asked="PATCH customer_lists ADD, 1, 2, 4 and 8 at once",
        run=_at_once,
        writes=sum(_AT_ONCE),
        needs="list",
    ),
    Step(
        name="records_v2",
        asked="PATCH customer_lists ADD with records_v2",
        run=_records_v2,
        writes=1,
        needs="list",
    ),
    Step(name="audience", asked="POST audiences on the list", run=_audience, writes=1, needs="list"),
    Step(
        name="move",
        asked="POST customer_lists, PATCH audiences UPDATE to it, then GET until it shows",
        run=_move,
        writes=2,
        needs="audience",
    ),
    Step(
        name="remove",
        asked="PATCH audiences REMOVE, GET, and REMOVE again",
        run=_remove,
        writes=2,
        needs="audience",
    ),
)
LARGE = "batches"
