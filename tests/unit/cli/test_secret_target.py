"""Where `authorize` stores secrets: what is refused beforehand, what is said when storing fails, what arrives."""

import socket
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest

from td_pinterest_op.cli.secret_target import build_store_function
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import Secret
from tests.emulators.digdag_secrets import DigdagSecrets, serve_secrets
from tests.unit.cli.running import Terminal


@pytest.fixture
def values() -> dict[str, str]:
    """The three secrets, one of which a shell would take apart."""
    return {
        "pinterest.client_id": "1503921",
        "pinterest.client_secret": 'client\'s "s3cr3t" $HOME # `x`',
        "pinterest.refresh_token": "pinr.s3cr3t-token",
    }


def _store(values: Mapping[str, str], kind: str, *place: str | Path, **environ: str) -> str:
    store = build_store_function(kind, list(map(str, place)), environ)
    return store({name: Secret(value) for name, value in values.items()})


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (["td", "shop"], "there is no td command on the PATH"),
        (["file", "no/secrets.env"], "there is no folder no for the file secrets.env"),
        (["file", "binary"], "the file binary of --to file cannot be read: it is not UTF-8 text"),
        (["file", "link"], "link cannot be read or written: Too many levels of symbolic links"),
        (["server", "http://digdag.test", "shop"], "http://digdag.test must be an https address"),
    ],
)
def test_an_unusable_target_is_an_error_before_any_question(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("binary").write_bytes(b"\xff\xfe")
    Path("link").symlink_to("link")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert terminal("authorize", "--to", *place).failed(f"error: {said}")
    assert Path("binary").read_bytes() == b"\xff\xfe"


def test_local_secrets_that_cannot_be_written_are_an_error_that_names_the_variable_to_set(
    values: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digdag").write_text("a file where a folder should be")
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError("no home")))
    for environ, why in (({"DIGDAG_CONFIG_HOME": str(tmp_path / "digdag")}, "Not a directory"), ({}, "no home")):
        with pytest.raises(SettingsError, match=f"secrets cannot be written .*{why}.*: set DIGDAG_CONFIG_HOME to a"):
            _store(values, "local", **environ)


def test_a_server_gets_the_secrets_with_the_authorization_of_the_environment(values: dict[str, str]) -> None:
    with serve_secrets(DigdagSecrets(api_key="digdag-s3cr3t")) as (server, url):
        where = _store(values, "server", f"{url}/api/", "pinterest_export", DIGDAG_AUTHORIZATION="TD1 digdag-s3cr3t")
        assert where == f"the secrets of project pinterest_export on {url}"
        assert values == server.secrets()


@pytest.mark.parametrize(
    ("api_key", "project", "name", "said"),
    [
        (None, "shop", "pinterest.client_id", "has no project shop (it answered 200): push it first"),
        ("s3cr3t", "pinterest_export", "pinterest.client_id", "401): push it first, or set DIGDAG_AUTHORIZATION"),
        (None, "pinterest_export", "no.name-", "refused to store secret no.name- of project pinterest_export (it an"),
    ],
)
def test_an_error_names_the_project_or_the_secret_that_the_server_refuses(
    api_key: str | None, project: str, name: str, said: str
) -> None:
    with serve_secrets(DigdagSecrets(api_key=api_key)) as (server, url):
        with pytest.raises(SettingsError) as failure:
            _store({name: "s3cr3t"}, "server", url, project)
        assert said in str(failure.value)
        assert server.secrets() == {}


def test_an_error_names_the_server_that_does_not_answer(values: dict[str, str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # not listening: nobody answers there, and nobody else can take the port
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(SettingsError) as failure:
            _store(values, "server", url, "shop")
    assert f"the digdag server {url} gave no answer (could not connect: " in str(failure.value)


def test_project_that_a_server_lacks_is_an_error_before_there_is_a_token_to_store() -> None:
    with serve_secrets(DigdagSecrets(api_key="digdag-s3cr3t")) as (_, url):
        environ = {"DIGDAG_AUTHORIZATION": "TD1 digdag-s3cr3t"}
        with pytest.raises(SettingsError, match="has no project elsewhere"):
            build_store_function("server", [url, "elsewhere"], environ)
