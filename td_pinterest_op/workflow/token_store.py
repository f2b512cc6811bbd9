"""Keeps a new refresh token where the old one came from, so that an export does not end when the old one does.

Where that is: the local secrets folder of `digdag run`, when the old token is found there; else the workflow project's
secrets, over digdag's REST API (hosted Treasure Workflow, or the server that DIGDAG_ENDPOINT names).
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import tempfile
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests
from requests.auth import AuthBase

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.pinterest.transport import is_safe
from td_pinterest_op.retry import Retry
from td_pinterest_op.secret import Secret
from td_pinterest_op.timing import Timing

log = logging.getLogger(__name__)

DAY = 86_400.0
_SOON = 14 * DAY
_TIMEOUT = 30.0
_TRIES = 4
# A project's id in `digdag run`, which keeps its database in memory.
_LOCAL_PROJECT = 1
_TD_HOST = re.compile(r"api\.(?:[a-z0-9-]+\.)?treasuredata\.(?:com|co\.jp)")


@dataclass(slots=True, kw_only=True)
class TokenStore:
    """`secret_name` is the workflow secret's name, None when the token was given in plain text; then it cannot be kept.

    `current` is the token that the secret holds: the last one that was kept.
    """

    secret_name: str | None
    current: Secret
    project_id: int | None
    environ: Mapping[str, str]
    retry: Retry
    timing: Timing

    def save(self, issued: Secret | None, seconds: float | None) -> None:
        """Keep `issued` at once; `seconds` is how long it, or else the current one, lasts. Never raises: warns."""
        if issued is None:
            if seconds is not None and seconds <= _SOON:
                log.warning(
                    "the refresh token ends on %s and Pinterest gave no new one: the owner of the Pinterest app must "
                    "authorise it again before, and store the new refresh token in %s",
                    self._date(seconds),
                    self.secret_name or "the task's settings",
                )
            return
        try:
            why = self._try_to_save(issued)
        except (OSError, ValueError, RuntimeError) as error:
            why = type(error).__name__
        if why is None:
            self.current = issued
            log.info("Pinterest issued a new refresh token; it is kept in secret %s", self.secret_name)
            return
        log.warning(
            "Pinterest issued a new refresh token, which could not be kept (%s): exports go on with the old one until "
            "it ends, on %s at the latest, or at once if Pinterest has withdrawn it. Authorise the app again and store "
            "its refresh token in secret %s",
            why,
            self._date(seconds) if seconds else "a day that Pinterest did not name",
            self.secret_name or "pinterest.refresh_token, not in the settings",
        )

    def _date(self, seconds: float) -> str:
        until = datetime.datetime.fromtimestamp(self.timing.wall() + seconds, tz=datetime.timezone.utc)
        return f"{until:%Y-%m-%d}"

    def _try_to_save(self, issued: Secret) -> str | None:
        """None when it is kept, else why not."""
        if self.secret_name is None:
            return "it was given in plain text, not by a secret"
        local = self._local_file()
        if local is not None:
            return _replace(local, issued)
        try:
            endpoint, auth = self._server()
        except SettingsError as error:
            return str(error)
        return self._put(f"{endpoint}/api/projects/{self.project_id}/secrets/{self.secret_name}", auth, issued)

    def _local_file(self) -> Path | None:
        """The file of `digdag secrets --local`, if the current token came from it."""
        try:
            config = Path(self.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "digdag"
            file = Path(self.environ.get("DIGDAG_CONFIG_HOME") or config) / "secrets" / str(self.secret_name)
            return file if file.read_text().strip() == self.current.reveal() else None
        except (OSError, ValueError, RuntimeError):  # RuntimeError: the user has no home
            return None

    def _server(self) -> tuple[str, _Header]:
        """The workflow server's endpoint and authorisation. Raises SettingsError when there is none to be used."""
        endpoint = self.environ.get("DIGDAG_ENDPOINT", "").rstrip("/")
        if endpoint:
            if self.project_id is None or not is_safe(endpoint):
                raise SettingsError("DIGDAG_ENDPOINT must be https (http only to loop-back), in a workflow project")
            # Never the Treasure Data key: it is not that server's.
            return endpoint, _Header(Secret(self.environ.get("DIGDAG_AUTHORIZATION", "")))
        server = self.environ.get("TD_API_SERVER") or "https://api.treasuredata.com/"
        host = urllib.parse.urlsplit(server if "//" in server else f"//{server}").hostname or ""
        if not _TD_HOST.fullmatch(host) or self.project_id in (None, _LOCAL_PROJECT):
            raise SettingsError("it is in no local secrets file, and there is no DIGDAG_ENDPOINT in _env")
        hosted = host.replace("api.", "api-workflow.", 1)
        return f"https://{hosted}", _Header(Secret(f"TD1 {self.environ.get('TD_API_KEY', '')}"))

    def _put(self, url: str, auth: _Header, issued: Secret) -> str | None:
        waits, said = self.retry.waits(), ""
        for attempt in range(_TRIES):
            if attempt:
                self.timing.sleep(next(waits))
            try:
                answer = requests.put(
                    url, json={"value": issued.reveal()}, auth=auth, timeout=_TIMEOUT, allow_redirects=False
                )
            except requests.RequestException as error:
                said = f"the workflow server cannot be reached: {type(error).__name__}"
                continue
            if 200 <= answer.status_code < 300:
                return None
            said = f"the workflow server answered {answer.status_code}"
            if answer.status_code < 500 and answer.status_code != 429:
                break
        return said


class _Header(AuthBase):
    """An Authorization header as it is; none when empty. Given always, so that ~/.netrc is not asked."""

    def __init__(self, value: Secret) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value.reveal():
            request.headers["Authorization"] = self._value.reveal()
        return request


def _replace(file: Path, issued: Secret) -> str | None:
    """Put `issued` into a secrets file, which is the old or the new one at any moment."""
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
        try:
            with os.fdopen(handle, "w") as new:
                new.write(issued.reveal())
            Path(name).replace(file)
        except (OSError, ValueError):
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        return f"the local secrets file cannot be written: {error.strerror}"
    return None
