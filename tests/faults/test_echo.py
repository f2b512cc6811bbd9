"""A server echoes every request in every form, at every endpoint and status: no secret is shown."""

import base64
import itertools
import json
import logging
import urllib.parse
from collections.abc import Callable

import pytest
from aiohttp import web

from td_pinterest_op.errors import ExportError
from tests import guard
from tests.emulators.server import serve
from tests.exporting import Services, people

# The forms in which the server echoes a text, each in its own message.
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL-encoded": lambda text: urllib.parse.quote(text, safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "JSON": lambda text: json.dumps(json.dumps(text)),
}
STATUSES = [200, 301, 400, 401, 403, 404, 409, 413, 429, 500, 503]


def echo_app(status: int, form: str, *, has_token: bool, asked: list[str]) -> web.Application:
    """Return either service as an application that answers `status` and echoes in a form; `asked` gets the paths.

    With `has_token` it issues a token first.
    """
    echo = FORMS[form]

    async def reply(request: web.Request) -> web.Response:
        body = (await request.read()).decode("latin1")
        asked.append(request.path)
        if has_token and request.path.endswith("/oauth/token"):
            return web.json_response({"access_token": "pina.s3cr3t-4711/x+y&z"})
        authorization = request.headers.get("Authorization", "")
        kind, _, credentials = authorization.partition(" ")
        if kind == "Basic":
            credentials = base64.b64decode(credentials).decode()
        values = [value for values in urllib.parse.parse_qs(body).values() for value in values]
        text = " ".join(echo(piece) for piece in (credentials, *credentials.split(":"), *values))
        text += f" {authorization} {body}"
        rid = echo(credentials or "none").replace("\n", "")[:200]
        content = {"code": 7, "message": text, "error": text, "text": text, "items": text}
        return web.json_response(content, status=status, headers={"x-pinterest-rid": rid, "Retry-After": "0"})

    app = web.Application()
    app.add_routes([web.route("*", "/{path:.*}", reply)])
    return app


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
    asked: list[str] = []
    app = echo_app(status, form, has_token=has_token, asked=asked)
    with serve(app) as url, pytest.raises(ExportError) as caught:
        services.export(settings, job_id=services.job(people(3)), environ={service: url})
    assert asked
    guard.check(str(caught.value), "the error")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("td_pinterest_op")]
    guard.check("\n".join(ours), "the log")
    assert logging.getLogger("td_pinterest_op").isEnabledFor(logging.INFO)
