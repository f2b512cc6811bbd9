"""digdag's REST API, as far as secrets go: they are written there, and never shown.

Sources: digdag-server, rs/ProjectResource.java; digdag-client, api/SecretValidation.java.
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

import requests
from requests.auth import AuthBase

from td_pinterest_op.http.transport import is_loopback
from td_pinterest_op.redaction.secret import Secret

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DigdagServer:
    """A workflow server. `url` is without `/api`; `authorization` is the header that it wants, empty for none.

    Every method raises requests.RequestException when there is no response.
    """

    url: str
    authorization: Secret

    def project_id(self, name: str) -> tuple[int, str | None]:
        """The status of the response, and the id of the project of that name, None if the server shows none."""
        with self._send("GET", f"/api/projects?name={urllib.parse.quote(name)}") as response:
            try:
                content = response.json()
                projects = content["projects"] if isinstance(content, dict) else content
                return response.status_code, str(projects[0]["id"])
            except (ValueError, LookupError, TypeError):
                return response.status_code, None

    def put_secret(self, project_id: object, name: str, value: Secret) -> int:
        """Store a secret of a project; returns the status of the response, of which nothing else is read."""
        path = f"/api/projects/{urllib.parse.quote(str(project_id), safe='')}/secrets/{name}"
        with self._send("PUT", path, {"value": value.reveal()}) as response:
            return response.status_code

    def _send(self, method: str, path: str, content: object = None) -> requests.Response:
        return requests.request(
            method,
            self.url + path,
            json=content,
            auth=_Header(self.authorization),
            timeout=_TIMEOUT,
            allow_redirects=False,
            proxies={"http": "", "https": ""} if is_loopback(self.url) else None,
            stream=True,
        )


class _Header(AuthBase):
    """An Authorization header as it is; none when empty. Always given: without it requests looks into ~/.netrc."""

    def __init__(self, value: Secret) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value.reveal():
            request.headers["Authorization"] = self._value.reveal()
        return request
