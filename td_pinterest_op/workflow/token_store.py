"""Saves a new refresh token where the old one came from, so that exports go on when the old one ends.

That is the workflow project's secrets on a server (the one that DIGDAG_ENDPOINT names, else hosted Treasure Workflow),
or, in a local run, the secrets folder of `digdag run`, and never a server.
"""

import logging
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.http.retry import Retry
from td_pinterest_op.http.transport import NoResponseError, is_safe_url
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime import atomic_file
from td_pinterest_op.runtime.clock import DAY, Timing
from td_pinterest_op.workflow.digdag_secrets import DigdagServer, find_local_secrets_folder, read_local_secret

log = logging.getLogger(__name__)

_SOON = 14 * DAY
_TRIES = 4
# The project's id in `digdag run`, which keeps its database in memory. A server has a project 1 as well: its tasks are
# recognised by the folder into which the server unpacks the project.
# Source: digdag-core, ExtractArchiveWorkspaceManager.java: workspace/{project}_{workflow}_{attempt}_{task}_{random}.
LOCAL_PROJECT = 1
_WORKSPACE = re.compile(rf"/workspace/{LOCAL_PROJECT}_[^/]+_[0-9]+_[0-9]+_[0-9]+(/|$)")
_TD_HOST = re.compile(r"api\.(?:[a-z0-9-]+\.)?treasuredata\.(?:com|co\.jp)")


@dataclass(slots=True, kw_only=True)
class TokenStore:
    """Stores each new refresh token of a task where its old one came from.

    `secret_name` is that of the workflow's secret; None for a token in plain text, which cannot be saved. `current` is
    the token that the secret holds, as far as this run knows: the last one that it saved or read.
    """

    secret_name: str | None
    current: Secret
    project_id: int | None
    environ: Mapping[str, str]
    retry: Retry
    timing: Timing
    _is_local_run: bool = field(init=False)
    _is_local: bool = field(init=False)

    def __post_init__(self) -> None:
        self._is_local_run = self.project_id == LOCAL_PROJECT and not _WORKSPACE.search(Path.cwd().as_posix())
        # The task's token may come from elsewhere, and the local secret may be another user's.
        self._is_local = self._read_local_token() == self.current.reveal()

    def save_token(self, issued: Secret | None, seconds: float | None) -> None:
        """Store a new refresh token at once. Never raises: a failure is logged as a warning.

        `seconds`: validity of `issued`, or of the current token if `issued` is None.
        """
        if issued is None:
            self._warn_of_expiry(seconds)
        elif self._is_local and self._read_local_token() != self.current.reveal():
            log.info(
                "Pinterest issued a new refresh token, but another task has already stored a newer one, which stays"
            )
        elif problem := self._try_store(issued):
            log.warning(
                "Pinterest issued a new refresh token, which could not be saved (%s): exports continue with the old "
                "one until it expires, on %s at the latest, or at once if Pinterest has withdrawn it. Authorise the "
                "app again and store its refresh token in the secret %s",
                problem,
                self._format_expiry_date(seconds) if seconds else "a day that Pinterest did not name",
                self.secret_name or "pinterest.refresh_token, not in the settings",
            )
        else:
            self.current = issued
            log.info("Pinterest issued a new refresh token; it is saved in the secret %s", self.secret_name)

    def read_token(self) -> Secret | None:
        """Return the stored refresh token, or None if it is unknown: a workflow server does not show its secrets."""
        text = self._read_local_token() if self._is_local else None
        if not text:
            return None
        self.current = Secret(text)
        return self.current

    def _warn_of_expiry(self, seconds: float | None) -> None:
        """Log a warning if the refresh token, of which Pinterest issued no new one, expires within two weeks."""
        if seconds is not None and seconds <= _SOON:
            log.warning(
                "the refresh token expires on %s and Pinterest issued no new one: the owner of the Pinterest app must "
                "authorise it again before that day, and store the new refresh token in %s",
                self._format_expiry_date(seconds),
                self.secret_name or "the task's settings",
            )

    def _format_expiry_date(self, seconds: float) -> str:
        """Return the UTC date that is `seconds` from now."""
        return f"{self.timing.utc(seconds):%Y-%m-%d}"

    def _try_store(self, issued: Secret) -> str:
        """Store a refresh token; return why that failed, or "" if it succeeded."""
        try:
            if self.secret_name is None:
                return "the old token is written in plain text, not as a secret"
            if not self._is_local:
                return self._put_secret(self._find_server(), self.secret_name, issued)
            # Only the file is replaced: other users may share its folder.
            atomic_file.replace_file(find_local_secrets_folder(self.environ) / self.secret_name, issued.reveal())
        except SettingsError as error:
            return str(error)
        except OSError as error:
            return f"the local secrets file cannot be written: {error.strerror}"
        except (ValueError, RuntimeError) as error:
            return type(error).__name__
        return ""

    def _read_local_token(self) -> str | None:
        """Return the refresh token in the local digdag secrets, or None unless the run is local and has one."""
        if self.secret_name is None or not self._is_local_run:
            return None
        return read_local_secret(self.secret_name, self.environ)

    def _find_server(self) -> DigdagServer:
        """Return the task's workflow server. Raises SettingsError if it is unknown, or must not receive secrets."""
        if self._is_local_run:
            raise SettingsError(
                "the old token is not in a local secrets file, and a local run stores no token on a server"
            )
        if endpoint := self.environ.get("DIGDAG_ENDPOINT", "").rstrip("/"):
            if not is_safe_url(endpoint):
                raise SettingsError("DIGDAG_ENDPOINT must be an https address (http is allowed only for this machine)")
            if self.project_id is None:
                raise SettingsError("the task must belong to a project of the digdag server: push the project first")
            # Never the Treasure Data key: it is not for that server.
            return DigdagServer(url=endpoint, authorization=Secret(self.environ.get("DIGDAG_AUTHORIZATION", "")))
        server = self.environ.get("TD_API_SERVER") or "https://api.treasuredata.com/"
        host = urllib.parse.urlsplit(server if "//" in server else f"//{server}").hostname or ""
        if not _TD_HOST.fullmatch(host) or self.project_id in (None, LOCAL_PROJECT):
            raise SettingsError("DIGDAG_ENDPOINT is missing in the task's _env")
        hosted = host.replace("api.", "api-workflow.", 1)
        return DigdagServer(url=f"https://{hosted}", authorization=Secret(f"TD1 {self.environ.get('TD_API_KEY', '')}"))

    def _put_secret(self, server: DigdagServer, name: str, issued: Secret) -> str:
        """Store a refresh token as the secret `name` on the server; return why that failed, or ""."""
        problem = ""
        for wait in (0.0, *islice(self.retry.iterate_waits(), _TRIES - 1)):
            self.timing.sleep(wait)
            try:
                status = server.put_secret(self.project_id, name, issued)
            except NoResponseError as error:
                problem = f"the workflow server cannot be reached: {error.brief_text}"
                continue
            if 200 <= status < 300:
                return ""
            problem = f"the workflow server answered {status}"
            if status < 500 and status != 429:
                break
        return problem
