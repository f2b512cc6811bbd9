"""One HTTP request: enforced time-outs, bounded bodies, no redirects, https required except to this machine."""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import json
import os
import re
import socket
import ssl
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import requests.adapters
import urllib3
import urllib3.exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from td_pinterest_op import USER_AGENT
from td_pinterest_op.printable import printable
from td_pinterest_op.secret import Secret, mask

# Puts its credentials into a request, such as one of requests' AuthBase.
Authorise = Callable[[requests.PreparedRequest], requests.PreparedRequest]

# The most that is read of a body, in bytes, compressed or not. A page of 250 audiences takes a tenth of it.
LARGEST_BODY = 8 * 1024 * 1024
# The kernel is to hold little of a body, or a peer that stopped reading would go unnoticed behind its buffers.
_PIECE = 64 * 1024
_SOCKET_OPTIONS = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, _PIECE)]
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_REQUEST_ID = "x-pinterest-rid"


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
        given = mask(self.headers.get(_REQUEST_ID, ""))
        return "".join(c for c in given if c.isalnum() or c in "-_*")[:64] or "-"

    @property
    def content(self) -> dict[str, Any]:
        """The JSON object in the body, empty when it holds none."""
        return json_object(self.body)

    @property
    def code(self) -> int | None:
        """Pinterest's own code of an error, None without one."""
        code = self.content.get("code")
        return code if isinstance(code, int) else None

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
        self._adapter = _Adapter(write_timeout=write_timeout, connections=connections)

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, auth: Authorise
    ) -> Response:
        """Send one request and read its whole response. Raises NoResponseError."""
        with self.opening(method, url, headers=headers, body=body, auth=auth) as response:
            return Response(status=response.status, headers=response.headers, body=whole_body(response))

    @contextlib.contextmanager
    def opening(
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
            proxies = {} if is_this_machine(url) else merged["proxies"]
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


def json_object(body: bytes) -> dict[str, Any]:
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
    return parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(url))


def is_this_machine(url: str) -> bool:
    """Whether a URL leads to loop-back, which is never reached through a proxy."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """A body as it arrives, not decompressed."""
    # urllib3 1.26 has no read1: it waits until the piece is full.
    read = getattr(response, "read1", response.read)
    while piece := read(_PIECE, decode_content=False):
        yield piece


def whole_body(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body, decompressed; b"" for that of an error if it is too large, to be called within `opening`."""
    data = bytearray()
    for piece in pieces(response):
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
        raise _FailedError(Failure.OVERSIZED)
    return b""


class _FailedError(OSError):
    """A failure that is noticed here, and not by urllib3."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class _WriteLimit(HTTPConnection):
    """Sends as much as the peer takes, again and again, with a time limit for each; knows a repeated response.

    urllib3 knows a connect and a read limit only: sends run under the connect limit, and for the whole body at once.
    """

    write_timeout: float
    request_ids: _RequestIds
    _last_request_id: str | None = None

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.write_timeout)
        # Not `sendall`, whose limit is for all of it: a peer that reads slowly still makes progress. In pieces, since
        # TLS would take even `send` for all of it.
        left = memoryview(data)
        try:
            while left:
                left = left[self.sock.send(left[:_PIECE]) :]
        except TimeoutError:
            raise _FailedError(Failure.WRITE_TIMEOUT) from None
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # A peer that refuses a large body responds before it has read all of it, then closes. After this error,
            # and no other, urllib3 looks for a response.
            raise BrokenPipeError from None

    def connect(self) -> None:
        self._last_request_id = None
        super().connect()

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        response = super().getresponse(*args, **kwargs)
        before, self._last_request_id = self._last_request_id, response.headers.get(_REQUEST_ID)
        if self.request_ids.is_repeated(self._last_request_id, before):
            raise _FailedError(Failure.REPEATED)
        return response


class _RequestIds:
    """Whether Pinterest names each request differently. A server that does not cannot be judged by its names."""

    def __init__(self) -> None:
        self._first: str | None = None
        self._differ = True

    def is_repeated(self, request_id: str | None, before: str | None) -> bool:
        """`before`: the request id of the response before on the same connection, None if it is the first there."""
        if before is None:
            self._differ = self._differ and (request_id is None or request_id != self._first)
            self._first = self._first or request_id
        return self._differ and request_id is not None and request_id == before


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, *, write_timeout: float, connections: int) -> None:
        limit = {"write_timeout": write_timeout, "request_ids": _RequestIds()}
        http = type("Connection", (_WriteLimit,), limit)
        https = type("SecureConnection", (_WriteLimit, HTTPSConnection), limit)
        self._pools = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": http}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
        }
        super().__init__(pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, socket_options=_SOCKET_OPTIONS, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        # urllib3 before 2.0 takes a body that breaks off for a whole one, unless it is told to compare the lengths.
        resp.enforce_content_length = True
        return super().build_response(req, resp)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if not proxy.lower().startswith(("http:", "https:")):
            raise requests.exceptions.InvalidProxyURL  # SOCKS has connections of its own kind, without these limits
        manager = super().proxy_manager_for(proxy, socket_options=_SOCKET_OPTIONS, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it wraps: requests and urllib3 keep the original in `args`, `reason` or the cause."""
    seen: list[BaseException] = [error]
    for outer in seen:
        yield outer
        inner = (*outer.args, getattr(outer, "reason", None), outer.__cause__ or outer.__context__)
        seen += [cause for cause in inner if isinstance(cause, BaseException) and cause not in seen]


_FAILURES: tuple[tuple[tuple[type[BaseException], ...], Failure], ...] = (
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
    return f"{host}{through}" + (f" ({printable(causes[-1], longest=100)})" if host and causes else "")


def _system_text(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return error.strerror if isinstance(error, OSError) and isinstance(error.strerror, str) else None


def _failure(error: BaseException) -> Failure:
    causes = list(_causes(error))
    own = [cause.failure for cause in causes if isinstance(cause, _FailedError)]
    known = [failure for kinds, failure in _FAILURES if any(isinstance(cause, kinds) for cause in causes)]
    return next(iter(own + known), Failure.UNUSABLE)
