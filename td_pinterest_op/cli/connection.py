"""Credentials from the environment, the local digdag secrets or a file, and the ad accounts that they can read."""

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from td_pinterest_op.cli import files, screen
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.pinterest.api import Api, parse_optional_field
from td_pinterest_op.redaction.secret import Secret, escape_and_quote
from td_pinterest_op.runtime.clock import SYSTEM_TIMING
from td_pinterest_op.runtime.private_file import find_exposure
from td_pinterest_op.settings.parse import parse_settings
from td_pinterest_op.settings.table import (
    CONNECTION_SETTINGS,
    CREDENTIAL_SETTINGS,
    ConnectionSettings,
    build_variable_name,
)
from td_pinterest_op.task_runtime.digdag_secrets import (
    LOCAL_PROJECT_ID,
    RefreshTokenStore,
    find_local_secrets_folder,
    read_local_secret,
)
from td_pinterest_op.task_runtime.services import OnNewRefreshToken, Services, connect_services
from td_pinterest_op.task_runtime.task import Task

ENVIRONMENT_SOURCE = "the environment"
LOCAL_SECRETS_SOURCE = "the local digdag secrets"
PINTEREST_SECRETS_BY_VARIABLE: Mapping[str, str] = {
    build_variable_name(key.secret_name): key.secret_name for key in CREDENTIAL_SETTINGS
}
SECRETS_BY_VARIABLE: Mapping[str, str] = {"TD_API_KEY": "td.apikey", **PINTEREST_SECRETS_BY_VARIABLE}
REFRESH_TOKEN_VARIABLE = "PINTEREST_REFRESH_TOKEN"  # noqa: S105 - a name
_NON_SECRET_VARIABLES = ("TD_API_SERVER", "PINTEREST_API_ENDPOINT", "PINTEREST_AD_ACCOUNT_ID", "PINTEREST_AUDIENCE_ID")
# A person waits at the terminal, so there are fewer and shorter tries than in a task.
_SHORT_WAIT_SETTINGS = {
    "retry_count": 3,
    "max_retry_wait_millis": 10_000,
    "connection_timeout_secs": 20,
    "read_timeout_secs": 60,
}
# Users with these roles may change customer lists and audiences.
WRITER_ROLES = frozenset({"OWNER", "ADMIN", "AUDIENCE_MANAGER"})


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Credentials for Treasure Data and Pinterest."""

    environ: Mapping[str, str]  # the variables of a task
    sources: Mapping[str, str]  # where each was found, in words, by variable
    secrets: frozenset[Secret] = frozenset()  # all that was found in any place, but the app's id, which is public
    env_file: Path | None = None

    def describe_sources(self) -> str:
        """Return the places where the secrets were found, in words."""
        places = {name: self.sources[name] for name in SECRETS_BY_VARIABLE if name in self.sources}
        if len(found := set(places.values())) == 1:
            return found.pop()
        return "; ".join(f"{name} from {place}" for name, place in places.items())

    @property
    def refused_token_advice(self) -> str:
        """Advice on replacing a refresh token that Pinterest refuses."""
        place = self.sources.get(REFRESH_TOKEN_VARIABLE, "")
        if place == ENVIRONMENT_SOURCE:
            return (
                f"`unset {REFRESH_TOKEN_VARIABLE}`: the environment takes precedence over what `td-pinterest "
                "authorize` stores. Then run `td-pinterest authorize`, unless it has already stored a newer token"
            )
        if place == f"the file {self.env_file}":
            return f"run `td-pinterest authorize --to file {shlex.quote(str(self.env_file))}`"
        return "run `td-pinterest authorize`"

    def require_variables(self, *variables: str) -> None:
        """Raise SettingsError, which names the missing ones, unless all variables were found."""
        missing = [name for name in variables if name not in self.sources]
        if missing:
            raise SettingsError(
                f"{', '.join(missing)} not found in {ENVIRONMENT_SOURCE}, in {LOCAL_SECRETS_SOURCE} or in a file of "
                "--env-file. Store Treasure Data's key with `digdag secrets --local --set td.apikey`; `td-pinterest "
                "authorize` gets and stores the others"
            )

    def without_pinterest(self) -> "Credentials":
        """Return a copy for requests to Treasure Data only."""
        sources = {name: place for name, place in self.sources.items() if name not in PINTEREST_SECRETS_BY_VARIABLE}
        return replace(self, sources=sources)

    def build_connection_settings(self) -> ConnectionSettings:
        """Return settings with these credentials and short waits. A missing credential is "0"."""
        environ = {**self.environ, **dict.fromkeys(SECRETS_BY_VARIABLE.keys() - self.sources.keys(), "0")}
        return parse_settings({"type": "pinterest", **_SHORT_WAIT_SETTINGS}, table=CONNECTION_SETTINGS, environ=environ)

    def build_task(self, *, session: str | None = None, **params: object) -> Task:
        """Return a digdag task with these credentials. `session`: see `Task`."""
        return Task(params={"project_id": LOCAL_PROJECT_ID, **params}, environ=self.environ, session=session)

    def build_token_saver(self) -> OnNewRefreshToken:
        """Return a function that stores a new refresh token in place of the old one, or warns if that fails."""
        store = RefreshTokenStore(
            task=self.build_task(), settings=self.build_connection_settings(), timing=SYSTEM_TIMING
        )
        path = self.env_file

        def save_token(new_token: Secret | None, valid_seconds: float | None) -> None:
            if new_token is None or path is None or self.sources.get(REFRESH_TOKEN_VARIABLE) != f"the file {path}":
                store.save_token_or_warn_of_expiry(new_token, valid_seconds)
                return
            try:
                files.set_env_values(path, {REFRESH_TOKEN_VARIABLE: new_token.reveal()})
            except SettingsError as error:
                screen.print_note(
                    f"Pinterest issued a new refresh token, which could not be stored: {error}. Run `td-pinterest "
                    "authorize` before the old one expires, or at once if Pinterest has withdrawn it"
                )
            else:
                screen.print_note(f"Pinterest issued a new refresh token; it is stored in {path}")

        return save_token

    def open_services(self) -> contextlib.AbstractContextManager[Services]:
        """Connect to both services."""
        return connect_services(
            self.build_task(),
            self.build_connection_settings(),
            timing=SYSTEM_TIMING,
            on_new_refresh_token=self.build_token_saver(),
        )


def find_credentials(env_file: Path | None, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Return each credential from the environment, else from the local digdag secrets, else from the env file.

    Raises SettingsError for an unusable env file, and for one or for local secrets that others can read or change.
    """
    in_file: Mapping[str, str] = {}
    if env_file:
        in_file = files.read_env_file(env_file, "--env-file")
        if exposure := find_exposure(env_file):
            raise SettingsError(f"the file {env_file} of --env-file is not used: {exposure}")
    local = {variable: read_local_secret(name, environ) or "" for variable, name in SECRETS_BY_VARIABLE.items()}
    if host := read_local_secret("td.endpoint", environ):
        scheme = "http" if read_local_secret("td.use_ssl", environ) == "false" else "https"
        local["TD_API_SERVER"] = f"{scheme}://{host}"
    folder = find_local_secrets_folder(environ) if any(local.values()) else None
    # Treasure Data's key goes where the last two say.
    for name in (*SECRETS_BY_VARIABLE.values(), "td.endpoint", "td.use_ssl"):
        if folder is None or not read_local_secret(name, environ):
            continue
        # `digdag secrets --local` gives a file the permissions of any other: its folder keeps others out.
        if exposure := find_exposure(folder / name, is_guarded_by_folder=True):
            raise SettingsError(f"{LOCAL_SECRETS_SOURCE} in {folder} are not used: {exposure}")
    places = {ENVIRONMENT_SOURCE: environ, f"{LOCAL_SECRETS_SOURCE} ({folder})": local, f"the file {env_file}": in_file}
    values = dict(environ)
    sources = {}
    secrets = set()
    for place, found in reversed(places.items()):  # the first place takes precedence
        for variable in (*SECRETS_BY_VARIABLE, *_NON_SECRET_VARIABLES):
            if value := found.get(variable, "").strip():
                values[variable] = value
                sources[variable] = place
                if variable in SECRETS_BY_VARIABLE:
                    secret = Secret(value)  # masked from here on
                    if variable != "PINTEREST_CLIENT_ID":
                        secrets.add(secret)
    return Credentials(environ=values, sources=sources, secrets=frozenset(secrets), env_file=env_file)


def open_services_with_options(common: CommonOptions) -> contextlib.AbstractContextManager[Services]:
    """Connect to both services. Raises SettingsError without Pinterest's credentials."""
    credentials = find_credentials(common.env_file)
    credentials.require_variables(*PINTEREST_SECRETS_BY_VARIABLE)
    common.print_note(f"Credentials: {credentials.describe_sources()}")
    return credentials.open_services()


@dataclass(frozen=True, kw_only=True)
class AdAccount:
    """An ad account that the token may read."""

    id: str
    name: str
    owner: str  # a user name, or ""
    roles: tuple[str, ...]  # the user's roles in it, as Pinterest names them

    @property
    def label(self) -> str:
        """Its id, and its name in quotation marks."""
        return f"{self.id} {escape_and_quote(self.name)}"

    @property
    def may_write(self) -> bool | None:
        """Whether the user's roles allow an export, or None if Pinterest does not show the roles."""
        return not WRITER_ROLES.isdisjoint(self.roles) if self.roles else None


def list_ad_accounts(api: Api) -> Iterator[AdAccount]:
    """Yield all ad accounts that the token may read, including shared ones."""
    for content in api.list_items("/ad_accounts", include_shared_accounts="true"):
        roles = content.get("permissions")
        yield AdAccount(
            id=content["id"],
            name=parse_optional_field(content, "name", ""),
            owner=parse_optional_field(parse_optional_field(content, "owner", {}), "username", ""),
            roles=tuple(map(str, roles)) if isinstance(roles, list) else (),
        )


def build_ad_account_api(services: Services, common: CommonOptions) -> Api:
    """Return Pinterest's API for the ad account that --ad-account or the environment names, or for the only one.

    Raises SettingsError if the user has no ad account, click.UsageError if none of several is named.
    """
    if named := common.ad_account or services.task.environ.get("PINTEREST_AD_ACCOUNT_ID"):
        return services.build_pinterest_api(parse_id_option(named, "--ad-account or PINTEREST_AD_ACCOUNT_ID"))
    accounts = list(list_ad_accounts(services.pinterest))
    if not accounts:
        raise SettingsError(
            "the Pinterest user has no ad account: create one in Pinterest's Ads Manager, or ask the owner of one for "
            "access"
        )
    if len(accounts) > 1:
        listed = ", ".join(account.label for account in accounts)
        raise click.UsageError(
            f"several ad accounts are available. Name one with --ad-account or PINTEREST_AD_ACCOUNT_ID: {listed}"
        )
    common.print_note(f"Ad account: {accounts[0].label} (the only one of this user)")
    return services.build_pinterest_api(accounts[0].id)


def parse_id_option(text: str, option: str) -> str:
    """Return an option's id without spaces. Raises click.UsageError if it is not all digits."""
    if not (text.isascii() and text.strip().isdecimal()):
        raise click.UsageError(
            f"{option} must be an id, which has only digits; `td-pinterest accounts` and `audiences` list the ids"
        )
    return text.strip()
