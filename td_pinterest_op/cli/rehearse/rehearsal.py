"""What the steps of a rehearsal share: the services, made-up people, and the list and audience made of them."""

import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.audiences.consistency import read_until_found
from td_pinterest_op.audiences.customer_lists import FILE, CustomerLists, ListName
from td_pinterest_op.cli.connection import Connection
from td_pinterest_op.errors import ExportError, StoppedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.api import Api, Audience
from td_pinterest_op.pinterest.client import Request
from td_pinterest_op.pinterest.oauth import Tokens
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.prepared import Batch, compute_fingerprint
from td_pinterest_op.records.rows import SINGLE_DIGEST, RecordLayout
from td_pinterest_op.runtime.clock import Timing

log = logging.getLogger(__name__)

# The names of all lists and audiences of rehearsals begin so.
NAME = "td_pinterest_op rehearsal"
# As an export has it without a setting: limit_records_per_request.
DEFAULT_BATCH = 10_000
# How long a write gets to show, and the shortest pause between two looks, in seconds.
PATIENCE = 60.0
_SHORTEST_LOOK = 0.5


@dataclass(slots=True, kw_only=True)
class Facts:
    """What a rehearsal has found out about Pinterest (None: unknown).

    `…_seconds`: the time until reads show a change.
    """

    refresh_rotates: bool | None = None
    old_refresh_token_lives: bool | None = None
    list_without_records: bool | None = None
    records_v2: bool | None = None
    largest_batch: int | None = None  # the most records that one request took
    batch_too_large_status: int | None = None  # of the response to the next larger request; None without a response
    batches_at_once: int | None = None  # the most batches that were taken at the same time
    list_readable_seconds: float | None = None
    list_listed_seconds: float | None = None
    move_obeyed: bool | None = None  # whether an audience uses a list to which it was switched
    move_seconds: float | None = None
    removed_readable: bool | None = None  # whether a removed audience can still be read
    removed_again: bool | None = None  # whether it can be removed a second time


@dataclass(slots=True, kw_only=True)
class DecisiveResponse:
    """HTTP status and Pinterest error code of a step's last write request, or of its last read if it does not write."""

    status: int | None = None
    code: int | None = None
    is_write: bool = False

    def clear_response(self) -> None:
        """Reset the status and the code to None, before a step sends its first request."""
        self.status = None
        self.code = None
        self.is_write = False

    def record_response(self, request: Request, response: Response) -> None:
        """Store a response's HTTP status and Pinterest error code, except for a read after a write of the same step."""
        if request.write or not self.is_write:
            self.status = response.status
            self.code = response.code
            self.is_write = request.write

    def record_error(self, error: ExportError) -> None:
        """Store the HTTP status and the error code of a failed request."""
        self.status = error.status
        self.code = error.code


class NotTriedError(Exception):
    """Raised by a step that cannot be tried. Its text is shown as the step's verdict."""


class Rehearsal:
    """A test of Pinterest's behaviour in an ad account. It holds the test's customer list, audience and findings.

    `response` gets every response. `made` has the ids of the `list` and the `audience`, once they are created. Their
    names contain a key of eight hex digits.
    """

    def __init__(self, connection: Connection, api: Api, *, response: DecisiveResponse, timing: Timing) -> None:
        key = secrets.token_hex(4)
        self._credentials = connection.credentials
        self._timing = timing
        self.services = connection.services
        self.api = api
        self.name = f"{NAME} {key}"
        self.lists = CustomerLists(api=self.api, session_key=key, is_nca=False)
        self.audiences = Audiences(self.api)
        self.made: dict[str, str] = {}
        self._audience_begun = False
        self._people = bytearray()
        self.facts = Facts()
        self.response = response
        self.limits: str | None = None  # those that Pinterest's header states

    def require_id_of(self, kind: str) -> str:
        """Return the id of the rehearsal's `list` or `audience` (`kind`). Raises NotTriedError if there is none."""
        if kind not in self.made:
            raise NotTriedError(f"not tried: there is no {kind}")
        return self.made[kind]

    def make_token_source(self) -> Tokens:
        """Return a new token source that begins with the refresh token that was stored before the rehearsal."""
        settings = self._credentials.build_settings()
        return Tokens(
            client=self.services.client,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            refresh_token=settings.refresh_token,
            # The same as the services': it knows the token that was stored last.
            on_new_refresh_token=self.services.tokens.on_new_refresh_token,
            timing=self._timing,
        )

    def make_batch(self, count: int, *, layout: RecordLayout = SINGLE_DIGEST) -> Batch:
        """Return a batch of `count` records in `layout`. The records' keys are digests of made-up e-mail addresses."""
        length = count * layout.width
        for number in range(len(self._people) // DIGEST_BYTES, length // DIGEST_BYTES):
            self._people += hashlib.sha256(f"{number}@{self.name[-8:]}.invalid".encode()).digest()
        return Batch([(layout, bytes(self._people[:length]))])

    def create_list(self, count: int) -> str:
        """Create a customer list of the first `count` made-up people. Return the id of the list."""
        records = self.make_batch(count)
        digests = (data for _, data in records.parts)
        fingerprint = compute_fingerprint(digests)
        name = ListName(audience=self.name, session=self.lists.session_key, jobs=FILE, fingerprint=fingerprint)
        return self.lists.create(name, "EMAIL", records).id

    def create_audience(self, list_id: str) -> None:
        """Create the rehearsal's audience, which uses the customer list `list_id`."""
        self._audience_begun = True
        try:
            self.made["audience"] = self.audiences.create(self.name, description=None, list_id=list_id).id
        except ExportError as error:
            self._audience_begun = error.maybe_applied or isinstance(error, StoppedError)
            raise

    def remove_audience(self) -> bool:
        """Remove the rehearsal's audience. Return False if Pinterest does not know the audience."""
        removed = self.audiences.remove(self.require_id_of("audience"))
        self._audience_begun = False
        return removed

    def read_audience(self) -> Audience | None:
        """Return the rehearsal's audience as Pinterest shows it, or None if the audience does not exist."""
        return self.api.find_audience(self.require_id_of("audience"))

    def measure_delays(self, *predicates: Callable[[], bool]) -> list[float | None]:
        """Return, for each predicate, the seconds until the predicate is true, or None if that takes over a minute."""
        clock = self._timing.monotonic
        client = self.api.client
        begin = clock()
        seconds: list[float | None] = [None] * len(predicates)
        while True:
            for place, look in enumerate(predicates):
                if seconds[place] is None and look():
                    seconds[place] = clock() - begin
            waited = clock() - begin
            if None not in seconds or waited >= PATIENCE:
                return seconds
            # A trial app's requests of a day are few: the longer it takes, the rarer the looks.
            client.rate_limiter.wait(max(_SHORTEST_LOOK, waited / 4))

    def remove_what_is_left(self) -> bool:
        """Remove the rehearsal's audience. Return False if it may still exist. Raises StoppedError."""
        try:
            if self._audience_begun and "audience" not in self.made:
                # The answer to its creation was never seen, and a listing may show it late.
                if found := read_until_found(self._find_own_audience, self.api.client):
                    self.made["audience"] = found.id
                else:
                    self._audience_begun = False
            if self._audience_begun:
                self.remove_audience()
        except StoppedError:
            raise
        except ExportError as error:
            log.warning("could not remove the audience: %s", error)
        return not self._audience_begun

    def _find_own_audience(self) -> Audience | None:
        """Return the rehearsal's audience if the ad account's listing shows it."""
        return next((audience for audience in self.api.list_audiences() if audience.name == self.name), None)
