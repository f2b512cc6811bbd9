"""A rehearsal: its steps, and what each finds out with made-up people."""

# To add a step:
# 1. Test it (tests/e2e/cli/test_rehearse.py). What the service may do instead is a switch of the emulator
#    (tests/emulators/pinterest/switches.py), which a rehearsal sets (tests/emulators/pinterest/like.py).
# 2. Write a method of `Rehearsal`, with its facts, and add it to `STEPS`. A new request: pinterest/api.py.
# 3. Name it in the help, and what follows from it in `build_advice` (cli/commands/rehearse.py). Name it beside the
#    assumption that it tries (docs/what-has-been-seen.md).
import hashlib
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from td_pinterest_op.audiences.consistency import read_until_found, request_new_audience, request_switch
from td_pinterest_op.audiences.lookup import find_audiences_by_name
from td_pinterest_op.cli.connection import list_ad_accounts
from td_pinterest_op.cli.doctor.pinterest_checks import judge_access_tier, judge_role
from td_pinterest_op.errors import AccountError, ExportError, PinterestError, RequestRefusedError, UnavailableError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.oauth import RenewableTokens
from td_pinterest_op.pinterest.rate_limit import parse_requests_per_seconds
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.prepared import SINGLE_DIGEST_LAYOUT, Batch, RecordLayout
from td_pinterest_op.runtime.shutdown import start_thread
from td_pinterest_op.task_runtime.services import Services

log = logging.getLogger(__name__)

# The names of all lists and audiences of rehearsals begin with it.
NAME_PREFIX = "td_pinterest_op rehearsal"
# The default of limit_records_per_request.
DEFAULT_BATCH_SIZE = 10_000
# In seconds.
_LONGEST_WAIT_FOR_WRITE_TO_SHOW = 60.0
_SHORTEST_POLL_SECONDS = 0.5
# The first page of a listing.
_NEWEST_LISTED_COUNT = 250
# Refusals of what a request holds, not of the user, the path or the pace.
_CONTENT_REFUSAL_STATUSES = (400, 413, 422)

# What a step found out, as text for the user.
Verdict = str


@dataclass(kw_only=True)
class RehearsalFacts:
    """What a rehearsal has found out (None: unknown). `…_seconds`: from a change until a read of Pinterest shows it."""

    refresh_rotates: bool | None = None  # whether a refresh issues a new refresh token
    old_refresh_token_lives: bool | None = None  # whether the old one stays valid then
    list_without_records: bool | None = None  # whether Pinterest creates one
    records_v2: bool | None = None  # whether a row may combine several identifiers of a person
    largest_batch: int | None = None  # in records
    batch_too_large_status: int | None = None  # the HTTP status that refused a larger one; None without a response
    batches_at_once: int | None = None
    list_readable_seconds: float | None = None  # read by its id
    list_listed_seconds: float | None = None
    move_obeyed: bool | None = None  # whether an audience uses a list to which it was switched
    move_seconds: float | None = None  # until it shows that list
    removed_readable: bool | None = None  # whether a removed audience can be read
    removed_again: bool | None = None  # whether it can be removed once more


class Rehearsal:
    """A rehearsal in one ad account. The methods in `STEPS` try what their docstrings say, and return a verdict.

    They raise the errors of the API. `made` has the ids of the `list` and the `audience`, once they are created.
    `answer` is what decided the current step: a response, or the error of a request.
    """

    def __init__(self, services: Services, api: Api) -> None:
        self.services = services
        self.api = api
        self.key = secrets.token_hex(4)
        self.name = f"{NAME_PREFIX} {self.key}"
        self.facts = RehearsalFacts()
        self.made: dict[str, str] = {}
        self.may_have_audience = False
        self.answer: Response | ExportError | None = None
        self.limits: str | None = None  # those that Pinterest's header states
        self._first_token = services.tokens.refresh_token
        services.client.on_response = partial(setattr, self, "answer")

    def try_token_rotation(self) -> Verdict:
        """Try whether a refresh issues a new refresh token, and ends the old one."""
        facts = self.facts
        tokens = self.services.tokens
        used = tokens.get_token()
        facts.refresh_rotates = tokens.refresh_token != self._first_token
        old = RenewableTokens(
            client=tokens.client,
            client_id=tokens.client_id,
            client_secret=tokens.client_secret,
            refresh_token=self._first_token,
            on_new_refresh_token=tokens.on_new_refresh_token,
        )
        try:
            old.get_token()
            facts.old_refresh_token_lives = True
        except AccountError:
            facts.old_refresh_token_lives = False
        # The token that is kept must be good, whatever the use of the old one did.
        tokens.replace_refused_token(used, has_worked=True)
        new = "a new" if facts.refresh_rotates else "no new"
        fate = "still accepted" if facts.old_refresh_token_lives else "refused from then on"
        return f"a refresh brings {new} refresh token; the old one is {fate}"

    def try_role_and_access_tier(self) -> Verdict:
        """Find the user's role in the ad account and the app's access tier. Sets `limits`."""
        accounts = {account.id: account for account in list_ad_accounts(self.api)}
        account = accounts.get(self.api.ad_account_id)
        role = judge_role(account).message if account else "the ad account is not listed"
        headers = self.services.client.last_headers
        self.limits = ", ".join(f"{quota};w={window}" for quota, window in parse_requests_per_seconds(headers)) or None
        return f"{role}; {judge_access_tier(headers).message}"

    def try_list_without_records(self) -> Verdict:
        """Try whether Pinterest creates a customer list without records."""
        name = f"{self.name} without records"
        created = self._is_request_accepted(lambda: self.api.create_customer_list(name=name, list_type="EMAIL"))
        self.facts.list_without_records = created
        return "created: a list needs no records" if created else "refused: a list needs records"

    def measure_new_list_delays(self) -> Verdict:
        """Create the rehearsal's list, and measure how soon Pinterest shows it."""
        facts = self.facts
        list_id = self._create_fake_list(DEFAULT_BATCH_SIZE)
        self.made["list"] = list_id
        facts.largest_batch = DEFAULT_BATCH_SIZE
        facts.list_readable_seconds, facts.list_listed_seconds = self._measure_delays(
            lambda: self.api.find_customer_list(list_id) is not None,
            lambda: any(each.id == list_id for each in islice(self.api.list_customer_lists(), _NEWEST_LISTED_COUNT)),
        )
        is_shown = None not in (facts.list_readable_seconds, facts.list_listed_seconds)
        seen = "it can be read and is listed" if is_shown else "not both read and listed within a minute"
        return f"created with {DEFAULT_BATCH_SIZE:,} records; {seen}"

    def try_larger_batches(self) -> Verdict:
        """Try how many records Pinterest accepts in a batch."""
        facts = self.facts
        for count in (20_000, 50_000, 100_000):
            try:
                self._add_records(self.api, self._build_fake_batch(count))
            except (RequestRefusedError, UnavailableError) as error:
                is_cut_off = error.status is None and error.maybe_applied
                if not is_cut_off and error.status not in _CONTENT_REFUSAL_STATUSES:
                    raise
                self.answer = error
                facts.batch_too_large_status = error.status
                how = f"refused with {error.status}" if error.status else "cut off without an answer"
                return f"{facts.largest_batch:,} records are accepted, {count:,} are {how}"
            facts.largest_batch = count
        return f"{count:,} records are accepted"

    def try_batches_at_once(self) -> Verdict:
        """Try how many batches Pinterest accepts at once. None is sent twice."""
        batch = self._build_fake_batch(DEFAULT_BATCH_SIZE)
        client = self.api.client
        api = replace(self.api, client=replace(client, retry=replace(client.retry, count=0, longest_wait=0.0)))

        def send_batch(begin: threading.Barrier) -> None:
            begin.wait()
            self._add_records(api, batch)

        for number in (1, 2, 4, 8):
            # In daemon threads: Ctrl-C must not wait for responses.
            send = partial(send_batch, threading.Barrier(number))
            futures = [start_thread(send) for _ in range(number)]
            error = next(filter(None, [future.exception() for future in futures]), None)
            if error is None:
                self.facts.batches_at_once = number
            elif number == 1 or isinstance(error, AccountError) or not isinstance(error, ExportError):
                raise error
            else:
                self.answer = error
                how = f"answered {error.status}" if error.status else "cut off"
                return f"{self.facts.batches_at_once} at once are accepted, of {number} some are {how}"
        return f"{number} at once are accepted"

    def try_multi_key_records(self) -> Verdict:
        """Try whether Pinterest accepts records with several identifiers of a person."""
        rows = self._build_fake_batch(100, layout=RecordLayout(("email", "maid")))
        self.facts.records_v2 = self._is_request_accepted(lambda: self._add_records(self.api, rows))
        return "rows with several keys are accepted" if self.facts.records_v2 else "refused: rows with several keys"

    def try_new_audience(self) -> Verdict:
        """Create the rehearsal's audience from its customer list."""
        self.may_have_audience = True
        self.made["audience"] = request_new_audience(
            self.api, self.name, description=None, list_id=self.made["list"]
        ).id
        return "created from the list"

    def try_list_switch(self) -> Verdict:
        """Try whether Pinterest switches the audience to another list."""
        facts = self.facts
        audience_id = self.made["audience"]
        second = self._create_fake_list(1_000)

        def is_switched() -> bool:
            audience = self.api.find_audience(audience_id)
            return audience is not None and audience.customer_list_id == second

        facts.move_obeyed = self._is_request_accepted(lambda: request_switch(self.api, audience_id, list_id=second))
        if not facts.move_obeyed:
            return "refused: an audience keeps its list"
        (facts.move_seconds,) = self._measure_delays(is_switched)
        facts.move_obeyed = facts.move_seconds is not None
        return "switched to another list" if facts.move_obeyed else "accepted, but not visible within a minute"

    def remove_audience_and_probe(self) -> Verdict:
        """Remove the audience. Try whether it can still be read, and removed once more."""
        facts = self.facts
        audience_id = self.made["audience"]
        if not self.api.remove_audience(audience_id):
            return "unknown: Pinterest does not find the audience"
        self.may_have_audience = False

        def is_removed() -> bool:
            audience = self.api.find_audience(audience_id)
            return audience is None or audience.is_removed

        self._measure_delays(is_removed)
        facts.removed_readable = self.api.find_audience(audience_id) is not None
        facts.removed_again = self.api.remove_audience(audience_id)
        read = "can still be read, as removed" if facts.removed_readable else "can no longer be read"
        return f"removed; it {read}, and removing it again is {'accepted' if facts.removed_again else 'refused'}"

    def ensure_audience_removed(self) -> bool:
        """Remove the rehearsal's audience. Return False if it may still exist. Raises StoppedError."""
        if not self.may_have_audience:
            return True
        try:
            audience_id = self.made.get("audience")
            if audience_id is None:
                # The answer to its creation was not seen, and a listing may show it late.
                named = read_until_found(lambda: find_audiences_by_name(self.api, self.name) or None, self.api.client)
                audience_id = named[0].id if named else None
            if audience_id:
                self.api.remove_audience(audience_id)
        except (AccountError, PinterestError) as error:
            log.warning("could not remove the audience: %s", error)
            return False
        self.may_have_audience = False
        return True

    def _build_fake_batch(self, count: int, *, layout: RecordLayout = SINGLE_DIGEST_LAYOUT) -> Batch:
        people = (f"{number}@{self.key}.invalid" for number in range(count * layout.width // DIGEST_BYTES))
        return Batch([(layout, b"".join(hashlib.sha256(person.encode()).digest() for person in people))])

    def _create_fake_list(self, count: int) -> str:
        name = f"{self.name} of {count} records"
        return self.api.create_customer_list(name=name, list_type="EMAIL", records=self._build_fake_batch(count)).id

    def _add_records(self, api: Api, records: Batch) -> None:
        api.change_records(self.made["list"], records, operation="ADD")

    def _is_request_accepted(self, request: Callable[[], object]) -> bool:
        try:
            request()
        except RequestRefusedError as error:
            if error.status not in _CONTENT_REFUSAL_STATUSES:
                raise
            self.answer = error
            return False
        return True

    def _measure_delays(self, *predicates: Callable[[], bool]) -> list[float | None]:
        """Return the seconds until each predicate is true, or None if that takes over a minute."""
        clock = self.services.timing.monotonic
        begin = clock()
        seconds: list[float | None] = [None] * len(predicates)
        while True:
            for place, is_true in enumerate(predicates):
                if seconds[place] is None and is_true():
                    seconds[place] = round(clock() - begin, 2)
            waited = clock() - begin
            if None not in seconds or waited >= _LONGEST_WAIT_FOR_WRITE_TO_SHOW:
                return seconds
            # A trial app has few requests a day, so the polls become less frequent.
            self.services.client.rate_limiter.wait(max(_SHORTEST_POLL_SECONDS, waited / 4))


@dataclass(frozen=True)
class Step:
    """A step of a rehearsal. `request`: its requests, in words."""

    name: str
    request: str
    run: Callable[[Rehearsal], Verdict]
    writes: int = 0  # the number of its write requests
    needs: str = ""  # the step whose list or audience it uses


STEPS = (
    Step("token", "POST oauth/token three times: second with the old refresh token", Rehearsal.try_token_rotation),
    Step("account", "GET ad_accounts", Rehearsal.try_role_and_access_tier),
    Step("list_without_records", "POST customer_lists without records", Rehearsal.try_list_without_records, 1),
    Step(
        "list", "POST customer_lists with 10,000 records, then GET until it shows", Rehearsal.measure_new_list_delays, 1
    ),
    Step(
        "batches",
        "PATCH customer_lists ADD with 20,000, 50,000 and 100,000 records",
        Rehearsal.try_larger_batches,
        3,
        "list",
    ),
    Step("at_once", "PATCH customer_lists ADD, 1, 2, 4 and 8 at once", Rehearsal.try_batches_at_once, 15, "list"),
    Step("records_v2", "PATCH customer_lists ADD with records_v2", Rehearsal.try_multi_key_records, 1, "list"),
    Step("audience", "POST audiences on the list", Rehearsal.try_new_audience, 1, "list"),
    Step(
        "move",
        "POST customer_lists, PATCH audiences UPDATE to it, then GET until it shows",
        Rehearsal.try_list_switch,
        2,
        "audience",
    ),
    Step("remove", "PATCH audiences REMOVE, GET, and REMOVE again", Rehearsal.remove_audience_and_probe, 2, "audience"),
)
