"""HTTP connections that do what urllib3's do not: limit the time of each send, and know a response that is repeated."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import requests
import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# The kernel is to hold little of a body, or a peer that stopped reading would go unnoticed behind its buffers.
PIECE = 64 * 1024
REQUEST_ID = "x-pinterest-rid"
_SOCKET_OPTIONS = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)]


class WriteTimeoutError(OSError):
    """The peer has read nothing for too long."""


class RepeatedResponseError(OSError):
    """The response is that to an earlier request."""


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
                left = left[self.sock.send(left[:PIECE]) :]
        except TimeoutError:
            raise WriteTimeoutError from None
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # A peer that refuses a large body responds before it has read all of it, then closes. After this error,
            # and no other, urllib3 looks for a response.
            raise BrokenPipeError from None

    def connect(self) -> None:
        self._last_request_id = None
        super().connect()

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        response = super().getresponse(*args, **kwargs)
        before, self._last_request_id = self._last_request_id, response.headers.get(REQUEST_ID)
        if self.request_ids.is_repeated(self._last_request_id, before):
            raise RepeatedResponseError
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


class Adapter(requests.adapters.HTTPAdapter):
    """A pool of such connections, as requests sends by; `write_timeout` in seconds."""

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
        """The pool for what is reached directly."""
        super().init_poolmanager(*args, socket_options=_SOCKET_OPTIONS, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """A response whose body must be as long as it says."""
        # urllib3 before 2.0 takes a body that breaks off for a whole one, unless it is told to compare the lengths.
        resp.enforce_content_length = True
        return super().build_response(req, resp)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """The pool behind a proxy. Raises InvalidProxyURL for one that is not reached by HTTP."""
        if not proxy.lower().startswith(("http:", "https:")):
            raise requests.exceptions.InvalidProxyURL  # SOCKS has connections of its own kind, without these limits
        manager = super().proxy_manager_for(proxy, socket_options=_SOCKET_OPTIONS, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager
