"""One request to Pinterest, retried until it succeeds or the retries are used up."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from requests.auth import AuthBase

from td_pinterest_op.errors import (
    AccountError,
    BrokenTwiceError,
    ExportError,
    MaybeAppliedError,
    RequestRefusedError,
    UnavailableError,
)
from td_pinterest_op.json_body import json_object
from td_pinterest_op.pinterest.policy import FAILURES, Decision, Failure, Recovery, decide
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.pinterest.transport import NoResponseError, Response, Transport
from td_pinterest_op.retry import Retry
from td_pinterest_op.secret import escaped, excerpt
from td_pinterest_op.stats import RequestCounts
from td_pinterest_op.timing import Timing, duration

log = logging.getLogger(__name__)

# A 429 is waited out for this many times the longest single wait, with no other request succeeding meanwhile.
PATIENCE = 4
# The wait after a 429 when neither the server nor the settings ask for any, in seconds.
_LEAST_PAUSE = 1.0
# A request ends after this many 401s, whatever token they are about.
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
    advice: Mapping[int | None, str] | None = None

    @property
    def label(self) -> str:
        """The purpose and the ad account. Names in it are escaped: they come from elsewhere."""
        account = _AD_ACCOUNT.match(self.path)
        return escaped(self.purpose) + (f" (ad account {account[1]})" if account else "")

    @property
    def quotable(self) -> bool:
        """Whether messages may quote the response: it may echo records, and the token endpoint's may echo secrets."""
        return not self.has_records and not self.path.startswith("/oauth/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A success; `latency` is that of the last attempt alone, `throttled` whether any attempt got a 429."""

    response: Response
    latency: float
    throttled: bool


class TokenSource(Protocol):
    """Where a request's authorisation comes from."""

    def token(self) -> AuthBase:
        """The authorisation to send now."""

    def worked(self, used: AuthBase) -> None:
        """A request with `used` succeeded."""

    def refresh(self, used: AuthBase) -> bool:
        """After a 401: whether there is another authorisation than `used`, or may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """One attempt and what it means; `decision` is None for a success."""

    response: Response | None
    latency: float
    decision: Decision | None
    description: str
    is_broken: bool

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers if self.response else {}

    @property
    def request_id(self) -> str:
        """Pinterest's name for the request, for support requests."""
        return f" [x-pinterest-rid {self.response.request_id}]" if self.response else ""


class _Sending:
    """What became of the attempts of one request so far; `broken`: how many connections broke."""

    def __init__(self, *, retry: Retry) -> None:
        self.retry_waits, self.throttle_waits = retry.waits(), retry.waits()
        self.retries = self.refusals = self.broken = 0
        self.throttled = self.maybe_applied = False

    @property
    def again(self) -> bool:
        return self.throttled or self.retries > 0 or self.refusals > 0


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
        count: RequestCounts,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._transport = transport
        self.rate_limiter, self.retry = rate_limiter, retry
        self._clock, self._wall_clock, self._count = timing.monotonic, timing.wall, count
        self._began = timing.monotonic()
        self._throttled_since: float | None = None
        self._lock = threading.Lock()
        # Called with every response, in the thread that sent the request.
        self.on_response: Callable[[Request, Response], None] | None = None
        # Called before each write to an ad account leaves, after its waits. What it raises ends the request.
        self.before_write: Callable[[], None] = lambda: None
        self.last_request_id = "-"
        self.last_headers: Mapping[str, str] = {}

    @property
    def age(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def send(self, request: Request, tokens: TokenSource) -> Outcome:
        """Send `request` until it succeeds.

        Raises the policy's error, with the response's `status`, when that is final; MaybeAppliedError and
        BrokenTwiceError (see there); UnavailableError when the retries or the patience are used up; and StoppedError
        once the run was stopped.
        """
        sending = _Sending(retry=self.retry)
        while True:
            with _keeping_maybe_applied(sending.maybe_applied):
                auth = tokens.token()
                attempt = self._attempt(request, auth, again=sending.again)
            if attempt.decision is None:
                assert attempt.response is not None  # noqa: S101 - there is no success without a response
                tokens.worked(auth)
                return Outcome(response=attempt.response, latency=attempt.latency, throttled=sending.throttled)
            error = self._error(request, attempt, attempt.decision)
            sending.maybe_applied = error.maybe_applied = sending.maybe_applied or attempt.decision.maybe_applied
            with _keeping_maybe_applied(sending.maybe_applied):
                self._recover(request, attempt, attempt.decision, error, sending, partial(tokens.refresh, auth))

    def _recover(
        self,
        request: Request,
        attempt: _Attempt,
        decision: Decision,
        error: ExportError,
        sending: _Sending,
        refresh: Callable[[], bool],
    ) -> None:
        """Wait, or get another token, until the next attempt may be made; raises when there is none to be made."""
        description = f"{attempt.description} to {request.label}{attempt.request_id}"
        sending.broken += attempt.is_broken
        if decision.recovery is Recovery.WAIT:
            sending.throttled = True
            self._wait_out_throttling(description, error, attempt.headers, default=next(sending.throttle_waits))
        elif decision.recovery is Recovery.REFRESH:
            sending.refusals += 1
            if sending.refusals >= MOST_REFUSALS or not refresh():
                raise error
        elif decision.recovery is not Recovery.RETRY:
            raise error
        elif not request.repeatable and sending.maybe_applied:
            self._block_as_asked(error, attempt.headers)
            raise _of_type(MaybeAppliedError, error)
        elif sending.retries >= self.retry.count:
            raise error.extended(f"; tried {sending.retries + 1} times" if sending.retries else "")
        elif request.divisible and sending.broken >= MOST_BROKEN:
            raise _of_type(BrokenTwiceError, error)
        else:
            sending.retries += 1
            description += f", try {sending.retries} of {self.retry.count + 1}"
            self._wait_to_retry(description, error, attempt.headers, wait=next(sending.retry_waits))

    def _attempt(self, request: Request, auth: AuthBase, *, again: bool) -> _Attempt:
        permit, waited = self.rate_limiter.acquire(write=request.write)
        started = self._clock()
        response, failure = None, None
        headers = {"Accept": "application/json"} | ({"Content-Type": request.content_type} if request.body else {})
        try:
            if request.write and _AD_ACCOUNT.match(request.path):
                self.before_write()
                started = self._clock()
            # Before it leaves: a run that is told to end while it waits for the response has sent it.
            self._count.add(sent=int(request.write), retried=int(request.write and again), waiting_seconds=waited)
            response = self._transport.send(
                request.method, self._endpoint + request.path, headers=headers, body=request.body, auth=auth
            )
        except NoResponseError as error:
            failure = error.failure
            decision: Decision | None = FAILURES[failure]
            description = f"no response from Pinterest ({error})"
        else:
            decision = decide(response.status, error_code(response), _message(response))
            description = f"Pinterest answered {_quoted(response, with_message=request.quotable)}" if decision else ""
            self.last_request_id, self.last_headers = response.request_id, response.headers
            if self.on_response:
                self.on_response(request, response)
        finally:
            self.rate_limiter.release(permit, response.headers if response else None)
        if decision is None:
            with self._lock:
                self._throttled_since = None
        self._count.add(failed=int(request.write and decision is not None))
        return _Attempt(
            response=response,
            latency=self._clock() - started,
            decision=decision,
            description=description,
            is_broken=failure in (Failure.BROKEN, Failure.WRITE_TIMEOUT),
        )

    def _error(self, request: Request, attempt: _Attempt, decision: Decision) -> ExportError:
        refused = issubclass(decision.error, AccountError | RequestRefusedError)
        code = error_code(attempt.response) if attempt.response else None
        advice = request.advice.get(code, request.advice.get(None)) if refused and request.advice else None
        error = decision.error(
            f"{attempt.description} to {request.label}; {advice or decision.advice}{attempt.request_id}"
        )
        error.status = attempt.response.status if attempt.response else None
        error.code = code
        return error

    def _wait_out_throttling(
        self, description: str, error: ExportError, headers: Mapping[str, str], *, default: float
    ) -> None:
        asked = self.rate_limiter.retry_after(headers)
        if asked is None:
            asked = self.rate_limiter.reset_delay(headers)
        # A server that asks for no wait at all must not be asked without a pause.
        wait = asked or default or min(_LEAST_PAUSE, self.retry.longest_wait)
        self._refuse_to_wait(error, wait)
        with self._lock:
            now = self._clock()
            if self._throttled_since is None:
                self._throttled_since = now
            throttled_for = now - self._throttled_since
        if throttled_for >= PATIENCE * self.retry.longest_wait:
            raise error.extended(f"; no request has succeeded for {duration(throttled_for)}")
        # Once for all requests that get the same response at the same time.
        if self.rate_limiter.block_for(wait):
            log.warning("%s; all requests wait %s", description, self._duration(wait))

    def _wait_to_retry(self, description: str, error: ExportError, headers: Mapping[str, str], *, wait: float) -> None:
        asked = self._block_as_asked(error, headers)
        log.warning("%s; trying again in %s", description, self._duration(max(wait, asked)))
        self.rate_limiter.wait(wait)
        self._count.add(waiting_seconds=wait)

    def _block_as_asked(self, error: ExportError, headers: Mapping[str, str]) -> float:
        """Let no request leave before the time that a failed response names; returns how long that is."""
        asked = self.rate_limiter.retry_after(headers) or 0.0
        self._refuse_to_wait(error, asked)
        self.rate_limiter.block_for(asked)
        return asked

    def _refuse_to_wait(self, error: ExportError, wait: float) -> None:
        longest = self.retry.longest_wait
        if wait > longest:
            raise error.extended(
                f"; it asks to wait {self._duration(wait)}, more than max_retry_wait_millis allows "
                f"({duration(longest)})"
            )

    def _duration(self, seconds: float) -> str:
        return duration(seconds, wall=self._wall_clock())


@contextlib.contextmanager
def _keeping_maybe_applied(maybe_applied: bool) -> Iterator[None]:
    """If the block raises before a new attempt is made, the outcome of the earlier attempts is still unknown."""
    try:
        yield
    except ExportError as error:
        error.maybe_applied = maybe_applied
        raise


def _of_type(kind: type[UnavailableError], error: ExportError) -> UnavailableError:
    other = kind(str(error))
    other.status, other.code, other.maybe_applied = error.status, error.code, error.maybe_applied
    return other


def _quoted(response: Response, *, with_message: bool) -> str:
    code = error_code(response)
    text = str(response.status) if code is None else f"{response.status} (code {code})"
    message = _message(response)
    return f'{text} "{excerpt(message, _LONGEST_QUOTE)}"' if with_message and message else text


def _message(response: Response) -> str:
    message = json_object(response.body).get("message")
    return message if isinstance(message, str) else ""


def error_code(response: Response) -> int | None:
    """The `code` of Pinterest's error body, None without one."""
    code = json_object(response.body).get("code")
    return code if isinstance(code, int) else None
