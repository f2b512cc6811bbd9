"""Calls to Treasure Data, retried until they succeed or the retries are used up. All use of td-client is here."""

import contextlib
import logging
import urllib.parse
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import tdclient.api

from td_pinterest_op import USER_AGENT
from td_pinterest_op.errors import ExportError, SettingsError, TreasureDataError, WorkflowError
from td_pinterest_op.http.retry import Retry, read_retry_after
from td_pinterest_op.http.transport import Failure, NoResponseError, RawResponse, Transport, read_response
from td_pinterest_op.redaction.secret import Secret, mask_with_numbers, sanitize
from td_pinterest_op.runtime.clock import Timing, format_duration
from td_pinterest_op.stats import format_count

log = logging.getLogger(__name__)

_ADVICE_ABOUT_KEY = {
    401: "Treasure Data refused the API key: check the secret td.apikey, and that TD_API_SERVER is the key's region",
    403: "Treasure Data does not permit this to the owner of the API key: give that user access to the database",
}
# By the hundred of the status, for all other responses.
_ADVICE = {
    3: "; redirects are not followed: check TD_API_SERVER, and a proxy that may respond in its place",
    4: "; repeating the request does not help: correct {subject}",
}
# The end of a message about a failure that may pass.
RUN_AGAIN = "; run this task again later"


def build_path(*parts: str) -> str:
    """Return the API path `/v3/…` made of `*parts`, each of which is URL-encoded here."""
    return "/v3/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)


def build_refusal_error(status: int, response_text: str, *, subject: str) -> ExportError:
    """Return the error for a response that refuses a request for good. `subject`: what the user must correct."""
    advice = _ADVICE.get(status // 100)
    if advice is None:
        return TreasureDataError(f"Treasure Data: {response_text}{RUN_AGAIN}", status=status)
    return WorkflowError(f"Treasure Data: {response_text}{advice.format(subject=subject)}", status=status)


class TemporaryError(Exception):
    """A failure that may pass, such as a 429. `retry_after`: the seconds that the response asks to wait."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TreasureData:
    """A client for Treasure Data's API. Repeats requests that fail for a reason that may pass."""

    def __init__(self, *, api_key: Secret, endpoint: str, transport: Transport, retry: Retry, timing: Timing) -> None:
        # td-client logs the key at DEBUG, and raw bodies, which can be rows, at WARNING.
        logging.getLogger("tdclient").setLevel(logging.ERROR)
        self.retry, self.sleep, self._wall_clock, self._transport = retry, timing.sleep, timing.now, transport
        # Without the slash at its end td-client would request //v3/…
        self._api = tdclient.api.API(api_key.reveal(), user_agent=USER_AGENT, endpoint=endpoint.rstrip("/") + "/")

    def call(
        self, method: str, path: str, *, subject: str = "the name in its path", **params: str
    ) -> tuple[int, dict[str, Any]]:
        """Call an endpoint, with retries. Return the response's status (200, 404 or 409) and JSON object.

        `path`: see `build_path`. `subject`: what the user must correct if the request is refused. `params`: a form. A
        POST is repeated like a GET: give it a `domain_key`, or make sure that it may be repeated.
        Raises SettingsError, WorkflowError and TreasureDataError.
        """
        request = f"to {method} {path}"
        for wait in (*islice(self.retry.iterate_waits(), self.retry.count), None):
            try:
                with self.open_response(method, path, params=params) as raw:
                    response = read_response(raw)
                status, content = response.status, response.content
                break
            except TemporaryError as error:
                if wait is None:
                    tries = format_count(self.retry.count + 1, "attempt")
                    raise TreasureDataError(f"Treasure Data: {error} {request}, after {tries}{RUN_AGAIN}") from None
                self.wait_for_retry(error, wait, request)
        if status not in (200, 404, 409):
            text = str(next(filter(None, map(content.get, ("error", "message", "text"))), ""))
            response_text = f'response {status} "{sanitize(mask_with_numbers(text), longest=300)}" {request}'
            raise build_refusal_error(status, response_text, subject=subject)
        return status, content

    def wait_for_retry(self, failure: TemporaryError, wait: float, where: str) -> None:
        """Sleep `wait` seconds, or the failed response's Retry-After if longer.

        `where`: text for messages, such as "in the result of job 12". Raises TreasureDataError if the wait is too long.
        """
        if failure.retry_after > self.retry.longest_wait:
            raise TreasureDataError(
                f"Treasure Data: {failure} {where}; Treasure Data asks to wait {format_duration(failure.retry_after)}, "
                f"more than max_retry_wait_millis allows ({format_duration(self.retry.longest_wait)}){RUN_AGAIN}"
            )
        wait = max(wait, failure.retry_after)
        log.warning("Treasure Data: %s %s; trying again in %s", failure, where, format_duration(wait))
        self.sleep(wait)

    @contextlib.contextmanager
    def open_response(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[RawResponse]:
        """Send one request (`params`: a form), without retries, and yield its response for the block to read.

        Raises WorkflowError for a refused key, TemporaryError if a retry may help, and as `_explain_no_response` says.
        """
        form = {"Content-Type": "application/x-www-form-urlencoded"} if params else {}
        # What a terminal without UTF-8 hands over is sent as the bytes that were typed.
        body = urllib.parse.urlencode(params or {}, errors="surrogateescape").encode() or None
        # td-client signs the request, but does not send it: its own retries last minutes, and hide the response.
        url, signed = self._api.build_request(path, {"Accept-Encoding": "identity", **form, **(headers or {})})
        try:
            with self._transport.open_response(method, url, headers=signed, body=body) as response:
                status = response.status
                if advice := _ADVICE_ABOUT_KEY.get(status):
                    raise WorkflowError(f"{advice} (response {status} to {method} {path})", status=status)
                if status in (408, 421, 423, 425, 429) or status >= 500:
                    seconds = read_retry_after(response.headers, now=self._wall_clock())
                    raise TemporaryError(f"response {status}", retry_after=seconds or 0.0)
                yield response
        except NoResponseError as error:
            raise _explain_no_response(error, f"to {method} {path}") from None


def _explain_no_response(error: NoResponseError, request_text: str) -> Exception:
    """Return what to raise for a request without a response. `request_text`: such as "to GET /v3/job/status/12"."""
    text = f"Treasure Data: {error}"
    if error.failure is Failure.OVERSIZED:
        return TreasureDataError(f"{text}, {request_text}")
    # Any other failure of TLS may pass.
    if error.failure is Failure.TLS and "certificate" in text.lower():
        return TreasureDataError(
            f"{text}. If your network has a certificate authority of its own, name its file in REQUESTS_CA_BUNDLE or "
            "SSL_CERT_FILE"
        )
    if error.failure is Failure.UNUSABLE:
        return SettingsError(
            f"{text}; check TD_API_SERVER, the proxy (HTTPS_PROXY or ALL_PROXY) and the certificates "
            "(REQUESTS_CA_BUNDLE or SSL_CERT_FILE)"
        )
    return TemporaryError(f"no response ({error})")
