"""The part of digdag's REST API that keeps a project's secrets.

Source: digdag's ProjectResource, RestSecret, RestSecretList and SecretValidation, 0.10.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.emulators.server import serve

PROJECT_ID = "12"

_SEGMENT = r"(?:[a-zA-Z]|[a-zA-Z][a-zA-Z0-9_\-]*[a-zA-Z0-9])"
_KEY = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_LONGEST_KEY = 255
_LONGEST_VALUE = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsCall:
    """One request, and the status of its response."""

    method: str
    path: str
    status: int


class DigdagSecrets:
    """Projects and their secrets. Everything may be asked and changed from any thread while it is being served.

    With an `api_key` every request must be authorised with `TD1 <api_key>`; `projects` maps ids to names.
    """

    def __init__(self, *, api_key: str | None = None, projects: dict[str, str] | None = None) -> None:
        self.api_key = api_key
        self.projects = projects or {PROJECT_ID: "pinterest_export"}
        self._secrets: dict[str, dict[str, str]] = {project_id: {} for project_id in self.projects}
        self._faults: list[int] = []
        self._calls: list[SecretsCall] = []
        self._lock = threading.Lock()

    def secrets(self, project_id: str = PROJECT_ID) -> dict[str, str]:
        """The secrets of a project, values included: the real API never tells them."""
        with self._lock:
            return dict(self._secrets[project_id])

    def set_secret(self, key: str, value: str, *, project_id: str = PROJECT_ID) -> None:
        with self._lock:
            self._secrets[project_id][key] = value

    def fail(self, status: int, *, times: int = 1) -> None:
        """Answer the next `times` requests with this status and do nothing else."""
        with self._lock:
            self._faults += [status] * times

    def calls(self) -> list[SecretsCall]:
        with self._lock:
            return list(self._calls)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/api/projects", self._projects),
                web.put("/api/projects/{id}/secrets/{key}", self._put),
                web.delete("/api/projects/{id}/secrets/{key}", self._delete),
                web.get("/api/projects/{id}/secrets", self._list),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        with self._lock:
            fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            response: web.StreamResponse = _error(fault, "Injected")
        elif self.api_key is not None and request.headers.get("Authorization") != f"TD1 {self.api_key}":
            response = _error(401, "Unauthorized")
        elif request.match_info.get("id", PROJECT_ID) not in self.projects:
            response = _error(404, f"Resource does not exist: project id={request.match_info['id']}")
        else:
            response = await handler(request)
        with self._lock:
            self._calls.append(SecretsCall(method=request.method, path=request.path, status=response.status))
        return response

    async def _put(self, request: web.Request) -> web.Response:
        project_id, key = request.match_info["id"], request.match_info["key"]
        if request.content_type != "application/json":
            return _error(415, "HTTP 415 Unsupported Media Type")
        value = _value(await request.read())
        if value is None or not _is_key(key) or len(value.encode()) > _LONGEST_VALUE:
            return _error(400, "Invalid secret")
        self.set_secret(key, value, project_id=project_id)
        return self._told(project_id, key)

    async def _delete(self, request: web.Request) -> web.Response:
        project_id, key = request.match_info["id"], request.match_info["key"]
        if not _is_key(key):
            return _error(400, "Invalid secret")
        with self._lock:
            self._secrets[project_id].pop(key, None)
        return self._told(project_id, key)

    async def _projects(self, request: web.Request) -> web.Response:
        name = request.query.get("name")
        projects = [{"id": key, "name": known} for key, known in self.projects.items() if name in (None, known)]
        return web.json_response({"projects": projects})

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"secrets": [{"key": key} for key in self.secrets(request.match_info["id"])]})

    def _told(self, project_id: str, key: str) -> web.Response:
        return web.json_response({"key": key, "project": {"id": project_id, "name": self.projects[project_id]}})


def _is_key(key: str) -> bool:
    return len(key) <= _LONGEST_KEY and _KEY.fullmatch(key) is not None


def _value(body: bytes) -> str | None:
    try:
        given = json.loads(body)
    except ValueError:
        return None
    value = given.get("value") if isinstance(given, dict) else None
    return value if isinstance(value, str) else None


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"message": message, "status": status}, status=status)


@contextlib.contextmanager
def serve_secrets(*, port: int = 0, state: DigdagSecrets | None = None) -> Iterator[tuple[DigdagSecrets, str]]:
    """Serve on 127.0.0.1; yields the secrets and the base URL (without /api). Raises OSError: port taken."""
    secrets = state or DigdagSecrets()
    with serve(secrets.app(), port=port) as url:
        yield secrets, url
