"""Where credentials and endpoints come from: the environment, else the local digdag secrets, else a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from td_pinterest_op.cli import env_file as named_file
from td_pinterest_op.cli import text_file
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.secret import Secret
from td_pinterest_op.settings.table import CREDENTIALS
from td_pinterest_op.workflow import local_secrets

ENVIRONMENT, LOCAL = "the environment", "the local digdag secrets"

# The workflow's secrets, by the variable under which a task gets each.
SECRETS: Mapping[str, str] = MappingProxyType(
    {"TD_API_KEY": "td.apikey", **{key.variable: key.secret for key in CREDENTIALS}}
)
PINTEREST_SECRETS = tuple(key.variable for key in CREDENTIALS)
_OTHERS = ("TD_API_SERVER", "PINTEREST_API_ENDPOINT", "PINTEREST_AD_ACCOUNT_ID", "PINTEREST_AUDIENCE_ID")
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """`environ`: the environment with everything that was found laid in. `sources`: where each variable was found."""

    environ: Mapping[str, str]
    sources: Mapping[str, str]
    env_file: Path | None = None

    @classmethod
    def find(cls, env_file: Path | None, environ: Mapping[str, str] = os.environ) -> Credentials:
        """Each variable from the first place that has it. Raises SettingsError for a file that cannot be used."""
        in_file = _read_env_file(env_file) if env_file else {}
        values, sources = dict(environ), {}
        for variable in (*SECRETS, *_OTHERS):
            places = (
                (ENVIRONMENT, environ.get(variable)),
                (f"{LOCAL} ({_folder(environ)})", _local(variable, environ)),
                (f"the file {env_file}", in_file.get(variable)),
            )
            place, value = next(((place, value) for place, value in places if value and value.strip()), ("", ""))
            if value:
                values[variable], sources[variable] = value.strip(), place
                if variable in SECRETS:
                    Secret(value.strip())  # masked from here on
        return cls(environ=values, sources=sources, env_file=env_file)

    def described(self) -> str:
        """The sources of the secrets, for people: never a value."""
        places: dict[str, list[str]] = {}
        for variable in SECRETS:
            if variable in self.sources:
                places.setdefault(self.sources[variable], []).append(variable)
        if len(places) == 1:
            return next(iter(places))
        return "; ".join(f"{', '.join(variables)} from {place}" for place, variables in places.items()) or "nowhere"

    @property
    def missing(self) -> tuple[str, ...]:
        """The variables of the secrets that were found nowhere."""
        return tuple(variable for variable in SECRETS if variable not in self.sources)


def _folder(environ: Mapping[str, str]) -> str:
    try:
        return str(local_secrets.folder(environ))
    except RuntimeError:
        return "none"


def _local(variable: str, environ: Mapping[str, str]) -> str | None:
    if variable in SECRETS:
        return local_secrets.read(SECRETS[variable], environ)
    if variable == "TD_API_SERVER" and (host := local_secrets.read("td.endpoint", environ)):
        plain = local_secrets.read("td.use_ssl", environ) == "false"
        return f"{'http' if plain else 'https'}://{host}"
    return None


def _read_env_file(path: Path) -> dict[str, str]:
    text = text_file.read(path, "--env-file")
    if path.stat().st_mode & _OPEN_TO_OTHERS:
        raise SettingsError(f"others can read the file {path} of --env-file: run `chmod 600 {path}` first")
    return named_file.values(text, path)
