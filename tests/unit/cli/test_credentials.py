"""Where credentials come from, what a file of them may hold, and the ad accounts of a token."""

import contextlib
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from td_pinterest_op.cli.connection import (
    SECRETS_BY_VARIABLE,
    AdAccount,
    Credentials,
    find_credentials,
    list_ad_accounts,
)
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime import private_file
from tests.emulators.environment import environment
from tests.unit.scripted import Keys, answer, scene


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The folder of the local digdag secrets."""
    folder = tmp_path / "digdag" / "secrets"
    folder.mkdir(parents=True, mode=0o700)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty file for --env-file, which its owner alone can read."""
    file = tmp_path / "secrets.env"
    file.touch(0o600)
    return file


def _find(local: Path, file: Path | None = None, **environ: str) -> Credentials:
    return find_credentials(file, {"DIGDAG_CONFIG_HOME": str(local.parent)} | environ)


def test_a_variable_comes_from_the_first_place_that_has_it(local: Path, file: Path) -> None:
    (local / "pinterest.client_id").write_text("local\n")
    (local / "pinterest.client_secret").write_text("local-s3cr3t")
    file.write_text("PINTEREST_CLIENT_ID=file\nPINTEREST_REFRESH_TOKEN=file-s3cr3t\n")
    held = _find(local, file, PINTEREST_CLIENT_SECRET="environment-s3cr3t", PINTEREST_REFRESH_TOKEN=" ")
    shown = {name: held.environ[name] for name in SECRETS_BY_VARIABLE if name in held.sources}
    assert shown == {
        "PINTEREST_CLIENT_ID": "local",
        "PINTEREST_CLIENT_SECRET": "environment-s3cr3t",
        "PINTEREST_REFRESH_TOKEN": "file-s3cr3t",
    }
    assert held.describe_sources() == (
        f"PINTEREST_CLIENT_ID from the local digdag secrets ({local}); "
        "PINTEREST_CLIENT_SECRET from the environment; "
        f"PINTEREST_REFRESH_TOKEN from the file {file}"
    )


def test_the_endpoint_of_treasure_data_is_that_of_the_local_secrets(local: Path) -> None:
    (local / "td.endpoint").write_text("td.test:81")
    assert _find(local).environ["TD_API_SERVER"] == "https://td.test:81"
    (local / "td.use_ssl").write_text("false\n")
    assert _find(local).environ["TD_API_SERVER"] == "http://td.test:81"


def test_a_user_without_a_home_has_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError))
    held = find_credentials(None, environment(td_url="-", pinterest_endpoint="-"))
    assert held.describe_sources() == "the environment"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"A=1\nPINTEREST_CLIENT_SECRET='s3cr3t\n", r"^line 2 of the file \S+ must have the form NAME=VALUE$"),
        (b"PINTEREST_CLIENT_SECRET=s3cr3t\xff\n", "of --env-file cannot be read: it is not UTF-8 text$"),
        (None, r"of --env-file cannot be read: No such file or directory$"),
    ],
)
def test_an_invalid_env_file_is_refused_without_quoting_it(
    local: Path, file: Path, content: bytes | None, said: str
) -> None:
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        _find(local, file)


def test_an_env_file_that_could_not_keep_a_renewed_token_is_refused_unread(local: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # without a writer: to read it would wait for ever
    for path in (pipe, Path("/dev/null"), Path("-")):
        with pytest.raises(SettingsError, match=rf"^{path} of --env-file is not a regular file: .* Name a file that"):
            _find(local, path)


@pytest.mark.parametrize(
    ("folder_mode", "mode", "is_open"), [(0o755, 0o644, True), (0o700, 0o644, False), (0o755, 0o600, False)]
)
def test_local_secrets_that_others_can_read_are_refused(
    local: Path, folder_mode: int, mode: int, is_open: bool
) -> None:
    (local / "td.apikey").write_text("1/s3cr3t")
    (local / "td.apikey").chmod(mode)
    local.chmod(folder_mode)
    said = rf"^the local digdag secrets in {local} are not used: others can read \S+/td.apikey: run `chmod 700 {local}`"
    with pytest.raises(SettingsError, match=said) if is_open else contextlib.nullcontext():
        assert _find(local).sources.keys() == {"TD_API_KEY"}


@pytest.mark.parametrize("name", ["td.endpoint", "td.apikey"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_local_secret_that_others_can_change_is_refused(local: Path, name: str, is_folder: bool) -> None:
    (local / name).write_text("evil.example")
    exposed = local if is_folder else local / name
    exposed.chmod(0o777)
    with pytest.raises(SettingsError, match=rf"^the local digdag secrets in {local} are not used: others can write"):
        _find(local)


def test_pipe_in_place_of_a_local_secret_is_not_read(local: Path) -> None:
    os.mkfifo(local / "td.apikey")
    assert _find(local).sources == {}


def test_env_file_of_another_user_is_refused(local: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("TD_API_KEY=1/s3cr3t")
    foreign = file.stat().st_ino
    monkeypatch.setattr(private_file, "belongs_to_user_or_root", lambda status: status.st_ino != foreign)
    with pytest.raises(SettingsError, match=rf"^the file {file} of --env-file is not used: another user owns {file}"):
        _find(local, file)


def test_env_file_that_others_can_read_is_refused_with_a_command_for_a_shell(local: Path, tmp_path: Path) -> None:
    path = tmp_path / "my secrets.env"
    path.write_text("TD_API_KEY=1/s3cr3t")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match=f"run `chmod 600 '{path}'` first"):
        _find(local, path)


def test_a_new_refresh_token_that_cannot_be_stored_is_reported_and_ends_nothing(
    local: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("PINTEREST_REFRESH_TOKEN=old-s3cr3t\n")
    environ = environment(td_url="https://td.test", pinterest_endpoint="https://pinterest.test/v5")
    del environ["PINTEREST_REFRESH_TOKEN"]
    held = _find(local, file, **environ)
    keep = held.build_token_saver()
    keep(Secret("newer-s3cr3t"), None)
    assert file.read_text() == "PINTEREST_REFRESH_TOKEN=newer-s3cr3t\n"
    file.unlink()
    file.mkdir()
    keep(Secret("newest-s3cr3t"), None)
    assert capsys.readouterr().err.splitlines() == [
        f"Pinterest issued a new refresh token; it is stored in {file}",
        f"Pinterest issued a new refresh token, which could not be stored: the file {file} cannot be written: Is a "
        "directory. Run `td-pinterest authorize` before the old one expires, or at once if Pinterest has withdrawn it",
    ]


def test_an_ad_account_is_read_whatever_pinterest_leaves_out() -> None:
    full = {"id": 1, "name": "Sh\x1bop", "owner": {"username": "agency"}, "permissions": ["AUDIENCE_MANAGER"]}
    page = {"items": [full, {"id": "2", "owner": None, "permissions": "OWNER"}]}
    first, other = list_ad_accounts(Api(client=scene(answer(200, page)).client, tokens=Keys(), ad_account_id="1"))
    assert first == AdAccount(id="1", name="Sh\x1bop", owner="agency", roles=("AUDIENCE_MANAGER",))
    assert other == AdAccount(id="2", name="", owner="", roles=())
    assert first.label == '1 "Sh\\x1bop"'
    assert (first.may_write, other.may_write) == (True, None)
