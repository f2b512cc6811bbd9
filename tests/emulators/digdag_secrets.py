"""The part of digdag's REST API that keeps a project's secrets.

Source: digdag's ProjectResource, RestSecret and SecretValidation, 0.10.
"""

import contextlib
import json
import re
import threading
from collections.abc import Iterator

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.emulators.server import serve

PROJECT_ID = "12"

_SEGMENT = r"(?:[a-zA-Z]|[a-zA-Z][a-zA-Z0-9_\-]*[a-zA-Z0-9])"
_KEY = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_LONGEST_KEY = 255
_LONGEST_VALUE = 16 * 1024


class DigdagSecrets:
    """A project and its secrets. Everything may be asked and changed from any thread while it is being served.

    With an `api_key` every request must be authorised with `TD1 <api_key>`. `requests` counts those that came.
    """

    def __init__(self, *, api_key: str | None = None, project_id: str = PROJECT_ID) -> None:
        self.api_key = api_key
        self.requests = 0
        self._project = {"id": project_id, "name": "pinterest_export"}
        self._secrets: dict[str, str] = {}
        self._faults: list[int] = []
        self._lock = threading.Lock()

    def secrets(self) -> dict[str, str]:
        """The secrets, values included: the real API never shows them."""
        with self._lock:
            return dict(self._secrets)

    def set_secret(self, key: str, value: str) -> None:
        with self._lock:
            self._secrets[key] = value

    def fail(self, status: int) -> None:
        """Answer one request with this status and do nothing else."""
        with self._lock:
            self._faults.append(status)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/api/projects", self._projects),
                web.get("/api/projects/{id}/secrets", self._list),
                web.put("/api/projects/{id}/secrets/{key}", self._put),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        with self._lock:
            self.requests += 1
            fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            return _error(fault, "Injected")
        if self.api_key is not None and request.headers.get("Authorization") != f"TD1 {self.api_key}":
            return _error(401, "Unauthorized")
        if request.match_info.get("id", self._project["id"]) != self._project["id"]:
            return _error(404, f"Resource does not exist: project id={request.match_info['id']}")
        return await handler(request)

    async def _put(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if request.content_type != "application/json":
            return _error(415, "HTTP 415 Unsupported Media Type")
        value = _value(await request.read())
        if value is None or not _is_key(key) or len(value.encode()) > _LONGEST_VALUE:
            return _error(400, "Invalid secret")
        self.set_secret(key, value)
        return web.json_response({"key": key, "project": self._project})

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"secrets": [{"key": key} for key in self.secrets()]})

    async def _projects(self, request: web.Request) -> web.Response:
        is_asked = request.query.get("name") in (None, self._project["name"])
        return web.json_response({"projects": [self._project] if is_asked else []})


def _is_key(key: str) -> bool:
    return len(key) <= _LONGEST_KEY and _KEY.fullmatch(key) is not None


def _value(body: bytes) -> str | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    value = content.get("value") if isinstance(content, dict) else None
    return value if isinstance(value, str) else None


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"message": message, "status": status}, status=status)


@contextlib.contextmanager
def serve_secrets(state: DigdagSecrets | None = None) -> Iterator[tuple[DigdagSecrets, str]]:
    """Serve on 127.0.0.1; yields the secrets and the base URL (without /api)."""
    secrets = state or DigdagSecrets()
    with serve(secrets.app()) as url:
        yield secrets, url
