"""The answer of Pinterest's consent page: a redirect to this machine, or its address as the user pastes it."""

import http.server
import urllib.parse
from collections.abc import Mapping

from td_pinterest_op.errors import SettingsError

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>td-pinterest</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}</style></head>
<body><main><h1>%s</h1><p>You can close this page and go back to the terminal.</p></main></body></html>
"""


class RedirectServer(http.server.ThreadingHTTPServer):
    """A server on this machine for Pinterest's redirect. `answer`: the redirect's parameters, or None before it comes.

    Raises SettingsError for an address that is not of this machine, and for a port that is taken.
    """

    timeout = 0.2  # seconds that `handle_request` waits
    answer: Mapping[str, str] | None = None

    def __init__(self, redirect: str, *, state: str) -> None:
        self.state = state
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
        try:
            # Of a name with two addresses, such as localhost, a browser tries the one that listens as well.
            super().__init__(("127.0.0.1", port), _RedirectHandler)
        except OSError as error:
            raise SettingsError(
                f"this machine cannot listen on port {port}, to which Pinterest redirects ({error.strerror}): end the "
                "program that uses the port, or register another address such as http://localhost:8086/ in the "
                "Pinterest app, and give it with --redirect"
            ) from None


class _RedirectHandler(http.server.BaseHTTPRequestHandler):
    """Handles Pinterest's redirect and shows the result in the browser."""

    server: RedirectServer

    def do_GET(self) -> None:
        """Store the parameters of a valid redirect in the server's `answer`. Other requests only get an error page."""
        answer = None
        try:
            answer = parse_answer(self.path, state=self.server.state)
            heading = "Approved" if "code" in answer else "Refused"
        except SettingsError as error:
            heading = str(error)
        self.send_response(200 if answer else 400)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")  # the address holds the code
        self.end_headers()
        self.wfile.write((_PAGE % heading).encode())
        if answer:
            self.server.answer = answer

    def log_message(self, *_: object) -> None:
        """Log nothing, because the request line contains the authorization code."""


def parse_answer(address: str, *, state: str) -> Mapping[str, str]:
    """Return the parameters of the address to which Pinterest redirected. Raises SettingsError for any other text.

    `state`: the random text that the consent page's address had, and that the parameters must contain.
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
