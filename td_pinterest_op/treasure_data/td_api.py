"""Call Treasure Data's API, and repeat calls that fail for a reason that may pass. All use of td-client is here."""

import contextlib
import copy
import logging
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import tdclient.api

from td_pinterest_op import USER_AGENT
from td_pinterest_op.errors import TreasureDataError, WorkflowError
from td_pinterest_op.http.retry import RetrySchedule, parse_retry_after, retry
from td_pinterest_op.http.transport import (
    UNUSABLE_CONNECTION_ADVICE,
    Failure,
    NoResponseError,
    RawResponse,
    Response,
    Transport,
    read_response,
)
from td_pinterest_op.redaction.secret import Secret, mask_and_escape, mask_long_numbers_too
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing, format_duration
from td_pinterest_op.runtime.text import format_count

log = logging.getLogger(__name__)

_ALLOWLIST_ADVICE = "that the account's IP allowlist admits this machine's address"
_API_KEY_ADVICE_BY_STATUS = {
    401: f"Check the secret td.apikey, that TD_API_SERVER is the key's region, and {_ALLOWLIST_ADVICE}",
    403: "Give that user access to the database (the permissions Query and Download, and Edit for the tables that the "
    "operator makes) or, for the result of a job, use the key of the user who ran it, and check " + _ALLOWLIST_ADVICE,
}
_API_KEY_PROBLEM_BY_STATUS = {
    401: "Treasure Data refused the API key",
    403: "Treasure Data does not permit this to the owner of the API key",
}
# Repeats of a reading request whose key is refused, but worked before in this run: that may pass.
_REFUSED_KEY_RETRIES = 2
RUN_AGAIN_ADVICE = "Run this task again later"


def build_v3_path(*parts: str) -> str:
    """Return the path of an endpoint. The `parts` are URL-encoded."""
    return "/v3/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)


def build_refusal_error(status: int, response_text: str, *, subject: str) -> WorkflowError:
    """Return the error for a request that is refused for good.

    `response_text`: the response and the request. `subject`: what the user must correct.
    """
    advice = f"Repeating the request does not help: correct {subject}"
    if 300 <= status < 400:
        advice = "Redirects are not followed: check TD_API_SERVER, and a proxy that may respond in its place"
    return WorkflowError(f"Treasure Data: {response_text}", advice=advice, status=status)


class TemporaryError(Exception):
    """A request failed for a reason that may pass. `retry_after`: how many seconds the response asks to wait."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TreasureData:
    """A client for Treasure Data's API."""

    def __init__(
        self, *, api_key: Secret, endpoint: str, transport: Transport, retry: RetrySchedule, timing: Timing
    ) -> None:
        # td-client logs the key at DEBUG, and raw bodies, which can be rows, at WARNING.
        logging.getLogger("tdclient").setLevel(logging.ERROR)
        self.retry = retry
        self._timing = timing
        self._transport = transport
        self._end: float | None = None  # by the monotonic clock
        self._refusals_left = 0  # how often a refused key is tried again
        # Without the slash at its end td-client would request //v3/…
        self._api = tdclient.api.API(api_key.reveal(), user_agent=USER_AGENT, endpoint=endpoint.rstrip("/") + "/")

    def without_retries(self, seconds: float) -> "TreasureData":
        """Return a client on the same connection that repeats no request.

        Once all its calls together have taken `seconds`, they raise TreasureDataError.
        """
        limited = copy.copy(self)
        limited.retry = replace(self.retry, count=0)
        limited._refusals_left = 0
        limited._end = self._timing.monotonic() + seconds
        return limited

    @property
    def has_time_limit(self) -> bool:
        """Whether this client is from `without_retries`."""
        return self._end is not None

    def sleep(self, seconds: float) -> None:
        """Sleep. Raises StoppedError if the run has to end, and TreasureDataError if the time limit comes first."""
        shutdown.raise_if_requested()
        if self._end is not None and self._timing.monotonic() + seconds > self._end:
            self._end = self._timing.monotonic()  # also for whoever would try again
            raise TreasureDataError("Treasure Data: no result within the time limit")
        self._timing.sleep(seconds)

    def call(
        self, method: str, path: str, *, subject: str = "the name in its path", **params: str
    ) -> tuple[int, dict[str, Any]]:
        """Call an endpoint, with retries. Return the response's status (200, 404 or 409) and JSON object.

        `subject`: what the user must correct if the request is refused. `params`: the fields of a form. A POST is
        repeated like a GET: give it a `domain_key`, or make sure that it may be repeated. Raises WorkflowError (for a
        request that is refused for good) and TreasureDataError.
        """
        request = f"to {method} {path}"

        def send() -> Response:
            with self.open_response(method, path, params=params) as raw:
                return read_response(raw)

        try:
            response = retry(
                send,
                islice(self.retry.iterate_endless_waits(), self.retry.count),
                on=TemporaryError,
                sleep=self.sleep,
                before_wait=lambda error, wait: self.log_and_choose_wait(error, wait, request),
            )
        except TemporaryError as error:
            tries = "" if self._end else f", after {format_count(self.retry.count + 1, 'attempt')}"
            raise TreasureDataError(f"Treasure Data: {error} {request}{tries}", advice=RUN_AGAIN_ADVICE) from None
        if response.status not in (200, 404, 409):
            text = f'response {response.status} "{_get_error_text(response)}" {request}'
            raise build_refusal_error(response.status, text, subject=subject)
        return response.status, response.content

    def log_and_choose_wait(self, failure: TemporaryError, wait: float, where: str) -> float:
        """Log that a request will be repeated, and return the seconds to wait first: `wait`, or Retry-After if longer.

        `where`: for messages, such as "in the result of job 12". Raises TreasureDataError if Retry-After is longer than
        the settings allow.
        """
        if failure.retry_after > self.retry.longest_wait:
            raise TreasureDataError(
                f"Treasure Data: {failure} {where}; Treasure Data asks to wait {format_duration(failure.retry_after)}, "
                f"more than max_retry_wait_millis allows ({format_duration(self.retry.longest_wait)})",
                advice=RUN_AGAIN_ADVICE,
            )
        wait = max(wait, failure.retry_after)
        log.warning("Treasure Data: %s %s; trying again in %s", failure, where, format_duration(wait))
        return wait

    @contextlib.contextmanager
    def open_response(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[RawResponse]:
        """Send one request, without retries, and yield the response. The `with` block reads it.

        Raises TemporaryError if a retry may help, and WorkflowError for a refused API key or an unusable server or
        proxy. The caller judges any other status.
        """
        request = f"to {method} {path}"
        form = {"Content-Type": "application/x-www-form-urlencoded"} if params else {}
        # What a terminal without UTF-8 hands over is sent as it was typed.
        body = urllib.parse.urlencode(params or {}, errors="surrogateescape").encode() or None
        # td-client only signs the request: its own retries last minutes, and hide the response.
        url, signed = self._api.build_request(path, {"Accept-Encoding": "identity", **form, **(headers or {})})
        limit = None if self._end is None else max(self._end - self._timing.monotonic(), 0.1)
        try:
            with self._transport.open_response(method, url, headers=signed, body=body, timeout=limit) as response:
                status = response.status
                if status in (408, 421, 423, 425, 429) or status >= 500:
                    seconds = parse_retry_after(response.headers, now=self._timing.now())
                    raise TemporaryError(f"response {status}", retry_after=seconds)
                if status in _API_KEY_ADVICE_BY_STATUS:
                    text = f'response {status} "{_get_error_text(read_response(response))}"'
                    if method == "GET" and self._refusals_left:
                        self._refusals_left -= 1
                        raise TemporaryError(text)
                    raise WorkflowError(
                        f"{_API_KEY_PROBLEM_BY_STATUS[status]} ({text} {request})",
                        advice=_API_KEY_ADVICE_BY_STATUS[status],
                        status=status,
                    )
                if status < 300:
                    self._refusals_left = min(_REFUSED_KEY_RETRIES, self.retry.count)
                yield response
        except NoResponseError as error:
            # Any other failure of TLS may pass.
            if error.failure in (Failure.UNUSABLE, Failure.UNTRUSTED):
                advice = f"Check TD_API_SERVER, {UNUSABLE_CONNECTION_ADVICE}"
                raise WorkflowError(f"Treasure Data: {error}", advice=advice) from None
            raise TemporaryError(f"no response ({error})") from None


def _get_error_text(response: Response) -> str:
    # `error` may be the bare word "error".
    texts = map(response.content.get, ("text", "message", "error"))
    return mask_and_escape(mask_long_numbers_too(str(next(filter(None, texts), ""))), longest=300)
