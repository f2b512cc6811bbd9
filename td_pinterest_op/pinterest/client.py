"""One request to Pinterest, retried until it succeeds or the retries are used up."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from requests.auth import AuthBase

from td_pinterest_op.errors import AccountError, ExportError, RequestRefusedError, UnavailableError
from td_pinterest_op.pinterest.policy import FAILURES, Decision, Failure, Recovery, decide
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.pinterest.transport import NoResponseError, Response, Transport
from td_pinterest_op.retry import Retry
from td_pinterest_op.secret import mask
from td_pinterest_op.stats import RequestCounts
from td_pinterest_op.timing import Timing

log = logging.getLogger(__name__)

_U = TypeVar("_U", bound=UnavailableError)

# A 429 is waited out for so many times the longest single wait, with no other request succeeding meanwhile.
PATIENCE = 4
# The wait after a 429 when neither the server nor the settings ask for any, in seconds.
_LEAST_PAUSE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to Pinterest, before a token is added.

    `purpose` completes "Pinterest answered 500 to …". `path` is below the endpoint. `advice` is what to do about an
    answer that refuses it, where there is more to say than the policy does.
    """

    method: str
    path: str
    purpose: str
    body: bytes | None = None
    content_type: str = "application/json"
    write: bool = False
    has_records: bool = False
    divisible: bool = False
    repeatable: bool = True
    advice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A successful answer; `latency` is that of the last try alone, `throttled` whether any try was answered 429."""

    response: Response
    latency: float
    throttled: bool


class TokenSource(Protocol):
    """Where a request's authorisation comes from."""

    def token(self) -> AuthBase:
        """The authorisation to send now."""

    def refresh(self, used: AuthBase) -> bool:
        """After a 401: whether another authorisation than `used` is to be had."""


class MaybeAppliedError(UnavailableError):
    """A request that must not be carried out twice failed after it may have been carried out: look before repeating."""


class BrokenTwiceError(UnavailableError):
    """The connection broke twice at a request that can be divided: its body may be too large for something between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """One exchange and what it means; `decision` is None for a success. `broken`: the connection broke midway."""

    broken: bool
    response: Response | None
    latency: float
    decision: Decision | None
    description: str

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers if self.response else {}

    @property
    def request_id(self) -> str:
        """Pinterest's name for the request, for support requests."""
        return f" [x-pinterest-rid {self.response.request_id}]" if self.response else ""


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
        self._clock, self._count = timing.monotonic, count
        self._throttled_since: float | None = None
        self._lock = threading.Lock()
        self.last_request_id = "-"
        self.last_headers: Mapping[str, str] = {}

    def send(self, request: Request, tokens: TokenSource) -> Outcome:
        """Send `request` until it succeeds.

        Raises the policy's error, with the answer's `status`, when that is final; MaybeAppliedError (see there);
        UnavailableError when the retries or the patience are used up; and StoppedError once the run was stopped.
        """
        retry_waits, throttle_waits = self.retry.waits(), self.retry.waits()
        retries, broken, throttled, renewed, maybe_applied = 0, 0, False, False, False
        while True:
            with _keeping_maybe_applied(maybe_applied):
                auth = tokens.token()
                attempt = self._attempt(request, auth, again=retries > 0 or throttled or renewed)
            if attempt.decision is None:
                assert attempt.response is not None  # noqa: S101 - there is no success without an answer
                return Outcome(response=attempt.response, latency=attempt.latency, throttled=throttled)
            recovery, error = attempt.decision.recovery, self._error(request, attempt, attempt.decision)
            maybe_applied = error.maybe_applied = maybe_applied or attempt.decision.maybe_applied
            if recovery is Recovery.WAIT:
                throttled = True
                description = f"{attempt.description} to {request.purpose}{attempt.request_id}"
                self._wait_out_throttling(description, error, attempt.headers, default=next(throttle_waits))
            elif recovery is Recovery.REFRESH and not renewed:
                with _keeping_maybe_applied(maybe_applied):
                    renewed = tokens.refresh(auth)
                if not renewed:
                    raise error
            elif recovery is not Recovery.RETRY:
                raise error
            elif not request.repeatable and maybe_applied:
                self._block_as_asked(error, attempt.headers)
                raise _maybe_applied(error, MaybeAppliedError)
            elif retries >= self.retry.count:
                raise error.extended(f"; tried {retries + 1} times" if retries else "")
            elif request.divisible and attempt.broken and broken == 1:
                raise _maybe_applied(error, BrokenTwiceError)
            else:
                broken += attempt.broken
                retries += 1
                with _keeping_maybe_applied(maybe_applied):
                    description = (
                        f"{attempt.description} to {request.purpose}{attempt.request_id}, "
                        f"try {retries} of {self.retry.count + 1}"
                    )
                    self._wait_to_retry(description, error, attempt.headers, wait=next(retry_waits))

    def _attempt(self, request: Request, auth: AuthBase, *, again: bool) -> _Attempt:
        permit, waited = self.rate_limiter.acquire(write=request.write)
        started = self._clock()
        response: Response | None = None
        broken = False
        headers = {"Accept": "application/json"} | ({"Content-Type": request.content_type} if request.body else {})
        # Before it leaves: a run that is told to end while it waits for the answer has sent it.
        self._count.add(sent=int(request.write), retried=int(request.write and again), waiting_seconds=waited)
        try:
            response = self._transport.send(
                request.method, self._endpoint + request.path, headers=headers, body=request.body, auth=auth
            )
        except NoResponseError as error:
            decision: Decision | None = FAILURES[error.failure]
            broken = error.failure in (Failure.BROKEN, Failure.WRITE_TIMEOUT)
            description = f"no answer from Pinterest ({error})"
        else:
            decision = decide(response.status, error_code(response))
            description = (
                f"Pinterest answered {_quoted(response, with_message=not request.has_records)}" if decision else ""
            )
            self.last_request_id, self.last_headers = response.request_id, response.headers
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
            broken=broken,
        )

    def _error(self, request: Request, attempt: _Attempt, decision: Decision) -> ExportError:
        refused = issubclass(decision.error, AccountError | RequestRefusedError)
        advice = request.advice if request.advice and refused else decision.advice
        error = decision.error(f"{attempt.description} to {request.purpose}; {advice}{attempt.request_id}")
        error.status = attempt.response.status if attempt.response else None
        error.code = error_code(attempt.response) if attempt.response else None
        return error

    def _wait_out_throttling(
        self, description: str, error: ExportError, headers: Mapping[str, str], *, default: float
    ) -> None:
        asked = self.rate_limiter.retry_after(headers)
        if asked is None:
            asked = self.rate_limiter.reset_delay(headers)
        # A server that asks for no wait at all is not to be asked without end.
        wait = asked or default or min(_LEAST_PAUSE, self.retry.longest_wait)
        self._refuse_to_wait(error, wait)
        with self._lock:
            now = self._clock()
            if self._throttled_since is None:
                self._throttled_since = now
            throttled_for = now - self._throttled_since
        if throttled_for >= PATIENCE * self.retry.longest_wait:
            raise error.extended(f"; no request has succeeded for {throttled_for:.0f} s")
        # Once for all requests that are told the same at the same time.
        if self.rate_limiter.block_for(wait):
            log.warning("%s; all requests wait %.1f s", description, wait)

    def _wait_to_retry(self, description: str, error: ExportError, headers: Mapping[str, str], *, wait: float) -> None:
        asked = self._block_as_asked(error, headers)
        log.warning("%s; trying again in %.1f s", description, max(wait, asked))
        self.rate_limiter.wait(wait)
        self._count.add(waiting_seconds=wait)

    def _block_as_asked(self, error: ExportError, headers: Mapping[str, str]) -> float:
        """Let no request leave before the time that a failed answer names; returns how long that is."""
        asked = self.rate_limiter.retry_after(headers) or 0.0
        self._refuse_to_wait(error, asked)
        self.rate_limiter.block_for(asked)
        return asked

    def _refuse_to_wait(self, error: ExportError, wait: float) -> None:
        longest = self.retry.longest_wait
        if wait > longest:
            raise error.extended(
                f"; it asks to wait {wait:.1f} s, more than max_retry_wait_millis allows ({longest:.1f} s)"
            )


@contextlib.contextmanager
def _keeping_maybe_applied(maybe_applied: bool) -> Iterator[None]:
    """When it ends without a try (no token, run stopped), what became of the earlier tries is as open as before."""
    try:
        yield
    except ExportError as error:
        error.maybe_applied = maybe_applied
        raise


def _maybe_applied(error: ExportError, kind: type[_U]) -> _U:
    error_after = kind(str(error))
    error_after.status, error_after.code, error_after.maybe_applied = error.status, error.code, True
    return error_after


def _quoted(response: Response, *, with_message: bool) -> str:
    code = error_code(response)
    text = str(response.status) if code is None else f"{response.status} (code {code})"
    # An answer to records may echo them: what it says is then kept out of every message.
    message = json_object(response).get("message")
    if not with_message or not isinstance(message, str):
        return text
    # Masked before it is cut: half a credential is not recognised. One line, so that it cannot pass for several.
    return f'{text} "{" ".join(mask(message).split())[:200]}"'


def error_code(response: Response) -> int | None:
    """The `code` of Pinterest's error body, None without one."""
    code = json_object(response).get("code")
    return code if isinstance(code, int) else None


def json_object(response: Response) -> dict[str, Any]:
    """The answer's body, empty when it is no JSON object."""
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
