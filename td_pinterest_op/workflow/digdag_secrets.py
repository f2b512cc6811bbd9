"""digdag's secrets: on a server, whose REST API stores but never shows them, and in files for `digdag run`.

Sources: digdag-server, rs/ProjectResource.java; digdag-client, api/SecretValidation.java; digdag-cli, Secrets.java and
ConfigUtil.digdagConfigHome.
"""

import contextlib
import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from td_pinterest_op.http.transport import Response, Transport
from td_pinterest_op.redaction.secret import Secret

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DigdagServer:
    """The REST API of a digdag server at `url` (without `/api`). `authorization`: the header's value, or empty.

    Every method raises NoResponseError.
    """

    url: str
    authorization: Secret

    def put_secret(self, project_id: object, name: str, value: Secret) -> int:
        """Store a secret of a project on the server; return the response's status."""
        path = f"/api/projects/{urllib.parse.quote(str(project_id), safe='')}/secrets/{name}"
        return self.send_request("PUT", path, json.dumps({"value": value.reveal()}).encode()).status

    def send_request(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Send one request to the API; return its response."""
        limits = {"connect_timeout": _TIMEOUT, "write_timeout": _TIMEOUT, "read_timeout": _TIMEOUT}
        headers = {"Content-Type": "application/json"} if body else {}
        with contextlib.closing(Transport(**limits, connections=1)) as transport:
            return transport.send(method, self.url + path, headers=headers, body=body, auth=self._add_authorization)

    def _add_authorization(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header `Authorization` to a request, unless its value is empty."""
        if header := self.authorization.reveal():
            request.headers["Authorization"] = header
        return request


def find_local_secrets_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the local digdag secrets. Raises RuntimeError if the user has no home folder."""
    if config := environ.get("DIGDAG_CONFIG_HOME"):
        return Path(config) / "secrets"
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "digdag" / "secrets"


def read_local_secret(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a local digdag secret, or None if it is missing, is not text or cannot be read."""
    try:
        return (find_local_secrets_folder(environ) / name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RuntimeError):
        return None
