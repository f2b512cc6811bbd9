"""One request to Pinterest until it is answered or given up: authorise, pace, send, retry as the policy says."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from requests.auth import AuthBase

from td_pinterest_op.errors import AccountError, ExportError, RequestRefusedError, UnavailableError
from td_pinterest_op.pinterest.policy import FAILURES, Arrival, Step, Verdict, verdict
from td_pinterest_op.pinterest.rate_limit import Pace
from td_pinterest_op.pinterest.transport import Answer, NoAnswerError, Transport
from td_pinterest_op.retry import Retry
from td_pinterest_op.secret import mask

log = logging.getLogger(__name__)

# A 429 is waited out for so many times the longest single wait, with no other request succeeding meanwhile.
PATIENCE = 4
# The wait after a 429 when neither the server nor the settings ask for any, in seconds.
_LEAST_PAUSE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`purpose` completes "Pinterest answered 500 to …". `path` is below the endpoint. `advice` is what to do about an
    answer that refuses it, where there is more to say than the policy does."""

    method: str
    path: str
    purpose: str
    body: bytes | None = None
    content_type: str = "application/json"
    write: bool = False
    has_records: bool = False
    repeatable: bool = True
    advice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A successful answer; `latency` is that of the last try alone, `throttled` whether any try was answered 429."""

    answer: Answer
    latency: float
    throttled: bool


class Authority(Protocol):
    """Where a request's authorisation comes from."""

    def auth(self) -> AuthBase: ...

    def renew(self, used: AuthBase) -> bool:
        """After a 401: whether another authorisation than `used` is to be had."""


class Counter(Protocol):
    def __call__(
        self,
        *,
        requests_sent: int = 0,
        requests_retried: int = 0,
        requests_failed: int = 0,
        waiting_seconds: float = 0.0,
    ) -> None: ...


class MaybeArrivedError(UnavailableError):
    """A request that must not be carried out twice failed after it may have been carried out: look before repeating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One exchange and what it means; `verdict` is None for a success."""

    answer: Answer | None
    latency: float
    verdict: Verdict | None
    said: str

    @property
    def headers(self) -> Mapping[str, str]:
        return self.answer.headers if self.answer else {}

    @property
    def rid(self) -> str:
        """Pinterest's name for the request, to follow what is said of it."""
        return f" [x-pinterest-rid {self.answer.request_id}]" if self.answer else ""


class Session:
    """All requests of a run. `send` may be called from several threads."""

    def __init__(
        self,
        *,
        endpoint: str,
        transport: Transport,
        pace: Pace,
        retry: Retry,
        clock: Callable[[], float],
        count: Counter,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._transport = transport
        self.pace, self.retry = pace, retry
        self._clock, self._count = clock, count
        self._throttled_since: float | None = None
        self._lock = threading.Lock()
        self.last_request_id = "-"

    def send(self, request: Request, authority: Authority) -> Outcome:
        """Send `request` until it succeeds.

        Raises the policy's error, with the answer's `status`, when that is final; MaybeArrivedError (see there);
        UnavailableError when the retries or the patience are used up; and StoppedError once the pace was stopped.
        """
        retry_waits, throttle_waits = self.retry.waits(), self.retry.waits()
        retries, throttled, renewed, maybe_done = 0, False, False, False
        while True:
            with _doubted(maybe_done):
                auth = authority.auth()
                tried = self._try(request, auth, again=retries > 0 or throttled or renewed)
            if tried.verdict is None:
                assert tried.answer is not None  # noqa: S101 - there is no success without an answer
                return Outcome(answer=tried.answer, latency=tried.latency, throttled=throttled)
            step, error = tried.verdict.step, self._error(request, tried, tried.verdict)
            maybe_done = error.maybe_done = maybe_done or tried.verdict.arrival is Arrival.MAYBE
            if step is Step.WAIT:
                throttled = True
                said = f"{tried.said} to {request.purpose}{tried.rid}"
                self._wait_as_asked(said, error, tried.headers, otherwise=next(throttle_waits))
            elif step is Step.REFRESH and not renewed:
                with _doubted(maybe_done):
                    renewed = authority.renew(auth)
                if not renewed:
                    raise error
            elif step is not Step.RETRY:
                raise error
            elif not request.repeatable and maybe_done:
                self._hold_as_asked(error, tried.headers)
                raise _maybe_arrived(error)
            elif retries >= self.retry.count:
                raise error.extended(f"; tried {retries + 1} times" if retries else "")
            else:
                retries += 1
                with _doubted(maybe_done):
                    said = f"{tried.said} to {request.purpose}{tried.rid}, try {retries} of {self.retry.count + 1}"
                    self._wait_to_retry(said, error, tried.headers, wait=next(retry_waits))

    def _try(self, request: Request, auth: AuthBase, *, again: bool) -> _Try:
        slot, waited = self.pace.enter(write=request.write)
        started = self._clock()
        answer: Answer | None = None
        headers = {"Accept": "application/json"} | ({"Content-Type": request.content_type} if request.body else {})
        # Before it leaves: a run that is told to end while it waits for the answer has sent it.
        self._count(
            requests_sent=int(request.write), requests_retried=int(request.write and again), waiting_seconds=waited
        )
        try:
            answer = self._transport.exchange(
                request.method, self._endpoint + request.path, headers=headers, body=request.body, auth=auth
            )
        except NoAnswerError as error:
            ruling: Verdict | None = FAILURES[error.failure]
            said = f"no answer from Pinterest ({error})"
        else:
            ruling = verdict(answer.status, error_code(answer))
            said = f"Pinterest answered {_quoted(answer, with_message=not request.has_records)}" if ruling else ""
            self.last_request_id = answer.request_id
        finally:
            self.pace.leave(slot, answer.headers if answer else None)
        if ruling is None:
            with self._lock:
                self._throttled_since = None
        self._count(requests_failed=int(request.write and ruling is not None))
        return _Try(answer=answer, latency=self._clock() - started, verdict=ruling, said=said)

    def _error(self, request: Request, tried: _Try, ruling: Verdict) -> ExportError:
        refused = issubclass(ruling.error, AccountError | RequestRefusedError)
        advice = request.advice if request.advice and refused else ruling.advice
        error = ruling.error(f"{tried.said} to {request.purpose}; {advice}{tried.rid}")
        error.status = tried.answer.status if tried.answer else None
        return error

    def _wait_as_asked(self, said: str, error: ExportError, headers: Mapping[str, str], *, otherwise: float) -> None:
        asked = self.pace.retry_after(headers)
        if asked is None:
            asked = self.pace.reset_delay(headers)
        # A server that asks for no wait at all is not to be asked without end.
        wait = asked or otherwise or min(_LEAST_PAUSE, self.retry.longest_wait)
        self._refuse_to_wait(error, wait)
        with self._lock:
            now = self._clock()
            if self._throttled_since is None:
                self._throttled_since = now
            throttled_for = now - self._throttled_since
        if throttled_for >= PATIENCE * self.retry.longest_wait:
            raise error.extended(f"; no request has succeeded for {throttled_for:.0f} s")
        # Once for all requests that are told the same at the same time.
        if self.pace.hold(wait):
            log.warning("%s; all requests wait %.1f s", said, wait)

    def _wait_to_retry(self, said: str, error: ExportError, headers: Mapping[str, str], *, wait: float) -> None:
        asked = self._hold_as_asked(error, headers)
        log.warning("%s; trying again in %.1f s", said, max(wait, asked))
        self.pace.pause(wait)
        self._count(waiting_seconds=wait)

    def _hold_as_asked(self, error: ExportError, headers: Mapping[str, str]) -> float:
        """Let no request leave before the time that a failed answer names; returns how long that is."""
        asked = self.pace.retry_after(headers) or 0.0
        self._refuse_to_wait(error, asked)
        self.pace.hold(asked)
        return asked

    def _refuse_to_wait(self, error: ExportError, wait: float) -> None:
        longest = self.retry.longest_wait
        if wait > longest:
            raise error.extended(
                f"; it asks to wait {wait:.1f} s, more than max_retry_wait_millis allows ({longest:.1f} s)"
            )


@contextlib.contextmanager
def _doubted(maybe_done: bool) -> Iterator[None]:
    """When it ends without a try (no token, run stopped), what became of the earlier tries is as open as before."""
    try:
        yield
    except ExportError as error:
        error.maybe_done = maybe_done
        raise


def _maybe_arrived(error: ExportError) -> MaybeArrivedError:
    doubtful = MaybeArrivedError(str(error))
    doubtful.status, doubtful.maybe_done = error.status, True
    return doubtful


def _quoted(answer: Answer, *, with_message: bool) -> str:
    code = error_code(answer)
    text = str(answer.status) if code is None else f"{answer.status} (code {code})"
    # An answer to records may echo them: what it says is then kept out of every message.
    message = json_object(answer).get("message")
    if not with_message or not isinstance(message, str):
        return text
    # Masked before it is cut: half a credential is not recognised. One line, so that it cannot pass for several.
    return f'{text} "{" ".join(mask(message).split())[:200]}"'


def error_code(answer: Answer) -> int | None:
    """The `code` of Pinterest's error body, None without one."""
    code = json_object(answer).get("code")
    return code if isinstance(code, int) else None


def json_object(answer: Answer) -> dict[str, Any]:
    """The answer's body, empty when it is no JSON object."""
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
