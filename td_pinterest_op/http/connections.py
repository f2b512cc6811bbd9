"""urllib3 connections with a time limit for each write."""

import socket
import ssl
from typing import Any

import requests
import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# The kernel is to hold little of a body, or a peer that stopped reading would go unnoticed behind its buffers.
PIECE = 64 * 1024
_SOCKET_OPTIONS = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)]


class WriteTimeoutError(OSError):
    """The peer (the server or its proxy) has read nothing within the time limit of one write."""


class _WriteLimitedConnection(HTTPConnection):
    """A connection that sends a request in pieces of at most 64 KB, with a time limit for each piece.

    urllib3 knows a connect and a read limit only: sends run under the connect limit, and for the whole body at once.
    """

    write_timeout: float

    def send(self, data: Any) -> None:
        """Send all data. Raises WriteTimeoutError, and BrokenPipeError if the peer closes the connection."""
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


class Adapter(requests.adapters.HTTPAdapter):
    """An adapter for the `requests` library that limits how long each write may take (`write_timeout`, in seconds)."""

    def __init__(self, *, write_timeout: float, connections: int) -> None:
        limit = {"write_timeout": write_timeout}
        http = type("Connection", (_WriteLimitedConnection,), limit)
        https = type("SecureConnection", (_WriteLimitedConnection, HTTPSConnection), limit)
        self._pools = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": http}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
        }
        super().__init__(pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pool of connections that do not go through a proxy."""
        super().init_poolmanager(*args, socket_options=_SOCKET_OPTIONS, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the response; reading its body raises an error if the body is shorter than its Content-Length."""
        # urllib3 before 2.0 takes a body that breaks off for a whole one, unless it has to compare the lengths.
        resp.enforce_content_length = True
        return super().build_response(req, resp)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the connection pool for a proxy. Raises InvalidProxyURL unless the proxy's URL is http or https."""
        if not proxy.lower().startswith(("http:", "https:")):
            raise requests.exceptions.InvalidProxyURL  # SOCKS has connections of its own kind, without these limits
        manager = super().proxy_manager_for(proxy, socket_options=_SOCKET_OPTIONS, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager
