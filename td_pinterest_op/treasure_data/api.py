"""One call to Treasure Data, retried until it succeeds or the retries are used up; all that tdclient is used for."""

from __future__ import annotations

import contextlib
import logging
import urllib.parse
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import tdclient.api
import urllib3

from td_pinterest_op import USER_AGENT
from td_pinterest_op.errors import TreasureDataError, WorkflowError
from td_pinterest_op.json_body import json_object
from td_pinterest_op.printable import printable
from td_pinterest_op.retry import Retry, retry_after
from td_pinterest_op.secret import Secret
from td_pinterest_op.timing import Timing, duration
from td_pinterest_op.treasure_data.pool import route

log = logging.getLogger(__name__)

_REFUSED = {
    401: "Treasure Data refused the API key: check the secret td.apikey, and that TD_API_SERVER is the key's region",
    403: "Treasure Data does not permit this to the owner of the API key: give that user access to the database",
}
_TOO_MANY = 429
_PIECE = 64 * 1024
# A response of a call holds the text of a query and a schema at most; both are far smaller.
MAXIMUM_BODY = 8 * 1024 * 1024
_DEFLATE_OR_GZIP = 32 + zlib.MAX_WBITS


def path_of(*parts: str) -> str:
    """`/v3/…` of these parts, each quoted whole. Raises WorkflowError for a part that would lead elsewhere."""
    if any(part.strip(".") == "" for part in parts):
        raise WorkflowError("a name for Treasure Data is empty or made of dots: nothing was asked")
    return "/v3/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)


class TemporaryError(ConnectionError):
    """Treasure Data cannot answer now: 429, 5xx, a broken connection. `retry_after`: seconds that it asks to wait."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TreasureData:
    """Calls with retries; waits come from `retry`, in seconds."""

    def __init__(
        self,
        *,
        api_key: Secret,
        endpoint: str,
        connect_timeout: float,
        read_timeout: float,
        retry: Retry,
        timing: Timing,
    ) -> None:
        # td-client logs the key at DEBUG, and raw bodies, which can be rows, at WARNING.
        logging.getLogger("tdclient").setLevel(logging.ERROR)
        self.retry, self.sleep, self._wall_clock = retry, timing.sleep, timing.wall
        # Without the slash at its end td-client would ask for //v3/…
        self._api = tdclient.api.API(api_key.reveal(), user_agent=USER_AGENT, endpoint=endpoint.rstrip("/") + "/")
        self._route = route(self._api.endpoint, connect_timeout=connect_timeout, read_timeout=read_timeout)
        self._api.http = self._route.pool

    def close(self) -> None:
        """Close the connections."""
        self._route.pool.clear()

    def call(self, method: str, path: str, **params: str) -> tuple[int, dict[str, Any]]:
        """The status (200, 404 or 409) and the JSON object of a response; `path`: see `path_of`.

        A POST is repeated like a GET: give it a `domain_key`, or make sure that it may be repeated.
        Raises WorkflowError (key, permission) and TreasureDataError.
        """
        waits = self.retry.waits()
        for attempt in range(self.retry.count + 1):
            try:
                with self.opening(method, path, params=params) as response:
                    status, content = response.status, json_object(_body(response, f"{method} {path}"))
            except TemporaryError as error:
                failure = error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failure = TemporaryError(f"no response ({_cause(error)}) from {self._route.through}")
            else:
                if status in (200, 404, 409):
                    return status, content
                raise TreasureDataError(
                    f'Treasure Data: response {status} "{_error_text(content)}" to {method} {path}; '
                    "run this task again later"
                )
            if attempt < self.retry.count:
                self.pause(failure, next(waits), f"to {method} {path}")
        raise TreasureDataError(
            f"Treasure Data: {failure} to {method} {path}, {self.retry.count + 1} times; run this task again later"
        )

    def pause(self, failure: TemporaryError, wait: float, what: str) -> None:
        """Sleep `wait` seconds, or as long as the response asks. Raises TreasureDataError if that is too long."""
        if failure.retry_after > self.retry.longest_wait:
            raise TreasureDataError(
                f"Treasure Data: {failure} {what}; it asks to wait {duration(failure.retry_after)}, more than "
                f"max_retry_wait_millis allows ({duration(self.retry.longest_wait)}); run this task again later"
            )
        wait = max(wait, failure.retry_after)
        log.warning("Treasure Data: %s %s; trying again in %s", failure, what, duration(wait))
        self.sleep(wait)

    @contextlib.contextmanager
    def opening(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """One request, not repeated, whose body is read piece by piece.

        Raises WorkflowError (key, permission); TemporaryError, other OSError and urllib3's HTTPError if another try
        may help; TreasureDataError for a certificate, which no other try makes better.
        """
        # Not td-client's get() and post(): these retry on their own, for minutes, and hide the response.
        url, all_headers = self._api.build_request(path, dict(headers or {}))
        try:
            response = self._api.send_request(
                method,
                url,
                fields=dict(params) if params else None,
                headers=all_headers,
                preload_content=False,
                # urllib3 1.26 needs each said with each request. The key goes to the endpoint only: no redirect.
                redirect=False,
                retries=urllib3.Retry(total=0, redirect=0, raise_on_redirect=False),
                enforce_content_length=True,
            )
        except urllib3.exceptions.MaxRetryError as error:
            self._check_certificate(error)
            raise
        with contextlib.closing(response):
            if response.status in _REFUSED:
                told = f"{_REFUSED[response.status]} (response {response.status} to {method} {path})"
                raise WorkflowError(told, status=response.status)
            if response.status == _TOO_MANY or response.status >= 500:
                asked = retry_after(response.headers, wall=self._wall_clock())
                raise TemporaryError(f"response {response.status}", retry_after=asked or 0.0)
            yield response

    def _check_certificate(self, error: urllib3.exceptions.MaxRetryError) -> None:
        if isinstance(error.reason, urllib3.exceptions.SSLError) and "certificate" in str(error.reason).lower():
            raise TreasureDataError(
                f"Treasure Data: the certificate of {self._route.through} is not accepted. If your network has a "
                "certificate authority of its own, name its file in REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
            ) from None


def read_piece(response: urllib3.BaseHTTPResponse, size: int = _PIECE) -> bytes:
    """Up to `size` bytes of a body as they arrive, not decoded; b"" at its end."""
    # urllib3 1.26 has no read1: it waits until the piece is full.
    read = getattr(response, "read1", response.read)
    piece: bytes = read(size, decode_content=False)
    return piece


def _body(response: urllib3.BaseHTTPResponse, what: str) -> bytes:
    """The whole body, decoded. Raises TreasureDataError if it is too large, before or after decompression."""
    pieces, size = [], 0
    while piece := read_piece(response):
        pieces.append(piece)
        size += len(piece)
        if size > MAXIMUM_BODY:
            break
    body = b"".join(pieces)
    if response.headers.get("Content-Encoding") and body:
        with contextlib.suppress(zlib.error):  # what is not compressed after all is no JSON either
            body = zlib.decompressobj(_DEFLATE_OR_GZIP).decompress(body, MAXIMUM_BODY + 1)
    if len(body) > MAXIMUM_BODY:
        raise TreasureDataError(f"Treasure Data: the response to {what} has more than {MAXIMUM_BODY >> 20} MB")
    return body


def _cause(error: Exception) -> str:
    """The kind of failure, and the system's word for it if there is one; never text of the exception."""
    reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else None
    cause = reason or error
    system = next((each for each in (cause, cause.__cause__, cause.__context__) if isinstance(each, OSError)), None)
    word = f", {system.strerror}" if system is not None and system.strerror else ""
    return f"{type(cause).__name__}{word}"


def _error_text(content: Mapping[str, Any]) -> str:
    return printable(str(content.get("error") or content.get("message") or content.get("text") or ""), longest=300)
