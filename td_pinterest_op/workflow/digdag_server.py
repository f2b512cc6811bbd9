"""digdag's REST API, as far as secrets go: they are written there, and never shown.

Sources: digdag-server, rs/ProjectResource.java; digdag-client, api/SecretValidation.java.
"""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from dataclasses import dataclass

from td_pinterest_op.secret import Secret
from td_pinterest_op.transport import Response, Transport

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DigdagServer:
    """A workflow server. `url` is without `/api`; `authorization` is the header that it wants, empty for none.

    Every method raises NoResponseError when there is no response.
    """

    url: str
    authorization: Secret

    def project_id(self, name: str) -> tuple[int, str | None]:
        """The status of the response, and the id of the project of that name, None if the server shows none."""
        response = self._send("GET", f"/api/projects?name={urllib.parse.quote(name)}")
        try:
            content = json.loads(response.body)
            projects = content["projects"] if isinstance(content, dict) else content
            return response.status, str(projects[0]["id"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return response.status, None

    def put_secret(self, project_id: object, name: str, value: Secret) -> int:
        """Store a secret of a project; returns the status of the response."""
        path = f"/api/projects/{urllib.parse.quote(str(project_id), safe='')}/secrets/{name}"
        return self._send("PUT", path, json.dumps({"value": value.reveal()}).encode()).status

    def _send(self, method: str, path: str, body: bytes | None = None) -> Response:
        headers = {"Content-Type": "application/json"}
        if self.authorization.reveal():
            headers["Authorization"] = self.authorization.reveal()
        transport = Transport(connect_timeout=_TIMEOUT, write_timeout=_TIMEOUT, read_timeout=_TIMEOUT, connections=1)
        with contextlib.closing(transport):
            return transport.send(method, self.url + path, headers=headers, body=body, auth=lambda request: request)
