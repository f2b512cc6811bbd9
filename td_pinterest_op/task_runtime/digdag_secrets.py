"""digdag's secrets, on a server and in files for `digdag run`, and the store of a task's refresh token in them.

A new refresh token is saved where the old one came from: in a local run, in the secrets folder of `digdag run`, else in
the project's secrets on the server that DIGDAG_ENDPOINT names, or on hosted Treasure Workflow.
Sources: digdag-server, rs/ProjectResource.java; digdag-client, api/SecretValidation.java; digdag-cli, Secrets.java and
ConfigUtil.digdagConfigHome.
"""

import contextlib
import json
import logging
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.http.endpoints import require_safe_for_secrets
from td_pinterest_op.http.retry import retry
from td_pinterest_op.http.transport import NoResponseError, Response, Transport
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime import atomic_file, shutdown
from td_pinterest_op.runtime.clock import DAY_SECONDS, Timing
from td_pinterest_op.runtime.text import parse_id
from td_pinterest_op.settings.table import ConnectionSettings
from td_pinterest_op.task_runtime.task import Task, parse_endpoints

log = logging.getLogger(__name__)

_TIMEOUT = 30.0
_SAVE_RETRY_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds
_EXPIRES_SOON_SECONDS = 14 * DAY_SECONDS
# The project's id in `digdag run`, whose database is in memory. A server has a project 1 as well: its tasks are
# recognised by the folder into which the server unpacks the project.
# Source: digdag-core, ExtractArchiveWorkspaceManager.java: workspace/{project}_{workflow}_{attempt}_{task}_{random}.
LOCAL_PROJECT_ID = 1
_SERVER_WORKSPACE_PATTERN = re.compile(rf"/workspace/{LOCAL_PROJECT_ID}_[^/]+_[0-9]+_[0-9]+_[0-9]+(/|$)")
# api.treasuredata.com, those of regions, and Private Connect: api-NAME.connect.REGION.treasuredata.com.
# Source: treasure-data/td, lib/td/config.rb, workflow_endpoint.
_TD_HOST_PATTERN = re.compile(
    r"(api(?:-staging|-development)?)((?:-[a-z0-9]+)?\.(?:connect\.)?(?:[a-z0-9-]+\.)?treasuredata\.(?:com|co\.jp))"
)


class _SecretNotStoredError(Exception):
    """The workflow server did not store a secret; another try may succeed."""


@dataclass(frozen=True, kw_only=True)
class DigdagServer:
    """The REST API of a digdag server. Any method may raise NoResponseError."""

    url: str  # without `/api`
    authorization: Secret  # the value of the header Authorization, or empty to send none

    def put_secret(self, project_id: object, name: str, value: Secret) -> int:
        """Store a secret of a project, and return the response's status."""
        path = f"/api/projects/{urllib.parse.quote(str(project_id), safe='')}/secrets/{name}"
        return self.send_request("PUT", path, json.dumps({"value": value.reveal()}).encode()).status

    def list_secret_names(self, project_id: str) -> set[str] | int:
        """Return the names of a project's secrets, or the status of a response without them."""
        response = self.send_request("GET", f"/api/projects/{urllib.parse.quote(project_id, safe='')}/secrets")
        try:
            return {str(each["key"]) for each in response.content["secrets"]}
        except (LookupError, TypeError):
            return response.status

    def send_request(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Send a request, and return the response. `path`: below the server's URL, with `/api`."""
        headers = {"Content-Type": "application/json"}
        if authorization := self.authorization.reveal():
            headers["Authorization"] = authorization
        transport = Transport(connect_timeout=_TIMEOUT, write_timeout=_TIMEOUT, read_timeout=_TIMEOUT, connections=1)
        with contextlib.closing(transport):
            return transport.send(method, self.url + path, headers=headers, body=body)


def find_hosted_server(environ: Mapping[str, str]) -> DigdagServer:
    """Return the Treasure Workflow of the region that TD_API_SERVER names. Raises SettingsError without one."""
    hosted = _TD_HOST_PATTERN.fullmatch(urllib.parse.urlsplit(parse_endpoints(environ).treasure_data).hostname or "")
    if not hosted:
        raise SettingsError(
            "TD_API_SERVER names no region of Treasure Data, so the address of its workflow server is not known; a "
            "task on another server needs DIGDAG_ENDPOINT in its _env"
        )
    authorization = Secret(f"TD1 {environ.get('TD_API_KEY', '')}")
    return DigdagServer(url=f"https://{hosted[1]}-workflow{hosted[2]}", authorization=authorization)


def find_local_secrets_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the secrets of `digdag run`. Raises RuntimeError if the user has no home folder."""
    if config := environ.get("DIGDAG_CONFIG_HOME"):
        return Path(config) / "secrets"
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "digdag" / "secrets"


def read_local_secret(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a secret of `digdag run`, or None if it cannot be read."""
    try:
        file = find_local_secrets_folder(environ) / name
        # Reading a pipe would wait for somebody who writes.
        return file.read_text(encoding="utf-8").strip() if file.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


class RefreshTokenStore:
    """Stores a task's new refresh tokens where the old token was read."""

    def __init__(self, *, task: Task, settings: ConnectionSettings, timing: Timing) -> None:
        self._project_id = parse_id(task.project_id)
        self._environ = task.environ
        self._timing = timing
        # The token that this run last saved or read.
        self.current = settings.refresh_token
        # None for a token in plain text, which cannot be saved.
        self._secret_name = settings.refresh_token_secret
        on_server = _SERVER_WORKSPACE_PATTERN.search(Path.cwd().as_posix())
        self._is_local_run = self._project_id == str(LOCAL_PROJECT_ID) and not on_server
        # If the task's token came from elsewhere, the local secret may be another user's.
        self._is_local = self._read_local_token() == self.current.reveal()

    def save_token_or_warn_of_expiry(self, new_token: Secret | None, valid_seconds: float | None) -> None:
        """Store a new refresh token. Without one, log a warning if the current token expires soon.

        `valid_seconds`: how long the new token, or else the current one, stays valid (None: unknown). A failure is only
        logged as a warning.
        """
        end = "a day that Pinterest did not name"
        if valid_seconds:
            end = f"{self._timing.get_utc_time(valid_seconds):%Y-%m-%d}"
        place = self._secret_name or "pinterest.refresh_token, not in the settings"
        if new_token is None:
            if valid_seconds is not None and valid_seconds <= _EXPIRES_SOON_SECONDS:
                log.warning(
                    "the refresh token expires on %s and Pinterest issued no new one: the owner of the Pinterest app "
                    "must authorise it again before that day, and store the new refresh token in the secret %s",
                    end,
                    place,
                )
            return
        if self._is_local and self._read_local_token() not in (None, "", self.current.reveal()):
            log.info(
                "Pinterest issued a new refresh token, but another task has already stored a newer one, which stays"
            )
            return
        try:
            self._write_token(new_token)
        except Exception as error:
            is_known = isinstance(error, (SettingsError, _SecretNotStoredError))
            log.warning(
                "Pinterest issued a new refresh token, which could not be saved (%s): exports continue with the old "
                "one until it expires, on %s at the latest, or at once if Pinterest has withdrawn it. Authorise the "
                "app again and store its refresh token in the secret %s",
                error if is_known else getattr(error, "strerror", None) or type(error).__name__,
                end,
                place,
            )
        else:
            self.current = new_token
            log.info("Pinterest issued a new refresh token; it is saved in the secret %s", self._secret_name)

    def read_stored_refresh_token(self) -> Secret | None:
        """Return the stored refresh token, or None if it cannot be read: a digdag server shows no secrets."""
        text = self._read_local_token() if self._is_local else None
        if not text:
            return None
        self.current = Secret(text)
        return self.current

    def _read_local_token(self) -> str | None:
        if self._secret_name is None or not self._is_local_run:
            return None
        return read_local_secret(self._secret_name, self._environ)

    def _write_token(self, new_token: Secret) -> None:
        name = self._secret_name
        if name is None:
            raise SettingsError("the old token is written in plain text, not as a secret")
        if self._is_local:
            # Only the file is replaced: other users may share its folder.
            atomic_file.replace_file(find_local_secrets_folder(self._environ) / name, new_token.reveal())
            return
        if self._is_local_run or self._project_id is None:
            raise SettingsError(
                "the old token is not in a local secrets file, and only a task of a workflow server stores one there"
            )
        if endpoint := self._environ.get("DIGDAG_ENDPOINT", "").rstrip("/"):
            require_safe_for_secrets(endpoint, name="DIGDAG_ENDPOINT")
            # Never the Treasure Data key: it is not for that server.
            server = DigdagServer(url=endpoint, authorization=Secret(self._environ.get("DIGDAG_AUTHORIZATION", "")))
        elif self._project_id == str(LOCAL_PROJECT_ID):  # on a server of the user's own: hosted ids are far greater
            raise SettingsError("DIGDAG_ENDPOINT is missing in the task's _env")
        else:
            server = find_hosted_server(self._environ)

        def store_once() -> None:
            try:
                status = server.put_secret(self._project_id, name, new_token)
            except NoResponseError as error:
                raise _SecretNotStoredError(f"the workflow server cannot be reached: {error}") from None
            if not 200 <= status < 300:
                kind = _SecretNotStoredError if status >= 500 or status in (408, 409, 429) else SettingsError
                raise kind(f"the workflow server answered {status}")

        # After a signal there are no waits.
        retry(
            store_once,
            _SAVE_RETRY_WAITS,
            on=_SecretNotStoredError,
            sleep=self._timing.sleep,
            before_wait=lambda _, wait: 0.0 if shutdown.is_requested() else wait,
        )
