"""One HTTP request: enforced time-outs, bounded responses, no redirects."""

import contextlib
import enum
import http.client
import json
import logging
import os
import re
import socket
import ssl
import time
import urllib.parse
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import requests
import urllib3.exceptions
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from td_pinterest_op import USER_AGENT
from td_pinterest_op.http.endpoints import find_proxy_url_and_address
from td_pinterest_op.redaction.secret import mask_and_escape, mask_sensitive_data
from td_pinterest_op.runtime.text import parse_whole_number

RawResponse: TypeAlias = "urllib3.BaseHTTPResponse"  # by name only: urllib3 1.26 lacks this class

# Limits the compressed body and the decompressed one. A page of 250 audiences takes a tenth of it.
_LARGEST_RESPONSE_BODY_BYTES = 8 * 1024 * 1024
# The most bytes without a piece of the body among them: http.client bounds neither the responses "100 Continue" before
# the head nor the trailers after a body.
_MOST_RESPONSE_OVERHEAD_BYTES = 1024 * 1024
# The longest time for such bytes, and for a body that is read at once.
_LONGEST_STALL_IN_READ_TIMEOUTS = 10
_LONGEST_RESPONSE_BODY_SECONDS = 1800.0
# The kernel holds little of a body, or a peer that stopped reading would go unnoticed behind its buffers.
_TRANSFER_CHUNK_BYTES = 64 * 1024
_SOCKET_OPTIONS = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, _TRANSFER_CHUNK_BYTES)]
_HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"}
# The last is OpenSSL's, which requests does not read.
_CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
UNUSABLE_CONNECTION_ADVICE = (
    "the proxy (HTTPS_PROXY or ALL_PROXY) and the certificates: if your network has an authority of its own, name its "
    "file in REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
)
"""What to check besides the endpoint."""
_PROXY_REFUSAL_PATTERN = re.compile("Tunnel connection failed: ([0-9]{3})")


class Failure(enum.Enum):
    """The reasons why a request got no usable response, as messages name them."""

    NOT_CONNECTED = "could not connect"
    CONNECT_TIMEOUT = "no connection within the connection timeout"
    WRITE_TIMEOUT = "the server stopped reading for the write timeout"
    READ_TIMEOUT = "no byte of the response within the read timeout"
    BROKEN = "the connection broke"
    OVERSIZED = "the response has no end, or is larger than 8 MB"
    UNTRUSTED = "the TLS connection could not be trusted"
    TLS = "the TLS connection failed"
    UNUSABLE = "the request could not be made"


class NoResponseError(Exception):
    """A request got no usable response. `details`: host, port, proxy and cause."""

    def __init__(self, failure: Failure, details: str = "") -> None:
        super().__init__(f"{failure.value}{details}")
        self.failure = failure


@dataclass(frozen=True, kw_only=True)
class Response:
    """An HTTP response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    throttled: bool = field(default=False, compare=False)  # set by `Client` if the request got a 429 before

    @property
    def request_id(self) -> str:
        """Pinterest's id of the request, reduced to letters, digits and `-_*`, or `-`."""
        # Masked first: a credential would not be recognised without its other characters.
        header = mask_sensitive_data(self.headers.get("x-pinterest-rid", ""))
        return "".join(c for c in header if c.isalnum() or c in "-_*")[:64] or "-"

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object in the body, or {} if the body is anything else."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def error_code(self) -> int | None:
        """Pinterest's error code, or None if the body has none."""
        return parse_whole_number(self.content.get("code"))

    @property
    def error_message(self) -> str:
        """Pinterest's error message, or "" if the body has none."""
        message = self.content.get("message")
        return message if isinstance(message, str) else ""


class _WriteTimeoutError(OSError):
    """The server or its proxy has read nothing within the write timeout."""


class _OversizedError(OSError):
    """A response is too large or too slow, or has no end."""


class _StallLimitedResponse(http.client.HTTPResponse):
    """A response that raises _OversizedError for too many bytes or too much time without a piece of the body."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._longest = _LONGEST_STALL_IN_READ_TIMEOUTS * (sock.gettimeout() or _LONGEST_RESPONSE_BODY_SECONDS)
        self.restart_read_limits()
        # All reading ends in `readinto`. The reader stays that of the socket, which counts its readers.
        self._readinto = self.fp.raw.readinto
        self.fp.raw.readinto = self._read_into_bounded  # type: ignore[method-assign]

    def restart_read_limits(self) -> None:
        self._left = _MOST_RESPONSE_OVERHEAD_BYTES
        self._end = time.monotonic() + self._longest

    def _read_into_bounded(self, buffer: Any) -> int | None:
        count = self._readinto(buffer)
        self._left -= count or 0
        if self._left < 0 or time.monotonic() > self._end:
            raise _OversizedError
        return count


class _WriteTimeoutConnection(HTTPConnection):
    """A connection that sends a request in pieces of at most 64 KB, with a time limit for each.

    urllib3 applies its connect limit to the sending of the whole body.
    """

    write_timeout: float
    response_class = _StallLimitedResponse

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.write_timeout)
        # `sendall` has one limit for all of the data, but a peer that reads slowly makes progress. So has `send` over
        # TLS, hence the pieces.
        left = memoryview(data)
        try:
            while left:
                left = left[self.sock.send(left[:_TRANSFER_CHUNK_BYTES]) :]
        except TimeoutError:
            raise _WriteTimeoutError from None
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # A peer that refuses a large body responds before it has read all of it, then closes. After this error,
            # and no other, urllib3 looks for a response.
            raise BrokenPipeError from None


class _WriteTimeoutAdapter(requests.adapters.HTTPAdapter):
    """An adapter for `requests` whose connections, also to proxies, limit how long each write may take."""

    def __init__(self, *, write_timeout: float, connections: int) -> None:
        self._pools = {}
        for pool in (HTTPConnectionPool, HTTPSConnectionPool):
            bases = (_WriteTimeoutConnection, pool.ConnectionCls)
            connection = type("Connection", bases, {"write_timeout": write_timeout})
            self._pools[pool.scheme] = type("Pool", (pool,), {"ConnectionCls": connection})
        super().__init__(pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, socket_options=_SOCKET_OPTIONS, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, socket_options=_SOCKET_OPTIONS, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


class Transport:
    """Sends HTTP requests over a pool of connections, from several threads. Time limits: seconds without progress."""

    def __init__(self, *, connect_timeout: float, write_timeout: float, read_timeout: float, connections: int) -> None:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings quote headers, which may echo credentials
        self._timeouts = (connect_timeout, read_timeout)
        self._adapter = _WriteTimeoutAdapter(write_timeout=write_timeout, connections=connections)

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, auth: AuthBase | None = None
    ) -> Response:
        """Send one request and return its whole response. Raises NoResponseError."""
        with self.open_response(method, url, headers=headers, body=body, auth=auth) as response:
            return read_response(response)

    @contextlib.contextmanager
    def open_response(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        auth: AuthBase | None = None,
        timeout: float | None = None,
    ) -> Iterator[RawResponse]:
        """Send one request, and yield its response before the body is read.

        Raises NoResponseError, also while the body is read in the `with` block. `timeout`: a shorter time limit, in
        seconds, for connecting and for each wait for the response.
        """
        try:
            # A session would add credentials of ~/.netrc, and parse where a redirect leads.
            request = requests.Request(method, url, headers={**_HEADERS, **headers}, data=body, auth=auth).prepare()
            verify = next(filter(None, map(os.environ.get, _CERTIFICATE_VARIABLES)), True)
            proxy, _ = find_proxy_url_and_address(url)
            timeouts = self._timeouts if timeout is None else tuple(min(timeout, each) for each in self._timeouts)
            options: dict[str, Any] = {"timeout": timeouts, "verify": verify, "proxies": {"all": proxy}}
            with self._adapter.send(request, stream=True, **options) as response:
                # Otherwise urllib3 before 2.0 takes a body that breaks off for a whole one.
                response.raw.enforce_content_length = True
                yield response.raw
        # A RequestException is an OSError. An older `requests` raises AttributeError for a charset without a value.
        except (urllib3.exceptions.HTTPError, zlib.error, OSError, ValueError, AttributeError) as error:
            raise _build_no_response_error(error, url) from None

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()


def read_pieces(response: RawResponse) -> Iterator[bytes]:
    """Yield a response's body as it arrives, in pieces of at most 64 KB, not decompressed."""
    # urllib3 1.26 has no read1, and waits until the piece is full.
    read = getattr(response, "read1", response.read)
    bounded = vars(response)["_original_response"]  # urllib3's name for the `_StallLimitedResponse`
    while piece := read(_TRANSFER_CHUNK_BYTES, decode_content=False):
        yield piece
        bounded.restart_read_limits()


def read_response(raw: RawResponse) -> Response:
    """Read and decompress the body of `raw`, and return the whole response.

    Raises OSError for a body that is too large, and zlib.error for one that is cut off.
    """
    began = time.monotonic()
    data = bytearray()
    for piece in read_pieces(raw):
        data += piece
        if len(data) > _LARGEST_RESPONSE_BODY_BYTES or time.monotonic() - began > _LONGEST_RESPONSE_BODY_SECONDS:
            raise _OversizedError
    body = bytes(data)
    if body and raw.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate"):
        unzipper = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib
        body = unzipper.decompress(body, _LARGEST_RESPONSE_BODY_BYTES + 1)
        if len(body) > _LARGEST_RESPONSE_BODY_BYTES:
            raise _OversizedError
        if not unzipper.eof:
            raise zlib.error("the compressed body is cut off")
    return Response(status=raw.status, headers=raw.headers, body=body)


_FAILURE_BY_ERROR: tuple[tuple[tuple[type[BaseException], ...], Failure], ...] = (
    ((_WriteTimeoutError,), Failure.WRITE_TIMEOUT),
    ((_OversizedError,), Failure.OVERSIZED),
    # Cut off within TLS: not about trust.
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError), Failure.BROKEN),
    ((ssl.SSLCertVerificationError,), Failure.UNTRUSTED),
    ((urllib3.exceptions.SSLError, requests.exceptions.SSLError), Failure.TLS),
    ((requests.ConnectTimeout,), Failure.CONNECT_TIMEOUT),
    ((urllib3.exceptions.NewConnectionError,), Failure.NOT_CONNECTED),
    ((requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError), Failure.READ_TIMEOUT),
    # InvalidHeader: two Content-Length headers that differ.
    (
        (requests.ConnectionError, urllib3.exceptions.ProtocolError, urllib3.exceptions.InvalidHeader, zlib.error),
        Failure.BROKEN,
    ),
)


def _build_no_response_error(error: BaseException, url: str) -> NoResponseError:
    causes = [error]
    while inner := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(inner)
    failures = (failure for kinds, failure in _FAILURE_BY_ERROR if any(isinstance(cause, kinds) for cause in causes))
    failure = next(failures, Failure.UNUSABLE)
    text = getattr(causes[-1], "strerror", None) or ""
    if refusal := _PROXY_REFUSAL_PATTERN.search(str(error)):
        failure = Failure.UNUSABLE if refusal[1] in ("403", "407") else Failure.NOT_CONNECTED
        text = f"the proxy answered {refusal[1]}"
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or (80 if parts.scheme == "http" else 443)
        _, proxy = find_proxy_url_and_address(url)
    except ValueError:  # the URL or the proxy is not valid
        return NoResponseError(failure)
    through = f" through the proxy {proxy}" if proxy else ""
    why = f" ({mask_and_escape(text, longest=100)})" if text else ""
    return NoResponseError(failure, f": {parts.hostname}:{port}{through}{why}")
