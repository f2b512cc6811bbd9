"""digdag's secrets: each request to a server's REST API, and the files of `digdag run`."""

import json
import stat
from pathlib import Path

import pytest
import requests
import requests_mock

from td_pinterest_op.cli.secret_target import write_local_secret
from td_pinterest_op.http import transport
from td_pinterest_op.http.transport import NoResponseError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.workflow.digdag_secrets import (
    DigdagServer,
    find_local_secrets_folder,
    read_local_secret,
)

URL = "https://digdag.test:65432"
KEY = "pinterest.refresh_token"
SECRET = f"{URL}/api/projects/4711/secrets/{KEY}"


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> requests_mock.Adapter:
    """Answers in place of the transport's connections."""
    adapter = requests_mock.Adapter()
    monkeypatch.setattr(transport, "_Adapter", lambda **_: adapter)
    return adapter


def server(authorization: str = "Bearer s3cr3t-of-digdag") -> DigdagServer:
    return DigdagServer(url=URL, authorization=Secret(authorization))


@pytest.mark.parametrize("authorization", ["Bearer s3cr3t-of-digdag", ""])
def test_put_secret_sends_its_value_in_the_body_and_no_credential_of_netrc(
    http: requests_mock.Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authorization: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine digdag.test login somebody password else\n")
    http.register_uri("PUT", SECRET, status_code=204)
    status = server(authorization).put_secret(4711, "pinterest.refresh_token", Secret("s3cr3t-new-token"))
    (request,) = http.request_history
    assert (204, {"value": "s3cr3t-new-token"}) == (status, json.loads(request.body))
    assert (authorization or None) == request.headers.get("Authorization")


def test_redirect_is_not_followed(http: requests_mock.Adapter) -> None:
    http.register_uri("PUT", SECRET, status_code=302, headers={"Location": "https://elsewhere.test/"})
    assert 302 == server().put_secret(4711, "pinterest.refresh_token", Secret("s3cr3t-new-token"))
    assert 1 == http.call_count


def test_server_that_cannot_be_reached_is_an_error_that_names_the_host(http: requests_mock.Adapter) -> None:
    http.register_uri("PUT", SECRET, exc=requests.ConnectionError)
    with pytest.raises(NoResponseError, match=r"digdag\.test:65432"):
        server().put_secret(4711, "pinterest.refresh_token", Secret("s3cr3t-new-token"))


# -- the local secrets


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "home/.config/digdag/secrets"),
        ({"XDG_CONFIG_HOME": "", "DIGDAG_CONFIG_HOME": ""}, "home/.config/digdag/secrets"),
        ({"XDG_CONFIG_HOME": "xdg"}, "xdg/digdag/secrets"),
        ({"XDG_CONFIG_HOME": "xdg", "DIGDAG_CONFIG_HOME": "own"}, "own/secrets"),
    ],
)
def test_folder_is_the_one_that_digdag_reads(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str
) -> None:
    monkeypatch.setenv("HOME", "home")
    assert Path(expected) == find_local_secrets_folder(environ)


def test_written_secret_is_read_again_and_private(tmp_path: Path) -> None:
    environ = {"DIGDAG_CONFIG_HOME": str(tmp_path / "digdag")}
    for value in ("s3cr3t-one", "s3cr3t-two"):
        file = write_local_secret(KEY, Secret(value), environ)
        assert value == read_local_secret(KEY, environ)
    assert [file] == list(file.parent.iterdir())
    assert (0o600, 0o700) == (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_missing_or_binary_secret_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / KEY).write_bytes(content)
    assert None is read_local_secret(KEY, {"DIGDAG_CONFIG_HOME": str(tmp_path)})
