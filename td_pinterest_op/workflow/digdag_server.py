"""digdag's REST API for secrets, which can be written and never read.

Sources: digdag-server, rs/ProjectResource.java; digdag-client, api/SecretValidation.java.
"""

import contextlib
import json
import urllib.parse
from dataclasses import dataclass

import requests

from td_pinterest_op.http.transport import Response, Transport
from td_pinterest_op.redaction.secret import Secret

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DigdagServer:
    """A digdag server. `url` is without `/api`; `authorization` is the value of that header, empty for none.

    Every method raises NoResponseError.
    """

    url: str
    authorization: Secret

    def find_project_id(self, name: str) -> tuple[int, str | None]:
        """Return the response's status, and the id of the project with this name (None if the server shows none)."""
        response = self._send_request("GET", f"/api/projects?name={urllib.parse.quote(name)}")
        try:
            return response.status, str(response.content["projects"][0]["id"])
        except (LookupError, TypeError):
            return response.status, None

    def put_secret(self, project_id: object, name: str, value: Secret) -> int:
        """Store a secret of a project; return the response's status."""
        path = f"/api/projects/{urllib.parse.quote(str(project_id), safe='')}/secrets/{name}"
        return self._send_request("PUT", path, json.dumps({"value": value.reveal()}).encode()).status

    def _send_request(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Send one request to the server's API; return its response."""
        limits = {"connect_timeout": _TIMEOUT, "write_timeout": _TIMEOUT, "read_timeout": _TIMEOUT}
        headers = {"Content-Type": "application/json"} if body else {}
        with contextlib.closing(Transport(**limits, connections=1)) as transport:
            return transport.send(method, self.url + path, headers=headers, body=body, auth=self._add_authorization)

    def _add_authorization(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if header := self.authorization.reveal():
            request.headers["Authorization"] = header
        return request
