"""One request to Pinterest, retried until it succeeds or the retries are used up."""

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
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
# A request ends after this many 401s, and a run after this many refusals of refresh tokens.
MOST_REFUSALS = 10
# After this many broken connections, a request that can be divided is taken to be too large.
MOST_BROKEN = 2
# Characters of Pinterest's message in ours.
_LONGEST_QUOTE = 200
_AD_ACCOUNT = re.compile(r"/ad_accounts/(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to Pinterest.

    `purpose` completes "the request to …". `path` is below the endpoint. `advice`: what to do about a
    refusal, by Pinterest's code (None: any other), where there is more to say than the policy does. `records`: how many
    it has; more than one can be sent in several requests.
    """

    method: str
    path: str
    purpose: str
    body: bytes | None = None
    content_type: str = "application/json"
    write: bool = False
    records: int = 0
    repeatable: bool = True
    advice: Mapping[int | None, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The request's purpose and ad account for messages, with names from elsewhere escaped."""
        account = _AD_ACCOUNT.match(self.path)
        return escape(self.purpose) + (f" (ad account {account[1]})" if account else "")


# Called with every response, in the thread that sent the request.
OnResponse = Callable[[Request, Response], None]


class TokenSource:
    """Provides the authorisation of requests: here a single token, which cannot be renewed."""

    def __init__(self, auth: AuthBase) -> None:
        self._auth = auth

    def token(self) -> AuthBase:
        """Return the authorisation to use now."""
        return self._auth

    def mark_accepted(self, used: AuthBase) -> None:
        """Remember that Pinterest accepted a request with the authorisation `used`."""

    def refresh(self, used: AuthBase) -> bool:  # noqa: ARG002 - for other sources
        """Replace the authorisation `used` after a 401; return whether there is another one to try."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _FailedAttempt:
    """An attempt to send a request that failed. `text` is for the log; `error` is raised if no attempt follows."""

    decision: Decision
    text: str
    error: ExportError
    headers: Mapping[str, str]
    is_broken: bool


class _AttemptState:
    """The attempts of one request so far. `waited`: the seconds before retries that are not in the statistics yet."""

    def __init__(self, *, retry: Retry) -> None:
        self.retry_waits, self.throttle_waits = retry.waits(), retry.waits()
        self.attempts = self.retries = self.refusals = self.broken = 0
        self.throttled = self.maybe_applied = False
        self.waited = 0.0

    def add_failure(self, failed: _FailedAttempt) -> None:
        """Count a failed attempt."""
        decision = failed.decision
        self.maybe_applied = self.maybe_applied or decision.maybe_applied
        self.throttled = self.throttled or decision.recovery is Recovery.WAIT
        self.refusals += decision.recovery is Recovery.REFRESH
        self.broken += failed.is_broken


class Client:
    """Sends all requests of a run, with retries. `send` may be called from several threads."""

    def __init__(
        self,
        *,
        endpoint: str,
        transport: Transport,
        rate_limiter: RateLimiter,
        retry: Retry,
        timing: Timing,
        count: RequestCounts | None = None,
        on_response: OnResponse | None = None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self.transport, self.rate_limiter, self.retry = transport, rate_limiter, retry
        self._clock, self._wall_clock, self._counts = timing.monotonic, timing.wall, count or RequestCounts()
        self._began = timing.monotonic()
        self._throttled_since: float | None = None
        self._lock = threading.Lock()
        self._on_response = on_response
        self._check_write: Callable[[], None] = lambda: None
        self.last_request_id = "-"
        self.last_headers: Mapping[str, str] = {}

    @property
    def age(self) -> float:
        """The seconds since the run began."""
        return self._clock() - self._began

    @contextlib.contextmanager
    def check_writes(self, check: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `check` before each write is sent. What `check` raises ends the request."""
        before, self._check_write = self._check_write, check
        try:
            yield
        finally:
            self._check_write = before

    @contextlib.contextmanager
    def disable_retries(self) -> Iterator[None]:
        """Within the block, send each request only once."""
        before, self.retry = self.retry, replace(self.retry, count=0, longest_wait=0.0)
        try:
            yield
        finally:
            self.retry = before

    def send(self, request: Request, tokens: TokenSource) -> Response:
        """Send a request until it succeeds; return its response.

        Raises the policy's error, with the response's `status`, when that is final; MaybeAppliedError and
        ConnectionBrokenError (see there); UnavailableError when the retries or the patience are used up; and
        StoppedError once the run was stopped.
        """
        state = _AttemptState(retry=self.retry)
        try:
            while True:
                auth = tokens.token()
                outcome = self._send_once(request, auth, state)
                if isinstance(outcome, Response):
                    tokens.mark_accepted(auth)
                    return outcome
                state.add_failure(outcome)
                self._prepare_retry(request, outcome, state, partial(tokens.refresh, auth))
        except ExportError as error:
            # Whatever ends the request, Pinterest may have carried out an earlier attempt.
            error.maybe_applied = state.maybe_applied
            raise

    def _send_once(self, request: Request, auth: AuthBase, state: _AttemptState) -> Response | _FailedAttempt:
        """Send the request once, as soon as the limits allow it, and count it."""
        permit, waited = self.rate_limiter.acquire(write=request.write)
        response: Response | None = None
        headers = {"Accept": "application/json"} | ({"Content-Type": request.content_type} if request.body else {})
        try:
            if request.write:
                self._check_write()
            is_retry, started = request.write and state.attempts > 0, self._clock()
            # Before it leaves: a run that is stopped while it waits for the response has sent it.
            self._counts.add(sent=request.write, retried=is_retry, waiting_seconds=waited + state.waited)
            state.attempts, state.waited = state.attempts + 1, 0.0
            response = self.transport.send(
                request.method, self._endpoint + request.path, headers=headers, body=request.body, auth=auth
            )
            self.last_request_id, self.last_headers = response.request_id, response.headers
            if self._on_response:
                self._on_response(request, response)
            outcome = _explain_refusal(request, response) or replace(
                response, latency=self._clock() - started, throttled=state.throttled
            )
        except NoResponseError as error:
            outcome = _explain_no_response(request, error)
        finally:
            self.rate_limiter.release(permit, response.headers if response else None)
        if isinstance(outcome, _FailedAttempt):
            self._counts.add(failed=request.write)
        else:
            with self._lock:
                self._throttled_since = None
        return outcome

    def _prepare_retry(
        self, request: Request, failed: _FailedAttempt, state: _AttemptState, refresh: Callable[[], bool]
    ) -> None:
        """Wait, or get another token, before the next attempt. Raises if there is no next attempt."""
        recovery = failed.decision.recovery
        if recovery is Recovery.WAIT:
            self._wait_out_throttling(failed, default=next(state.throttle_waits))
        elif recovery is Recovery.RETRY:
            self._wait_for_retry(request, failed, state)
        elif recovery is Recovery.GIVE_UP or state.refusals >= MOST_REFUSALS or not refresh():
            raise failed.error

    def _wait_out_throttling(self, failed: _FailedAttempt, *, default: float) -> None:
        """Hold back all requests as long as a 429 asks. Raises if none has succeeded for too long."""
        # A server that asks for no wait at all must not be asked without a pause.
        wait = self._read_requested_wait(failed) or default or min(_LEAST_PAUSE, self.retry.longest_wait)
        with self._lock:
            now = self._clock()
            self._throttled_since = now if self._throttled_since is None else self._throttled_since
            throttled_for = now - self._throttled_since
        if throttled_for >= PATIENCE * self.retry.longest_wait:
            raise failed.error.extend(f"; no request has succeeded for {format_duration(throttled_for)}")
        # Once for all requests that get the same response at the same time.
        if self.rate_limiter.block_for(wait):
            log.warning("%s; all requests wait %s", failed.text, format_duration(wait, wall=self._wall_clock()))

    def _wait_for_retry(self, request: Request, failed: _FailedAttempt, state: _AttemptState) -> None:
        """Wait before the next retry. Raises the request's error if no retry is left."""
        requested = self._read_requested_wait(failed)
        self.rate_limiter.block_for(requested)
        if final := _final_error(request, failed.error, state, retries=self.retry.count):
            raise final
        state.retries += 1
        wait, tries = next(state.retry_waits), f"try {state.retries} of {self.retry.count + 1}"
        until = format_duration(max(wait, requested), wall=self._wall_clock())
        log.warning("%s, %s; trying again in %s", failed.text, tries, until)
        self.rate_limiter.wait(wait)
        state.waited = wait

    def _read_requested_wait(self, failed: _FailedAttempt) -> float:
        """Return the seconds that a response asks to wait. Raises its error if that is longer than allowed."""
        wall = self._wall_clock()
        seconds = read_retry_after(failed.headers, wall=wall)
        if seconds is None and failed.decision.recovery is Recovery.WAIT:
            seconds = read_reset_delay(failed.headers, wall=wall)
        if seconds and seconds > self.retry.longest_wait:
            raise failed.error.extend(
                f"; it asks to wait {format_duration(seconds, wall=wall)}, more than max_retry_wait_millis allows "
                f"({format_duration(self.retry.longest_wait)})"
            )
        return seconds or 0.0


def _final_error(request: Request, error: ExportError, state: _AttemptState, *, retries: int) -> ExportError | None:
    """Return the error of a request that must not be sent again; None for one that may."""
    if not request.repeatable and state.maybe_applied:
        return MaybeAppliedError(str(error), status=error.status, code=error.code)
    if state.retries >= retries:
        return error.extend(f"; tried {state.retries + 1} times" if state.retries else "")
    if request.records > 1 and state.broken >= MOST_BROKEN:
        return ConnectionBrokenError(str(error), status=error.status, code=error.code)
    return None


def _explain_no_response(request: Request, error: NoResponseError) -> _FailedAttempt:
    """Return the failed attempt of a request without a response."""
    decision, text = FAILURES[error.failure], f"no response from Pinterest ({error}) to the request to {request.label}"
    return _FailedAttempt(
        decision=decision,
        text=text,
        error=decision.error(f"{text}; {decision.advice}"),
        headers={},
        is_broken=error.failure in (Failure.BROKEN, Failure.WRITE_TIMEOUT),
    )


def _explain_refusal(request: Request, response: Response) -> _FailedAttempt | None:
    """Return the failed attempt that a response means; None if it is a success."""
    decision = decide(response.status, response.code, response.message)
    if decision is None:
        return None
    code = "" if response.code is None else f" (code {response.code})"
    # A response may echo records, and the token endpoint's secrets.
    is_quotable = response.message and not request.records and not request.path.startswith("/oauth/")
    quote = f' "{sanitize(response.message, longest=_LONGEST_QUOTE)}"' if is_quotable else ""
    text = f"Pinterest answered {response.status}{code}{quote} to the request to {request.label}"
    is_about_request = issubclass(decision.error, AccountError | RequestRefusedError)
    advice = request.advice.get(response.code, request.advice.get(None)) if is_about_request else None
    request_id = f" [x-pinterest-rid {response.request_id}]"
    error = decision.error(
        f"{text}; {advice or decision.advice}{request_id}", status=response.status, code=response.code
    )
    return _FailedAttempt(
        decision=decision, text=text + request_id, error=error, headers=response.headers, is_broken=False
    )
