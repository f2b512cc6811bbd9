"""One request to Pinterest, retried until it succeeds or the retries are used up."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from requests.auth import AuthBase

from td_pinterest_op.errors import (
    AccountError,
    ConnectionBrokenError,
    ExportError,
    MaybeAppliedError,
    RequestRefusedError,
)
from td_pinterest_op.http.retry import Retry, read_reset_delay, read_retry_after
from td_pinterest_op.http.transport import Failure, NoResponseError, Response, Transport
from td_pinterest_op.pinterest.policy import FAILURES, Decision, Recovery, decide
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.redaction.format import escape, sanitize
from td_pinterest_op.runtime.clock import Timing, format_duration
from td_pinterest_op.stats import RequestCounts

log = logging.getLogger(__name__)

# A 429 is waited out for this many times the longest single wait, with no other request succeeding meanwhile.
PATIENCE = 4
# The wait after a 429 when neither the server nor the settings ask for any, in seconds.
_LEAST_PAUSE = 1.0
# A request ends after this many 401s, and a run after this many refusals of refresh tokens, whichever token it was.
MOST_REFUSALS = 10
# After this many broken connections, a request that can be divided is taken to be too large.
MOST_BROKEN = 2
# Characters of Pinterest's message in ours.
_LONGEST_QUOTE = 200
_AD_ACCOUNT = re.compile(r"/ad_accounts/(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to Pinterest.

    `purpose` completes "Pinterest answered 500 to …". `path` is below the endpoint. `advice`: what to do about a
    response that refuses it, by Pinterest's code (None: any other), where there is more to say than the policy does.
    `divisible`: its records can be sent in several requests.
    """

    method: str
    path: str
    purpose: str
    body: bytes | None = None
    content_type: str = "application/json"
    write: bool = False
    has_records: bool = False
    repeatable: bool = True
    divisible: bool = False
    advice: Mapping[int | None, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The purpose and the ad account. Names in it are escaped: they come from elsewhere."""
        account = _AD_ACCOUNT.match(self.path)
        return escape(self.purpose) + (f" (ad account {account[1]})" if account else "")


class TokenSource:
    """Where a request's authorisation comes from. This one has one authorisation, which cannot be renewed."""

    def __init__(self, auth: AuthBase) -> None:
        self._auth = auth

    def token(self) -> AuthBase:
        """The authorisation to send now."""
        return self._auth

    def mark_accepted(self, used: AuthBase) -> None:
        """A request with `used` succeeded."""

    def refresh(self, used: AuthBase) -> bool:  # noqa: ARG002 - for other sources
        """After a 401: whether there is another authorisation than `used`, or may be."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """An attempt without success. `what`: what happened, for the log. `error`: what to raise if it was the last one."""

    decision: Decision
    what: str
    error: ExportError
    headers: Mapping[str, str]
    is_broken: bool


class _AttemptState:
    """What happened to the attempts of one request so far; `broken`: how many connections broke."""

    def __init__(self, *, retry: Retry) -> None:
        self.retry_waits, self.throttle_waits = retry.waits(), retry.waits()
        self.attempts = self.retries = self.refusals = self.broken = 0
        self.throttled = self.maybe_applied = False


class Client:
    """All requests of a run. `send` may be called from several threads."""

    def __init__(
        self,
        *,
        endpoint: str,
        transport: Transport,
        rate_limiter: RateLimiter,
        retry: Retry,
        timing: Timing,
        count: RequestCounts | None = None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self.transport = transport
        self.rate_limiter, self.retry = rate_limiter, retry
        self._clock, self._wall_clock, self._count = timing.monotonic, timing.wall, count or RequestCounts()
        self._began = timing.monotonic()
        self._throttled_since: float | None = None
        self._lock = threading.Lock()
        # Called with every response, in the thread that sent the request.
        self.on_response: Callable[[Request, Response], None] | None = None
        # Called before each write leaves, after its waits. What it raises ends the request.
        self.before_write: Callable[[], None] = lambda: None
        self.last_request_id = "-"
        self.last_headers: Mapping[str, str] = {}

    @property
    def age(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def send(self, request: Request, tokens: TokenSource) -> Response:
        """Send `request` until it succeeds.

        Raises the policy's error, with the response's `status`, when that is final; MaybeAppliedError and
        ConnectionBrokenError (see there); UnavailableError when the retries or the patience are used up; and
        StoppedError once the run was stopped.
        """
        sending = _AttemptState(retry=self.retry)
        try:
            while True:
                auth = tokens.token()
                outcome = self._attempt(request, auth, sending)
                if isinstance(outcome, Response):
                    break
                self._recover(request, outcome, sending, partial(tokens.refresh, auth))
        except ExportError as error:
            # Whatever ends the sending, the outcome of the attempts so far may be unknown.
            error.maybe_applied = sending.maybe_applied
            raise
        tokens.mark_accepted(auth)
        return outcome

    def _attempt(self, request: Request, auth: AuthBase, sending: _AttemptState) -> Response | _Failed:
        permit, waited = self.rate_limiter.acquire(write=request.write)
        response: Response | None = None
        headers = {"Accept": "application/json"} | ({"Content-Type": request.content_type} if request.body else {})
        try:
            if request.write:
                self.before_write()
            started = self._clock()
            # Before it leaves: a run that is stopped while it waits for the response has sent it.
            is_again, sending.attempts = sending.attempts > 0, sending.attempts + 1
            self._count.add(sent=int(request.write), retried=int(request.write and is_again), waiting_seconds=waited)
            response = self.transport.send(
                request.method, self._endpoint + request.path, headers=headers, body=request.body, auth=auth
            )
            self.last_request_id, self.last_headers = response.request_id, response.headers
            if self.on_response:
                self.on_response(request, response)
            outcome = _refused(request, response) or replace(
                response, latency=self._clock() - started, throttled=sending.throttled
            )
        except NoResponseError as error:
            outcome = _unanswered(request, error)
        finally:
            self.rate_limiter.release(permit, response.headers if response else None)
        if isinstance(outcome, _Failed):
            self._count.add(failed=int(request.write))
        else:
            with self._lock:
                self._throttled_since = None
        return outcome

    def _recover(self, request: Request, failed: _Failed, sending: _AttemptState, refresh: Callable[[], bool]) -> None:
        """Wait, or get another token, until the next attempt may be made; raises when there is none to be made."""
        recovery, error = failed.decision.recovery, failed.error
        sending.maybe_applied = sending.maybe_applied or failed.decision.maybe_applied
        sending.broken += failed.is_broken
        if recovery is Recovery.WAIT:
            sending.throttled = True
            self._wait_out_throttling(failed, default=next(sending.throttle_waits))
        elif recovery is Recovery.REFRESH:
            sending.refusals += 1
            if sending.refusals >= MOST_REFUSALS or not refresh():
                raise error
        elif recovery is Recovery.GIVE_UP:
            raise error
        elif not request.repeatable and sending.maybe_applied:
            self.rate_limiter.block_for(self._asked(failed))
            raise MaybeAppliedError(str(error), status=error.status, code=error.code)
        elif sending.retries >= self.retry.count:
            raise error.extend(f"; tried {sending.retries + 1} times" if sending.retries else "")
        elif request.divisible and sending.broken >= MOST_BROKEN:
            raise ConnectionBrokenError(str(error), status=error.status, code=error.code)
        else:
            sending.retries += 1
            wait, asked = next(sending.retry_waits), self._asked(failed)
            self.rate_limiter.block_for(asked)
            tried = f"try {sending.retries} of {self.retry.count + 1}"
            log.warning("%s, %s; trying again in %s", failed.what, tried, self._duration(max(wait, asked)))
            self.rate_limiter.wait(wait)
            self._count.add(waiting_seconds=wait)

    def _wait_out_throttling(self, failed: _Failed, *, default: float) -> None:
        # A server that asks for no wait at all must not be asked without a pause.
        wait = self._asked(failed) or default or min(_LEAST_PAUSE, self.retry.longest_wait)
        with self._lock:
            now = self._clock()
            if self._throttled_since is None:
                self._throttled_since = now
            throttled_for = now - self._throttled_since
        if throttled_for >= PATIENCE * self.retry.longest_wait:
            raise failed.error.extend(f"; no request has succeeded for {format_duration(throttled_for)}")
        # Once for all requests that get the same response at the same time.
        if self.rate_limiter.block_for(wait):
            log.warning("%s; all requests wait %s", failed.what, self._duration(wait))

    def _asked(self, failed: _Failed) -> float:
        """Seconds that a failed response asks to wait. Raises its error if that is more than is allowed."""
        asked = read_retry_after(failed.headers, wall=self._wall_clock())
        if asked is None and failed.decision.recovery is Recovery.WAIT:
            asked = read_reset_delay(failed.headers, wall=self._wall_clock())
        if asked and asked > self.retry.longest_wait:
            raise failed.error.extend(
                f"; it asks to wait {self._duration(asked)}, more than max_retry_wait_millis allows "
                f"({format_duration(self.retry.longest_wait)})"
            )
        return asked or 0.0

    def _duration(self, seconds: float) -> str:
        return format_duration(seconds, wall=self._wall_clock())


def _unanswered(request: Request, error: NoResponseError) -> _Failed:
    decision, what = FAILURES[error.failure], f"no response from Pinterest ({error}) to {request.label}"
    return _Failed(
        decision=decision,
        what=what,
        error=decision.error(f"{what}; {decision.advice}"),
        headers={},
        is_broken=error.failure in (Failure.BROKEN, Failure.WRITE_TIMEOUT),
    )


def _refused(request: Request, response: Response) -> _Failed | None:
    """What a response means that is no success; None for one that is."""
    decision = decide(response.status, response.code, response.message)
    if decision is None:
        return None
    code = "" if response.code is None else f" (code {response.code})"
    # A response may echo records, and the token endpoint's secrets.
    is_quotable = response.message and not request.has_records and not request.path.startswith("/oauth/")
    quote = f' "{sanitize(response.message, longest=_LONGEST_QUOTE)}"' if is_quotable else ""
    what = f"Pinterest answered {response.status}{code}{quote} to {request.label}"
    about_it = issubclass(decision.error, AccountError | RequestRefusedError)
    advice = request.advice.get(response.code, request.advice.get(None)) if about_it else None
    request_id = f" [x-pinterest-rid {response.request_id}]"
    error = decision.error(
        f"{what}; {advice or decision.advice}{request_id}", status=response.status, code=response.code
    )
    return _Failed(decision=decision, what=what + request_id, error=error, headers=response.headers, is_broken=False)
