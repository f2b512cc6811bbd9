"""digdag's secrets in the files of `digdag run`."""

import stat
from pathlib import Path

import pytest

from td_pinterest_op.cli.secret_target import write_local_secret
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.task_runtime.digdag_secrets import find_local_secrets_folder, read_local_secret

KEY = "pinterest.refresh_token"


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
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_missing_or_binary_secret_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / KEY).write_bytes(content)
    assert read_local_secret(KEY, {"DIGDAG_CONFIG_HOME": str(tmp_path)}) is None
