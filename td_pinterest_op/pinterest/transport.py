"""One HTTP exchange: connect, write and read limits that really hold, no redirects, TLS but to loop-back."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import requests.adapters
import urllib3.exceptions
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from td_pinterest_op import USER_AGENT
from td_pinterest_op.pinterest.policy import Failure

# The kernel is to hold little of a body, or a peer that stopped reading would go unnoticed behind its buffers.
_PIECE = 64 * 1024
_SOCKET_OPTIONS = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, _PIECE)]


class NoResponseError(Exception):
    """There was no answer. Holds no text of the original exception."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits in seconds, each for a stretch without any progress."""

    connect: float
    write: float
    read: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        """Pinterest's name for the request, `-` when it gave none; only what such a name may consist of."""
        return "".join(c for c in self.headers.get("x-pinterest-rid", "") if c.isalnum() or c in "-_")[:64] or "-"


class Transport:
    """A pool of connections. `exchange` may be called from several threads."""

    def __init__(self, *, timeouts: Timeouts, connections: int) -> None:
        self._timeouts = timeouts
        self._environment: dict[str, Any] | None = None
        self._session = requests.Session()
        self._session.headers["User-Agent"] = USER_AGENT
        adapter = _Adapter(write_timeout=timeouts.write, connections=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, auth: AuthBase
    ) -> Response:
        """Send one request and read its whole answer. Raises NoResponseError.

        `auth` is always given: without it requests would look into ~/.netrc and send what it finds there.
        """
        try:
            response = self._session.send(
                self._session.prepare_request(
                    requests.Request(method, url, headers=dict(headers), data=body, auth=auth)
                ),
                timeout=(self._timeouts.connect, self._timeouts.read),
                allow_redirects=False,
                **self._surroundings(url),
            )
        except requests.RequestException as error:
            raise NoResponseError(_failure(error)) from None
        return Response(status=response.status_code, headers=response.headers, body=response.content)

    def _surroundings(self, url: str) -> dict[str, Any]:
        """Proxies and certificates as the environment says: looked up once, since that costs a tenth of a request."""
        if self._environment is None:
            self._environment = dict(self._session.merge_environment_settings(url, {}, None, None, None))
        return self._environment

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def is_safe(url: str) -> bool:
    """Whether secrets may be sent there: https, or plain http to this machine's loop-back."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        loopback = host == "localhost" or (host != "" and _is_loopback_address(host))
    except ValueError:
        return False
    return host != "" and (parts.scheme == "https" or (parts.scheme == "http" and loopback))


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _WriteTimeoutError(OSError):
    """Nothing of what was left to send was taken in time."""


class _WriteLimit(HTTPConnection):
    """Sends as much as the peer takes, again and again, with a time limit for each.

    urllib3 knows a connect and a read limit only: sends run under the connect limit, and for the whole body at once.
    """

    write_timeout: float

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.write_timeout)
        # Not `sendall`, whose limit is for all of it: a peer that reads slowly makes progress all the same. In pieces,
        # since TLS would take even `send` for all of it.
        left = memoryview(data)
        try:
            while left:
                left = left[self.sock.send(left[:_PIECE]) :]
        except TimeoutError:
            raise _WriteTimeoutError from None


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, *, write_timeout: float, connections: int) -> None:
        limit = {"write_timeout": write_timeout}
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
        manager = super().proxy_manager_for(proxy, socket_options=_SOCKET_OPTIONS, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it wraps: requests and urllib3 keep the original in `args` or `reason`."""
    yield error
    for inner in (*error.args, getattr(error, "reason", None)):
        if isinstance(inner, BaseException) and inner is not error:
            yield from _causes(inner)


_FAILURES: tuple[tuple[type[BaseException], Failure], ...] = (
    (_WriteTimeoutError, Failure.WRITE_TIMEOUT),
    # Cut off within TLS: no matter of trust.
    (ssl.SSLEOFError, Failure.BROKEN),
    (ssl.SSLZeroReturnError, Failure.BROKEN),
    (ssl.SSLSyscallError, Failure.BROKEN),
    (urllib3.exceptions.SSLError, Failure.TLS),
    (requests.exceptions.SSLError, Failure.TLS),
    (requests.ConnectTimeout, Failure.CONNECT_TIMEOUT),
    (urllib3.exceptions.NewConnectionError, Failure.NOT_CONNECTED),
    (requests.ReadTimeout, Failure.READ_TIMEOUT),
    (urllib3.exceptions.ReadTimeoutError, Failure.READ_TIMEOUT),
    (requests.ConnectionError, Failure.BROKEN),
    (requests.exceptions.ChunkedEncodingError, Failure.BROKEN),
    (requests.exceptions.ContentDecodingError, Failure.BROKEN),
)


def _failure(error: requests.RequestException) -> Failure:
    causes = list(_causes(error))
    for kind, failure in _FAILURES:
        if any(isinstance(cause, kind) for cause in causes):
            return failure
    return Failure.UNUSABLE
