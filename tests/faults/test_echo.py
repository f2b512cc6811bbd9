"""A server echoes every request in every form, at every endpoint and status: no secret is shown."""

import base64
import contextlib
import itertools
import json
import logging
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from td_pinterest_op.errors import ExportError
from tests import guard
from tests.exporting import Services, people

# The forms in which the server echoes a text, each in its own message.
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL-encoded": lambda text: urllib.parse.quote(text, safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "JSON": lambda text: json.dumps(json.dumps(text)),
}
STATUSES = [200, 301, 400, 401, 403, 404, 409, 413, 429, 500, 503]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hangs up early: the thread may outlive its test, whose stderr is closed then."""


class Echo:
    """A server for either service that answers `status` and echoes in a form; with `has_token`, after a token."""

    def __init__(self, *, status: int, form: str, has_token: bool) -> None:
        echo = self
        self.status = status
        self.form = FORMS[form]
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def _reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("latin1")
                echo.asked.append(self.path)
                kind, _, credentials = self.headers.get("Authorization", "").partition(" ")
                if kind == "Basic":
                    credentials = base64.b64decode(credentials).decode()
                values = [value for values in urllib.parse.parse_qs(body).values() for value in values]
                text = " ".join(echo.form(piece) for piece in (credentials, *credentials.split(":"), *values))
                text += f" {self.headers.get('Authorization')} {body}"
                status = echo.status
                rid = echo.form(credentials or "none").replace("\n", "")[:200]
                content = json.dumps({"code": 7, "message": text, "error": text, "text": text, "items": text}).encode()
                if has_token and self.path.endswith("/oauth/token"):
                    status = 200
                    content = json.dumps({"access_token": "pina.s3cr3t-4711/x+y&z"}).encode()
                self.send_response(status)
                self.send_header("x-pinterest-rid", rid)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_PUT = _reply  # noqa: N815 - the base class's names

        self.server = _Server(("127.0.0.1", 0), Handler)


@contextlib.contextmanager
def serve_echo(status: int, form: str, *, has_token: bool) -> Iterator[tuple[Echo, str]]:
    echo = Echo(status=status, form=form, has_token=has_token)
    thread = threading.Thread(target=echo.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield echo, f"http://127.0.0.1:{echo.server.server_address[1]}"
    finally:
        echo.server.shutdown()
        thread.join()
        echo.server.server_close()


SERVICES = [("PINTEREST_API_ENDPOINT", False), ("PINTEREST_API_ENDPOINT", True), ("TD_API_SERVER", False)]
# Each status at each service, in one of the forms: those take turns.
ROWS = [
    (*service, status, form)
    for (service, status), form in zip(itertools.product(SERVICES, STATUSES), itertools.cycle(FORMS), strict=False)
]


@pytest.mark.parametrize(("service", "has_token", "status", "form"), ROWS)
def test_error_about_an_echoed_request_shows_no_secret(
    services: Services, service: str, has_token: bool, status: int, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    audience_id = services.audience([], name="Shoppers")
    settings = {
        "action": "add_people_to_current_audience",
        "audience_id": audience_id,
        "retry_count": 1,
        "retry_initial_wait_millis": 1,
        "max_retry_wait_millis": 2,
    }
    with serve_echo(status, form, has_token=has_token) as (echo, url), pytest.raises(ExportError) as caught:
        services.export(settings, job_id=services.job(people(3)), environ={service: url})
    assert echo.asked
    guard.check(str(caught.value), "the error")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("td_pinterest_op")]
    guard.check("\n".join(ours), "the log")
    assert logging.getLogger("td_pinterest_op").isEnabledFor(logging.INFO)
