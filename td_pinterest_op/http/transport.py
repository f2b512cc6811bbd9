"""One HTTP request: enforced time-outs, bounded bodies, no redirects, https required except to this machine."""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import json
import os
import re
import ssl
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3
import urllib3.exceptions

from td_pinterest_op import USER_AGENT
from td_pinterest_op.http.connections import PIECE, REQUEST_ID, Adapter, RepeatedResponseError, WriteTimeoutError
from td_pinterest_op.redaction.format import sanitize
from td_pinterest_op.redaction.secret import Secret, mask

# Puts its credentials into a request, such as one of requests' AuthBase.
Authorise = Callable[[requests.PreparedRequest], requests.PreparedRequest]

# The most that is read of a body, in bytes, compressed or not. A page of 250 audiences takes a tenth of it.
LARGEST_BODY = 8 * 1024 * 1024
# Of an error.
_LARGEST_CODE = 10**9
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


class Failure(enum.Enum):
    """Ways in which there is no response, or none that can be used."""

    NOT_CONNECTED = "could not connect"
    CONNECT_TIMEOUT = "no connection within connection_timeout_secs"
    WRITE_TIMEOUT = "the server stopped reading for write_timeout_secs"
    READ_TIMEOUT = "no byte of the response for read_timeout_secs"
    BROKEN = "the connection broke"
    REPEATED = "the response to an earlier request came once more"
    OVERSIZED = "the response is larger than 8 MB"
    TLS = "the TLS connection could not be trusted"
    UNUSABLE = "the request could not be made"


class NoResponseError(Exception):
    """There was no response. `where` completes the failure: host, port, proxy and cause."""

    def __init__(self, failure: Failure, where: str = "") -> None:
        super().__init__(f"{failure.value}{where}")
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete HTTP response; `body` is empty where an error's is larger than LARGEST_BODY.

    Of a success the client says the `latency` of the last attempt alone, and whether any attempt was `throttled`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency: float = field(default=0.0, compare=False)
    throttled: bool = field(default=False, compare=False)

    @property
    def request_id(self) -> str:
        """Pinterest's name for the request, `-` when it gave none; only what such a name may consist of."""
        # Masked before anything is left out of it: a credential would not be recognised afterwards.
        given = mask(self.headers.get(REQUEST_ID, ""))
        return "".join(c for c in given if c.isalnum() or c in "-_*")[:64] or "-"

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object in the body, empty when it holds none."""
        return parse_json_object(self.body)

    @property
    def code(self) -> int | None:
        """Pinterest's own code of an error, None without one."""
        code = self.content.get("code")
        return code if isinstance(code, int) and abs(code) < _LARGEST_CODE else None

    @property
    def message(self) -> str:
        """Pinterest's message about an error, "" without one."""
        message = self.content.get("message")
        return message if isinstance(message, str) else ""


class Transport:
    """A pool of connections; time limits in seconds, each for a stretch without progress. For several threads."""

    def __init__(self, *, connect_timeout: float, write_timeout: float, read_timeout: float, connections: int) -> None:
        self._timeout = (connect_timeout, read_timeout)
        self._environments: dict[str, dict[str, Any]] = {}
        self._session = requests.Session()
        self._session.headers["User-Agent"] = USER_AGENT
        self._session.headers["Accept-Encoding"] = "gzip"
        self._adapter = Adapter(write_timeout=write_timeout, connections=connections)

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, auth: Authorise
    ) -> Response:
        """Send one request and read its whole response. Raises NoResponseError."""
        with self.open(method, url, headers=headers, body=body, auth=auth) as response:
            return Response(status=response.status, headers=response.headers, body=read_body(response))

    @contextlib.contextmanager
    def open(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, auth: Authorise
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send one request; within the block its response can be read. Raises NoResponseError, there as well.

        `auth` is always given: without it requests would look into ~/.netrc and send what it finds there.
        """
        proxies: Mapping[str, str] = {}
        try:
            request = self._session.prepare_request(
                requests.Request(method, url, headers=dict(headers), data=body, auth=auth)
            )
            environment = self._environment(url)
            proxies = environment["proxies"]
            # By the adapter, not by the session, which parses where a redirect leads even if it does not follow it.
            with self._adapter.send(request, stream=True, timeout=self._timeout, **environment) as response:
                yield response.raw
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, zlib.error, UnicodeError) as error:
            raise NoResponseError(_failure(error), _where(url, proxies, error)) from None

    def _environment(self, url: str) -> dict[str, Any]:
        """Proxies and certificates as the environment says: looked up once, since that costs a tenth of a request."""
        parts = urllib.parse.urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._environments:
            merged = self._session.merge_environment_settings(url, {}, None, None, None)
            # A proxy's own loop-back is another machine's.
            proxies = {} if is_loopback(url) else merged["proxies"]
            for proxy in proxies.values():
                with contextlib.suppress(ValueError):  # no address: whoever uses it is told
                    Secret(requests.utils.get_auth_from_url(proxy)[1])  # known from here on, and masked
            # As OpenSSL has it, where requests has no variable of its own.
            verify = os.environ.get("SSL_CERT_FILE") or True if merged["verify"] is True else merged["verify"]
            self._environments[origin] = {"proxies": proxies, "verify": verify, "cert": merged["cert"]}
        return self._environments[origin]

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()
        self._session.close()


def parse_json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, empty when it holds none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def is_safe(url: str) -> bool:
    """Whether secrets may be sent there: https, or plain http to this machine's loop-back."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return False
    # A name and a port, nothing that two parsers could read in two ways.
    if not parts.hostname or not _HOST.fullmatch(parts.netloc) or "\\" in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))


def is_loopback(url: str) -> bool:
    """Whether a URL leads to loop-back, which is never reached through a proxy."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """A body as it arrives, not decompressed."""
    # urllib3 1.26 has no read1: it waits until the piece is full.
    read = getattr(response, "read1", response.read)
    try:
        while piece := read(PIECE, decode_content=False):
            yield piece
    except ValueError:
        # A chunk of negative length, in urllib3 1.26.
        raise urllib3.exceptions.ProtocolError("a chunk has no length") from None


def read_body(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body, decompressed; b"" for that of an error if it is too large, to be called within `open`."""
    data = bytearray()
    for piece in read_pieces(response):
        data += piece
        if len(data) > LARGEST_BODY:
            break
    whole, encoding = bytes(data), response.headers.get("Content-Encoding", "").strip().lower()
    if whole and len(whole) <= LARGEST_BODY and encoding in ("gzip", "x-gzip", "deflate"):
        # 32: gzip or zlib, whichever it is. One byte more than allowed shows that there is more.
        whole = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(whole, LARGEST_BODY + 1)
    if len(whole) <= LARGEST_BODY:
        return whole
    if response.status < 300:
        raise _OversizedError
    return b""


class _OversizedError(OSError):
    """A success whose body is too large."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it wraps: requests and urllib3 keep the original in `args`, `reason` or the cause."""
    seen: list[BaseException] = [error]
    for outer in seen:
        yield outer
        inner = (*outer.args, getattr(outer, "reason", None), outer.__cause__ or outer.__context__)
        seen += [cause for cause in inner if isinstance(cause, BaseException) and cause not in seen]


_FAILURES: tuple[tuple[tuple[type[BaseException], ...], Failure], ...] = (
    ((WriteTimeoutError,), Failure.WRITE_TIMEOUT),
    ((RepeatedResponseError,), Failure.REPEATED),
    ((_OversizedError,), Failure.OVERSIZED),
    # Cut off within TLS: not about trust.
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError), Failure.BROKEN),
    ((urllib3.exceptions.SSLError, requests.exceptions.SSLError), Failure.TLS),
    ((requests.ConnectTimeout,), Failure.CONNECT_TIMEOUT),
    ((urllib3.exceptions.NewConnectionError,), Failure.NOT_CONNECTED),
    ((requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError), Failure.READ_TIMEOUT),
    ((requests.ConnectionError, urllib3.exceptions.ProtocolError, zlib.error), Failure.BROKEN),
)


def _where(url: str, proxies: Mapping[str, str], error: BaseException) -> str:
    """Host and port, the proxy's if there is one, and the system's own words for the cause."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = f": {parts.hostname}:{parts.port or (80 if parts.scheme == 'http' else 443)}" if parts.hostname else ""
        given = requests.utils.select_proxy(url, proxies) or ""
        proxy = urllib.parse.urlsplit(given if "://" in given else f"//{given}")
        through = f" through the proxy {proxy.hostname}:{proxy.port or 80}" if proxy.hostname else ""
    except ValueError:
        return ""
    causes = [text for cause in _causes(error) if (text := _system_text(cause))]
    return f"{host}{through}" + (f" ({sanitize(causes[-1], longest=100)})" if host and causes else "")


def _system_text(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return error.strerror if isinstance(error, OSError) and isinstance(error.strerror, str) else None


def _failure(error: BaseException) -> Failure:
    causes = list(_causes(error))
    known = (failure for kinds, failure in _FAILURES if any(isinstance(cause, kinds) for cause in causes))
    return next(known, Failure.UNUSABLE)
