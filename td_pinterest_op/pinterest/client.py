"""One request to Pinterest, retried until it succeeds or the retries are used up."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from requests.auth import AuthBase

from td_pinterest_op.errors import ExportError, MaybeAppliedError, RequestRefusedError, Subject
from td_pinterest_op.http.retry import RetrySchedule, parse_rate_limit_reset, parse_retry_after
from td_pinterest_op.http.transport import NoResponseError, Response, Transport
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.pinterest.retry_policy import FAILURE_DECISIONS, FailureDecision, Recovery, decide_after_response
from td_pinterest_op.redaction.secret import escape_for_message, mask_and_escape
from td_pinterest_op.runtime.clock import Timing, format_duration
from td_pinterest_op.stats import RequestCounts

log = logging.getLogger(__name__)

# A 429 is waited out for this many times the longest wait, unless a request succeeds meanwhile.
_THROTTLED_LIMIT_IN_LONGEST_WAITS = 4
# The pause, in seconds, if neither the server nor the settings ask for one.
_DEFAULT_PAUSE_AFTER_429 = 1.0
# A request ends after this many 401s, and a run after this many refusals of refresh tokens.
MOST_TOKEN_REFUSALS = 10

# What to do about a refusal, by Pinterest's code (None: any other).
AdviceByCode = Mapping[int | None, str]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to Pinterest, without credentials."""

    method: str
    path: str  # what follows the endpoint in the URL
    purpose: str  # completes "the request to …"
    subjects: Sequence[Subject] = ()  # those that the purpose names
    body: bytes | None = None
    content_type: str = "application/json"
    write: bool = False  # whether it changes something, so that the limit of writes a minute counts it
    has_records: bool = False  # whether it sends identifiers, which a response may echo
    repeatable: bool = True  # whether it may be sent again if it may have been carried out
    advice: AdviceByCode = field(default_factory=dict)  # overrides that of the policy

    @property
    def is_about_tokens(self) -> bool:
        """Whether the response may have secrets: only its error code may be shown."""
        return self.path.startswith("/oauth/")


class TokenSource:
    """Supplies the credentials of requests. This base class has a single one, which cannot be replaced."""

    def __init__(self, auth: AuthBase) -> None:
        self._auth = auth

    def get_token(self) -> AuthBase:
        """Return the credentials for the next request."""
        return self._auth

    def replace_refused_token(self, token: AuthBase, *, has_worked: bool) -> bool:  # noqa: ARG002 - for other sources
        """Replace the credential `token` after a 401. Returns whether to send the request again.

        `has_worked`: whether Pinterest accepted it before.
        """
        return False


@dataclass(frozen=True, kw_only=True)
class _FailedAttempt:
    decision: FailureDecision
    text: str
    error: ExportError
    headers: Mapping[str, str] = field(default_factory=dict)  # the response's


@dataclass(eq=False, repr=False, kw_only=True)
class Client:
    """Sends a run's requests to Pinterest, from several threads, and repeats failed ones."""

    endpoint: str
    transport: Transport
    rate_limiter: RateLimiter
    retry: RetrySchedule
    timing: Timing
    counts: RequestCounts = field(default_factory=RequestCounts)
    # Called with every response, in the thread that sent the request.
    on_response: Callable[[Response], object] = lambda _: None
    # Called before each write request, which an error stops.
    check_write: Callable[[], object] = lambda: None
    last_headers: Mapping[str, str] = field(default_factory=dict)
    _throttled_since: float | None = None  # the first 429 since a success, on the monotonic clock
    # Keyed by id(), since not all can be hashed.
    _accepted_credentials: dict[int, AuthBase] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began = self.timing.monotonic()

    def send(self, request: Request, tokens: TokenSource) -> Response:
        """Send a request, and repeat it after each failure that may pass. Returns the successful response.

        Raises the error of `decide_after_response`, MaybeAppliedError if a request that is not repeatable may have been
        carried out, and StoppedError if the run is to end.
        """
        failures: list[_FailedAttempt] = []
        try:
            while True:
                auth = tokens.get_token()
                outcome = self._send_once(request, auth, is_retry=bool(failures))
                if isinstance(outcome, Response):
                    self._throttled_since = None
                    self._accepted_credentials[id(auth)] = auth
                    throttled = any(failure.decision.recovery is Recovery.WAIT for failure in failures)
                    return replace(outcome, throttled=throttled)
                self.counts.add(failed=request.write)
                failures.append(outcome)
                recovery = outcome.decision.recovery
                tries = sum(failure.decision.recovery is recovery for failure in failures)
                has_worked = id(auth) in self._accepted_credentials
                if recovery is not Recovery.REFRESH:
                    self._wait_or_raise(request, outcome, tries)
                elif tries >= MOST_TOKEN_REFUSALS or not tokens.replace_refused_token(auth, has_worked=has_worked):
                    raise outcome.error
        except ExportError as error:
            # Whatever ends the request, Pinterest may have carried out an earlier attempt.
            error.maybe_applied = request.write and any(failure.decision.maybe_applied for failure in failures)
            raise

    def _send_once(self, request: Request, auth: AuthBase, *, is_retry: bool) -> Response | _FailedAttempt:
        url = self.endpoint.rstrip("/") + request.path
        headers = {"Accept": "application/json"}
        if request.body:
            headers["Content-Type"] = request.content_type
        try:
            with self.rate_limiter.wait_for_permit(write=request.write) as waited:
                if request.write:
                    self.check_write()
                # Counted now: a run that is stopped while it waits for the response has sent it.
                self.counts.add(sent=request.write, retried=request.write and is_retry, waiting_seconds=waited)
                response = self.transport.send(request.method, url, headers=headers, body=request.body, auth=auth)
            self.last_headers = response.headers
            self.on_response(response)
        except NoResponseError as broken:
            failure = FAILURE_DECISIONS[broken.failure]
            text = f"no response from Pinterest ({broken}) to the request to {escape_for_message(request.purpose)}"
            records_advice = failure.records_advice if request.has_records else ""
            error = failure.error(
                text, advice=". ".join(filter(None, [failure.advice, records_advice])), subjects=request.subjects
            )
            return _FailedAttempt(decision=failure, text=text, error=error)
        status = response.status
        code = response.error_code
        decision = decide_after_response(status, code, response.error_message)
        if decision is None:
            return response
        is_quotable = response.error_message and not request.has_records and not request.is_about_tokens
        quote = f' "{mask_and_escape(response.error_message, longest=200)}"' if is_quotable else ""
        code_text = "" if code is None else f" (code {code})"
        text = f"Pinterest answered {status}{code_text}{quote} to the request to {escape_for_message(request.purpose)}"
        is_about_request = status >= 400 and decision.recovery in (Recovery.REFRESH, Recovery.GIVE_UP)
        advice = request.advice.get(code, request.advice.get(None)) if is_about_request else None
        request_id = "" if request.is_about_tokens else f" [x-pinterest-rid {response.request_id}]"
        text += request_id
        error = decision.error(
            text, advice=advice or decision.advice, subjects=request.subjects, status=status, error_code=code
        )
        if isinstance(error, RequestRefusedError):
            error.is_read = request.method == "GET"
        return _FailedAttempt(decision=decision, text=text, error=error, headers=response.headers)

    def _wait_or_raise(self, request: Request, failed: _FailedAttempt, tries: int) -> None:
        """Wait, or delay the next permit, before a retry. Raises an error if there is none.

        `tries`: how many attempts have failed in this way.
        """
        recovery = failed.decision.recovery
        if recovery is Recovery.GIVE_UP:
            raise failed.error
        now = self.timing.now()
        longest_wait = self.retry.longest_wait
        requested = parse_retry_after(failed.headers, now=now)
        if recovery is Recovery.WAIT:
            requested = requested or parse_rate_limit_reset(failed.headers)
        if requested > longest_wait:
            failed.error.what += (
                f"; Pinterest asks to wait {format_duration(requested, start_time=now)}, more than "
                f"max_retry_wait_millis allows ({format_duration(longest_wait)})"
            )
            raise failed.error
        wait = next(islice(self.retry.iterate_endless_waits(), tries - 1, None))
        if recovery is Recovery.WAIT:
            pause = requested or wait or min(_DEFAULT_PAUSE_AFTER_429, longest_wait)
            clock = self.timing.monotonic()
            since = self._throttled_since  # which another thread may change meanwhile
            if since is None:
                since = self._throttled_since = clock
            if clock - since >= _THROTTLED_LIMIT_IN_LONGEST_WAITS * longest_wait:
                failed.error.what += f"; no request has succeeded for {format_duration(clock - since)}"
                raise failed.error
            # Logged once for all requests that get such a response at the same time.
            if self.rate_limiter.delay_all_requests(pause):
                log.warning("%s; all requests wait %s", failed.text, format_duration(pause, start_time=now))
            return
        self.rate_limiter.delay_all_requests(requested)
        if failed.decision.maybe_applied and not request.repeatable:
            raise failed.error.convert_to(MaybeAppliedError)
        if tries > self.retry.count:
            failed.error.what += f"; tried {tries} times" if tries > 1 else ""
            raise failed.error
        until = format_duration(max(wait, requested), start_time=now)
        log.warning("%s (attempt %d of %d); trying again in %s", failed.text, tries, self.retry.count + 1, until)
        self.rate_limiter.wait(wait)
        self.counts.add(waiting_seconds=wait)
