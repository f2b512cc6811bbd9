"""Calls to Treasure Data, retried until they succeed or the retries are used up. All use of td-client is here."""

import contextlib
import logging
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tdclient.api
import urllib3

from td_pinterest_op import USER_AGENT
from td_pinterest_op.errors import ExportError, SettingsError, TreasureDataError, WorkflowError
from td_pinterest_op.http.retry import Retry, read_retry_after
from td_pinterest_op.http.transport import Failure, NoResponseError, Transport, parse_json_object, read_body
from td_pinterest_op.redaction.format import format_count, sanitize
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.clock import Timing, format_duration

log = logging.getLogger(__name__)

_ADVICE_ABOUT_KEY = {
    401: "Treasure Data refused the API key: check the secret td.apikey, and that TD_API_SERVER is the key's region",
    403: "Treasure Data does not permit this to the owner of the API key: give that user access to the database",
}
_TOO_MANY = 429
# What the workflow's author must do about any other response, by the hundred of its status.
_ADVICE = {
    3: "; redirects are not followed: check TD_API_SERVER, and a proxy that may respond in its place",
    4: "; repeating the request does not help: correct {subject}",
}
RUN_AGAIN = "; run this task again later"
"""The end of a message about a failure that may pass."""


def build_path(*parts: str) -> str:
    """Return the path `/v3/…` of the quoted parts. Raises WorkflowError for a part that would leave it."""
    if any(part.strip(".") == "" for part in parts):
        raise WorkflowError(
            "the name of a database, table or job is empty or consists of dots: no request was sent to Treasure Data"
        )
    return "/v3/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)


def build_refusal_error(status: int, response: str, *, subject: str) -> ExportError:
    """Return the error for a response that a retry would not change. `subject`: what to correct."""
    advice = _ADVICE.get(status // 100)
    if advice is None:
        return TreasureDataError(f"Treasure Data: {response}{RUN_AGAIN}", status=status)
    return WorkflowError(f"Treasure Data: {response}{advice.format(subject=subject)}", status=status)


class TemporaryError(Exception):
    """A failure that may pass: 429, 5xx, no response. `retry_after`: the seconds to wait before a retry."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class _ConnectionPool:
    """Sends td-client's requests in place of td-client's own connection pool."""

    transport: Transport

    def request(
        self, method: str, url: str, *, fields: Mapping[str, str], headers: Mapping[str, str]
    ) -> contextlib.AbstractContextManager[urllib3.BaseHTTPResponse]:
        """Send one request; the block reads its response."""
        form = {"content-type": "application/x-www-form-urlencoded"} if fields else {}
        body = urllib.parse.urlencode(fields).encode() if fields else None
        return self.transport.open(method, url, headers={**headers, **form}, body=body, auth=lambda request: request)


class TreasureData:
    """Treasure Data's API, with retries."""

    def __init__(self, *, api_key: Secret, endpoint: str, transport: Transport, retry: Retry, timing: Timing) -> None:
        # td-client logs the key at DEBUG, and raw bodies, which can be rows, at WARNING.
        logging.getLogger("tdclient").setLevel(logging.ERROR)
        self.retry, self.sleep, self._wall_clock = retry, timing.sleep, timing.wall
        # Without the slash at its end td-client would request //v3/…
        self._api = tdclient.api.API(api_key.reveal(), user_agent=USER_AGENT, endpoint=endpoint.rstrip("/") + "/")
        setattr(self._api, "http", _ConnectionPool(transport))  # noqa: B010 - declared as urllib3's pool

    def call(
        self, method: str, path: str, *, subject: str = "the name in its path", **params: str
    ) -> tuple[int, dict[str, Any]]:
        """Return the status (200, 404 or 409) and the JSON object of a response. `path`: see `build_path`.

        `subject`: what to correct if Treasure Data refuses the request. A POST is repeated like a GET: give it a
        `domain_key`, or make sure that it may be repeated.
        Raises SettingsError, WorkflowError and TreasureDataError.
        """
        waits, attempts = self.retry.waits(), self.retry.count + 1
        for attempt in range(1, attempts + 1):
            try:
                with self.open(method, path, params=params) as response:
                    status, content = response.status, parse_json_object(read_body(response))
                break
            except TemporaryError as error:
                if attempt == attempts:
                    raise TreasureDataError(
                        f"Treasure Data: {error} to {method} {path}, {format_count(attempts, 'time')}{RUN_AGAIN}"
                    ) from None
                self.pause(error, next(waits), f"to {method} {path}")
        if status not in (200, 404, 409):
            text = str(content.get("error") or content.get("message") or content.get("text") or "")
            response_text = f'response {status} "{sanitize(text, longest=300)}" to {method} {path}'
            raise build_refusal_error(status, response_text, subject=subject)
        return status, content

    def pause(self, failure: TemporaryError, wait: float, place: str) -> None:
        """Sleep `wait` seconds, or as long as the response asks. Raises TreasureDataError if that is too long.

        `place` completes the failure, for messages.
        """
        if failure.retry_after > self.retry.longest_wait:
            raise TreasureDataError(
                f"Treasure Data: {failure} {place}; it asks to wait {format_duration(failure.retry_after)}, more than "
                f"max_retry_wait_millis allows ({format_duration(self.retry.longest_wait)}){RUN_AGAIN}"
            )
        wait = max(wait, failure.retry_after)
        log.warning("Treasure Data: %s %s; trying again in %s", failure, place, format_duration(wait))
        self.sleep(wait)

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send one request without retries; its response is read within the block.

        Raises WorkflowError (key, permission), SettingsError (proxy), TreasureDataError (certificate), and
        TemporaryError if a retry may help.
        """
        # Not td-client's get() and post(): these retry on their own, for minutes, and hide the response.
        url, all_headers = self._api.build_request(path, {"Accept-Encoding": "identity", **(headers or {})})
        try:
            with self._api.send_request(method, url, fields=dict(params or {}), headers=all_headers) as response:
                if advice := _ADVICE_ABOUT_KEY.get(response.status):
                    text = f"{advice} (response {response.status} to {method} {path})"
                    raise WorkflowError(text, status=response.status)
                if response.status == _TOO_MANY or response.status >= 500:
                    seconds = read_retry_after(response.headers, wall=self._wall_clock())
                    raise TemporaryError(f"response {response.status}", retry_after=seconds or 0.0)
                yield response
        except NoResponseError as error:
            raise _explain_no_response(error, f"to {method} {path}") from None


def _explain_no_response(error: NoResponseError, place: str) -> Exception:
    """Return the error for a request without a usable response: TemporaryError if a retry may help."""
    if error.failure is Failure.OVERSIZED:
        return TreasureDataError(f"Treasure Data: {error}, {place}")
    # Any other failure of TLS may pass.
    if error.failure is Failure.TLS and "certificate" in str(error).lower():
        return TreasureDataError(
            f"Treasure Data: {error}. If your network has a certificate authority of its own, name its file in "
            "REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
        )
    if error.failure is Failure.UNUSABLE:
        return SettingsError(
            f"Treasure Data: {error}; check TD_API_SERVER, the proxy (HTTPS_PROXY or ALL_PROXY) and the certificates "
            "(REQUESTS_CA_BUNDLE or SSL_CERT_FILE)"
        )
    return TemporaryError(f"no response ({error})")
