"""Receives Pinterest's redirect after consent on this machine."""

import contextlib
import errno
import hmac
import http.server
import queue
import urllib.parse
from collections.abc import Iterator, Mapping
from functools import partial

from td_pinterest_op.errors import AccountError, SettingsError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.shutdown import start_thread

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>td-pinterest</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}</style></head>
<body><main><h1>%s</h1><p>You can close this page and go back to the terminal.</p></main></body></html>
"""


@contextlib.contextmanager
def listen_for_redirect(redirect: str, *, state: str) -> Iterator[queue.Queue[Mapping[str, str]]]:
    """Listen on this machine for Pinterest's redirect. Yields a queue that receives the redirect's parameters.

    A request with another state is answered and ignored: it is not the answer to this consent. Raises SettingsError for
    an address that is not of this machine, and for a port that is taken.
    """
    port, path = _parse_redirect(redirect)
    arrived: queue.Queue[Mapping[str, str]] = queue.Queue()
    try:
        # Of a name with two addresses, such as localhost, a browser tries the one that listens as well.
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _make_handler(path, state, arrived))
    except OSError as error:
        problem = (
            f"port {port}, to which Pinterest redirects, is in use by another program: end that program"
            if error.errno == errno.EADDRINUSE
            else f"this machine cannot listen on port {port} ({error.strerror}): allow that"
        )
        raise SettingsError(
            f"{problem}, or register another address such as http://localhost:8086/ in the Pinterest app, and give it "
            "with --redirect"
        ) from None
    with server:
        start_thread(partial(server.serve_forever, 0.1))
        try:
            yield arrived
        finally:
            server.shutdown()


def parse_code(parameters: Mapping[str, str]) -> Secret:
    """Return the authorization code in a redirect's parameters. Raises AccountError if there is no code."""
    if code := parameters.get("code"):
        return Secret(code)
    if parameters.get("error") == "access_denied":
        raise AccountError(
            "the app was not approved on Pinterest's page: nothing was stored. To approve it after all, run the "
            "command again"
        )
    error = parameters.get("error", "")
    named = error if error.replace("_", "").isalnum() and len(error) < 40 else "it named no error"
    raise AccountError(
        f"Pinterest redirected without an authorization code ({named}): nothing was stored. Run the command again"
    )


def parse_pasted_address(pasted: str, *, state: str) -> Mapping[str, str]:
    """Return the parameters of the redirect address that the user pasted. Raises SettingsError for any other text."""
    answer = dict(urllib.parse.parse_qsl(pasted.strip().partition("#")[0].partition("?")[2]))
    if not answer.keys() & {"code", "error"}:
        raise SettingsError(
            "this is not the address to which Pinterest redirects: approve first, then copy the whole address from the "
            "browser's address bar, which contains ?code="
        )
    if not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
        raise SettingsError(
            "the pasted address belongs to another attempt (its state differs): run the command again, and open the "
            "address that it prints"
        )
    return answer


def _parse_redirect(url: str) -> tuple[int, str]:
    """Return port and path of a redirect address. Raises SettingsError for an address that is not on this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = 80 if parts.port is None else parts.port
        is_here = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1") and port > 0
    except ValueError:  # such as a port beyond 65535
        is_here = False
    if not is_here:
        raise SettingsError(
            f"the redirect address {url} is not on this machine: use http://localhost:PORT/, or use --no-browser and "
            "paste the address to which Pinterest redirects"
        )
    return port, parts.path or "/"


def _make_handler(
    path: str, state: str, arrived: queue.Queue[Mapping[str, str]]
) -> type[http.server.BaseHTTPRequestHandler]:
    """Return a request handler class that puts the parameters of a valid redirect into the queue `arrived`."""

    class RedirectHandler(http.server.BaseHTTPRequestHandler):
        """Handles Pinterest's redirect and shows the result in the browser."""

        timeout = 10

        def do_GET(self) -> None:
            """Put the parameters of a valid redirect into the queue. Respond to other requests with an error page."""
            parts = urllib.parse.urlsplit(self.path)
            answer = dict(urllib.parse.parse_qsl(parts.query))
            if parts.path != path or not answer.keys() & {"code", "error"}:
                self._send_page(404, "There is nothing here")
            elif not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
                self._send_page(400, "This answer belongs to another attempt")
            else:
                self._send_page(200, "Approved" if "code" in answer else "Refused")
                arrived.put(answer)

        def _send_page(self, status: int, heading: str) -> None:
            """Respond with an HTML page for the user, with this HTTP status and heading."""
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")  # the address holds the code
            self.end_headers()
            self.wfile.write((_PAGE % heading).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing, because the request line contains the authorization code."""

    return RedirectHandler
