"""The answer of Pinterest's consent page: a redirect to this machine, or its address that the user pastes."""

import contextlib
import errno
import http.server
import socket
import urllib.parse
from collections.abc import Mapping

from td_pinterest_op.errors import SettingsError

_PAGE_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>td-pinterest</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}</style></head>
<body><main><h1>{heading}</h1><p>{text}</p></main></body></html>
"""
# With a `code` if the user approved the app, else with an `error`.
RedirectParameters = Mapping[str, str]
# The addresses of `localhost`: a browser takes either, so nobody else may listen at one of them.
_LOCALHOST_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_MISSING_ADDRESS_ERRNOS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class RedirectServer:
    """A context manager that waits for Pinterest's redirect.

    Raises SettingsError for an address that is not of this machine, and for a port that is taken.
    """

    def __init__(self, redirect: str, *, state: str) -> None:
        try:
            parts = urllib.parse.urlsplit(redirect)
            port = parts.port or 80
            is_here = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1")
        except ValueError:  # such as a port beyond 65535
            is_here = False
        if not is_here:
            raise SettingsError(
                f"the redirect address {redirect} is not on this machine: use http://localhost:PORT/, or use "
                "--no-browser and paste the address to which Pinterest redirects"
            )
        with contextlib.ExitStack() as stack:
            self._listeners = []
            for family, address in _LOCALHOST_ADDRESSES:
                try:
                    listener = _RedirectListener(family, (address, port), state=state)
                except OSError as error:
                    if error.errno in _MISSING_ADDRESS_ERRNOS and family == socket.AF_INET6:
                        continue
                    raise SettingsError(
                        f"this machine cannot listen on port {port} of {address}, to which Pinterest redirects "
                        f"({error.strerror}): end the program that uses the port, or register another address such as "
                        "http://localhost:8086/ in the Pinterest app, and give it with --redirect"
                    ) from None
                self._listeners.append(stack.enter_context(listener))
            self._stack = stack.pop_all()

    def __enter__(self) -> "RedirectServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def poll_for_redirect(self) -> RedirectParameters | None:
        """Wait for a moment, and return the redirect's parameters, or None before it comes."""
        for listener in self._listeners:
            listener.handle_request()
        return next((listener.answer for listener in self._listeners if listener.answer), None)


class _RedirectListener(http.server.ThreadingHTTPServer):
    timeout = 0.1  # seconds that `handle_request` waits
    allow_reuse_port = False  # which newer versions of Python would share with others
    answer: RedirectParameters | None = None

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int], *, state: str) -> None:
        self.address_family = family
        self.state = state
        super().__init__(address, _RedirectHandler)


class _RedirectHandler(http.server.BaseHTTPRequestHandler):
    server: _RedirectListener

    def do_GET(self) -> None:
        """Store a valid redirect's parameters in the server's `answer`. Other requests only get an error page."""
        answer = None
        text = "You can close this page and go back to the terminal."
        try:
            answer = parse_redirect_parameters(self.path, state=self.server.state)
            heading = "Approved" if "code" in answer else "Refused"
        except SettingsError as error:
            heading = "Not accepted"
            text = f"{str(error)[0].upper()}{str(error)[1:]}."
        self.send_response(200 if answer else 400)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")  # the address holds the code
        self.end_headers()
        self.wfile.write(_PAGE_HTML.format(heading=heading, text=text).encode())
        if answer:
            self.server.answer = answer

    def log_message(self, *_: object) -> None:
        """Log nothing: the request line contains the authorization code."""


def parse_redirect_parameters(address: str, *, state: str) -> RedirectParameters:
    """Return the parameters of the address to which Pinterest redirected. Raises SettingsError for any other text.

    `state`: the random text of the consent page's address, which the parameters must contain.
    """
    answer = dict(urllib.parse.parse_qsl(address.strip().partition("#")[0].partition("?")[2]))
    if not answer.keys() & {"code", "error"}:
        raise SettingsError(
            "this is not the address to which Pinterest redirects: approve first, then copy the whole address from the "
            "browser's address bar, which contains ?code="
        )
    if answer.get("state") != state:
        raise SettingsError(
            "this address belongs to another attempt (its state differs): run the command again, and open the address "
            "that it prints"
        )
    return answer
