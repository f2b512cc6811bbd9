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
from td_pinterest_op.pinterest.policy import FAILURES, Decision, Recovery, judge_response
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.redaction.secret import escape, sanitize
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
        """The request's purpose and its ad account as text for messages, with control characters escaped."""
        account = _AD_ACCOUNT.match(self.path)
        return escape(self.purpose) + (f" (ad account {account[1]})" if account else "")


# Is called with every response, in the thread that sent the request.
OnResponse = Callable[[Request, Response], None]


class TokenSource:
    """Supplies the credentials of requests. This base class has a single credential, which cannot be replaced."""

    def __init__(self, auth: AuthBase) -> None:
        self._auth = auth

    def get_token(self) -> AuthBase:
        """Return the credentials for the next request."""
        return self._auth

    def mark_accepted(self, used: AuthBase) -> None:
        """Record that Pinterest accepted a request with the credentials `used`."""

    def replace_token(self, used: AuthBase) -> bool:  # noqa: ARG002 - for other sources
        """Replace the credentials `used` after a 401; return whether the request can be sent with others."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _FailedAttempt:
    """A failed attempt to send a request: a `text` for the log, and the `error` to raise if it is the last attempt."""

    decision: Decision
    text: str
    error: ExportError
    headers: Mapping[str, str] = field(default_factory=dict)
    is_broken: bool = False


class _Attempts:
    """The failed attempts of one request. `waited`: seconds of waiting that the statistics do not contain yet."""

    def __init__(self, *, retry: Retry) -> None:
        self.retry_waits, self.throttle_waits = retry.iterate_waits(), retry.iterate_waits()
        self.failures: list[_FailedAttempt] = []
        self.waited = 0.0

    def count_failures(self, recovery: Recovery) -> int:
        """Return how many of the failed attempts have this recovery, such as RETRY."""
        return sum(failure.decision.recovery is recovery for failure in self.failures)

    @property
    def maybe_applied(self) -> bool:
        """Whether Pinterest may have carried out one of the failed attempts."""
        return any(failure.decision.maybe_applied for failure in self.failures)


class Client:
    """Sends a run's requests to Pinterest, with retries. `send` may be called from several threads."""

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
        # Called before each write is sent; an exception that it raises ends the request.
        self._check_write: Callable[[], None] = lambda: None
        self.last_request_id = "-"
        self.last_headers: Mapping[str, str] = {}

    @property
    def age(self) -> float:
        """The seconds since this client was created."""
        return self._clock() - self._began

    @contextlib.contextmanager
    def check_writes(self, check: Callable[[], None]) -> Iterator[None]:
        """Call `check` before each write request that is sent in the block; an error from `check` ends that request."""
        self._check_write = check
        try:
            yield
        finally:
            self._check_write = lambda: None

    def send(self, request: Request, tokens: TokenSource) -> Response:
        """Send a request, and again after each failure that may pass; return the successful response.

        Raises the error of the policy, MaybeAppliedError, ConnectionBrokenError, and StoppedError.
        """
        attempts = _Attempts(retry=self.retry)
        try:
            while True:
                auth = tokens.get_token()
                outcome = self._send_once(request, auth, attempts)
                if isinstance(outcome, Response):
                    tokens.mark_accepted(auth)
                    return outcome
                attempts.failures.append(outcome)
                self._prepare_retry(request, outcome, attempts, partial(tokens.replace_token, auth))
        except ExportError as error:
            # Whatever ends the request, Pinterest may have carried out an earlier attempt.
            error.maybe_applied = attempts.maybe_applied
            raise

    def _send_once(self, request: Request, auth: AuthBase, attempts: _Attempts) -> Response | _FailedAttempt:
        """Send the request once, when the rate limits allow it, and count it. Return its response or failed attempt."""
        permit, waited = self.rate_limiter.acquire_permit(write=request.write)
        response: Response | None = None
        headers = {"Accept": "application/json"} | ({"Content-Type": request.content_type} if request.body else {})
        try:
            if request.write:
                self._check_write()
            is_retry = request.write and bool(attempts.failures)
            # Before it leaves: a run that is stopped while it waits for the response has sent it.
            self._counts.add(sent=request.write, retried=is_retry, waiting_seconds=waited + attempts.waited)
            attempts.waited = 0.0
            response = self.transport.send(
                request.method, self._endpoint + request.path, headers=headers, body=request.body, auth=auth
            )
            self.last_request_id, self.last_headers = response.request_id, response.headers
            if self._on_response:
                self._on_response(request, response)
            throttled = attempts.count_failures(Recovery.WAIT) > 0
            outcome = _explain_refusal(request, response) or replace(response, throttled=throttled)
        except NoResponseError as error:
            outcome = _explain_no_response(request, error)
        finally:
            self.rate_limiter.release_permit(permit, response.headers if response else None)
        if isinstance(outcome, _FailedAttempt):
            self._counts.add(failed=request.write)
        else:
            with self._lock:
                self._throttled_since = None
        return outcome

    def _prepare_retry(
        self, request: Request, failed: _FailedAttempt, attempts: _Attempts, refresh: Callable[[], bool]
    ) -> None:
        """Wait, or call `refresh`, before the next attempt. Raises the error of `failed` if no attempt may follow."""
        recovery = failed.decision.recovery
        if recovery is Recovery.WAIT:
            self._wait_out_throttling(failed, default=next(attempts.throttle_waits))
        elif recovery is Recovery.RETRY:
            self._wait_for_retry(request, failed, attempts)
        elif recovery is Recovery.GIVE_UP or attempts.count_failures(recovery) >= MOST_REFUSALS or not refresh():
            raise failed.error

    def _wait_out_throttling(self, failed: _FailedAttempt, *, default: float) -> None:
        """Delay all requests after a 429 response, by `default` seconds unless the response asks for another wait.

        Raises the error of `failed` if no request has succeeded for a long time.
        """
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

    def _wait_for_retry(self, request: Request, failed: _FailedAttempt, attempts: _Attempts) -> None:
        """Wait before the next retry of a request. Raises an error if the request must not be sent again."""
        error, requested = failed.error, self._read_requested_wait(failed)
        self.rate_limiter.block_for(requested)
        tries, most = attempts.count_failures(Recovery.RETRY), self.retry.count + 1
        if not request.repeatable and attempts.maybe_applied:
            raise MaybeAppliedError(str(error), status=error.status, code=error.code)
        if tries >= most:
            raise error.extend(f"; tried {tries} times" if tries > 1 else "")
        if request.records > 1 and sum(failure.is_broken for failure in attempts.failures) >= MOST_BROKEN:
            raise ConnectionBrokenError(str(error), status=error.status, code=error.code)
        wait = next(attempts.retry_waits)
        until = format_duration(max(wait, requested), wall=self._wall_clock())
        log.warning("%s (attempt %d of %d); trying again in %s", failed.text, tries, most, until)
        self.rate_limiter.wait(wait)
        attempts.waited = wait

    def _read_requested_wait(self, failed: _FailedAttempt) -> float:
        """Return the seconds that a failed response asks to wait. Raises the error of `failed` if they are too many."""
        wall = self._wall_clock()
        seconds = read_retry_after(failed.headers, wall=wall)
        if seconds is None and failed.decision.recovery is Recovery.WAIT:
            seconds = read_reset_delay(failed.headers, wall=wall)
        if seconds and seconds > self.retry.longest_wait:
            raise failed.error.extend(
                f"; Pinterest asks to wait {format_duration(seconds, wall=wall)}, more than max_retry_wait_millis "
                f"allows ({format_duration(self.retry.longest_wait)})"
            )
        return seconds or 0.0


def _explain_no_response(request: Request, error: NoResponseError) -> _FailedAttempt:
    """Return the failed attempt for a request that got no response. `error` is the reason."""
    decision, text = FAILURES[error.failure], f"no response from Pinterest ({error}) to the request to {request.label}"
    is_broken = error.failure in (Failure.BROKEN, Failure.WRITE_TIMEOUT)
    final = decision.error(f"{text}; {decision.advice}")
    return _FailedAttempt(decision=decision, text=text, error=final, is_broken=is_broken)


def _explain_refusal(request: Request, response: Response) -> _FailedAttempt | None:
    """Return the failed attempt for a response that reports a failure, or None for a success."""
    decision = judge_response(response.status, response.code, response.message)
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
    return _FailedAttempt(decision=decision, text=text + request_id, error=error, headers=response.headers)
