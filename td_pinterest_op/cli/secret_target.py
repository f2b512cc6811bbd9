"""The places where `authorize` stores secrets. No secret is ever an argument of another program."""

import contextlib
import json
import shlex
import shutil
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from td_pinterest_op.cli import files, options
from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.http.endpoints import require_safe_for_secrets
from td_pinterest_op.http.transport import NoResponseError
from td_pinterest_op.redaction.secret import Secret, mask_sensitive_data
from td_pinterest_op.runtime.atomic_file import replace_file
from td_pinterest_op.task_runtime.digdag_secrets import DigdagServer, find_local_secrets_folder

TARGET_ARGUMENT_NAMES: Mapping[str, Sequence[str]] = {
    "local": (),
    "td": ("PROJECT",),
    "server": ("URL", "PROJECT"),
    "file": ("PATH",),
}
SecretsByName = Mapping[str, Secret]
StorageDescription = str
StoreSecrets = Callable[[SecretsByName], StorageDescription]


def build_authorize_command(project: str, server: str | None) -> str:
    """Return the command that stores a token in a pushed project, of a digdag server or else of hosted workflow."""
    place = ["server", server] if server else ["td"]
    return f"td-pinterest authorize --to {shlex.join([*place, project])}"


def build_store_function(kind: str, arguments: Sequence[str], environ: Mapping[str, str]) -> StoreSecrets:
    """Return a function that stores secrets at the place of `--to`, after a check of that place.

    Raises click.UsageError for wrong arguments, SettingsError for a place that cannot be used.
    """
    if len(arguments) != len(TARGET_ARGUMENT_NAMES[kind]):
        raise click.UsageError(f"write `--to {' '.join((kind, *TARGET_ARGUMENT_NAMES[kind]))}`")
    if kind == "local":
        return partial(_store_locally, environ=environ)
    if kind == "file":
        path = options.FILE_TYPE.convert(arguments[0], None, None)
        if not path.parent.is_dir():
            raise SettingsError(
                f"there is no folder {path.parent} for the file {path.name}: create it, or name another file"
            )
        # What cannot be read, such as a link to itself, could not be written either, once Pinterest has issued a token.
        with contextlib.suppress(FileNotFoundError):
            path.stat()
            files.read_env_file(path, "--to file")
        return partial(_store_in_file, path=path)
    if kind == "td":
        td = shutil.which("td")
        if td is None:
            raise SettingsError(
                "there is no td command on the PATH, which --to td needs: install Treasure Data's toolbelt, or use "
                "--to file PATH and set the secrets in the console"
            )
        return partial(_store_with_td, td_program=td, project=arguments[0])
    url, project = arguments
    require_safe_for_secrets(url, name=url)
    authorization = Secret(environ.get("DIGDAG_AUTHORIZATION", ""))
    server = DigdagServer(url=url.rstrip("/").removesuffix("/api"), authorization=authorization)
    # Before the consent: a token that cannot be stored would be lost.
    project_id = _require_project_id(server, project)
    return partial(_store_on_server, server=server, project=project, project_id=project_id)


def _store_locally(secrets: SecretsByName, environ: Mapping[str, str]) -> StorageDescription:
    try:
        for name, value in secrets.items():
            file = write_local_secret(name, value, environ)
    except (OSError, RuntimeError) as error:
        raise SettingsError(
            f"the local digdag secrets cannot be written ({error}): "
            "set DIGDAG_CONFIG_HOME to a folder in which you may write"
        ) from None
    return f"the local digdag secrets ({file.parent})"


def write_local_secret(name: str, value: Secret, environ: Mapping[str, str]) -> Path:
    """Store a secret of `digdag run` in a file that only its owner can read, and return its path.

    Raises OSError, and RuntimeError if the user has no home folder.
    """
    file = find_local_secrets_folder(environ) / name
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.parent.chmod(0o700)
    replace_file(file, value.reveal())
    return file


def _store_in_file(secrets: SecretsByName, path: Path) -> StorageDescription:
    values = {variable: secrets[name].reveal() for variable, name in SECRETS_BY_VARIABLE.items() if name in secrets}
    files.set_env_values(path, values)
    return f"the file {path}"


def _store_with_td(secrets: SecretsByName, td_program: str, project: str) -> StorageDescription:
    # `@-`: a JSON mapping from standard input. Every user of this machine could read an argument.
    values = json.dumps({name: value.reveal() for name, value in secrets.items()})
    command = [td_program, "wf", "secrets", "--project", project, "--set", "@-"]
    # The new session keeps Ctrl-C at the terminal from ending td in the middle.
    done = subprocess.run(  # noqa: S603
        command, input=values, capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode:
        said = " ".join(mask_sensitive_data(done.stderr or done.stdout).split())[-300:] or "it printed nothing"
        raise SettingsError(f"`td wf secrets --project {project}` failed (exit code {done.returncode}): {said}")
    return f"the secrets of the hosted workflow project {project}"


def _store_on_server(secrets: SecretsByName, server: DigdagServer, project: str, project_id: str) -> StorageDescription:
    with _naming_server(server):
        for name, value in secrets.items():
            status = server.put_secret(project_id, name, value)
            if not 200 <= status < 300:
                raise SettingsError(
                    f"the digdag server {server.url} refused to store secret {name} of project {project} (it answered "
                    f"{status}): a server stores secrets only if its configuration has digdag.secret-encryption-key"
                )
    return f"the secrets of project {project} on {server.url}"


def _require_project_id(server: DigdagServer, project: str) -> str:
    """Return a project's id on a digdag server. Raises SettingsError if there is none."""
    with _naming_server(server):
        status, project_id = request_status_and_project_id(server, project)
    if project_id is None:
        raise SettingsError(
            f"the digdag server {server.url} has no project {project} (it answered {status}): push it first, or set "
            "DIGDAG_AUTHORIZATION to the Authorization header that the server requires"
        )
    return project_id


@contextlib.contextmanager
def _naming_server(server: DigdagServer) -> Iterator[None]:
    """Within the `with` block, let a SettingsError name a server that gives no answer."""
    try:
        yield
    except NoResponseError as error:
        raise SettingsError(
            f"the digdag server {server.url} gave no answer ({error}): check that it runs and has this address"
        ) from None


def request_status_and_project_id(server: DigdagServer, name: str) -> tuple[int, str | None]:
    """Ask a digdag server for a project. Return the HTTP status, and the project's id, or None if it has none."""
    response = server.send_request("GET", f"/api/projects?name={urllib.parse.quote(name)}")
    try:
        return response.status, str(response.content["projects"][0]["id"])
    except (LookupError, TypeError):
        return response.status, None
