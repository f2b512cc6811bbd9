"""scripts/push: bundles, pushes with td or digdag, and names the secrets that are missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import children
from tests.e2e.project import ROOT

NEEDED = ("td.apikey", "pinterest.client_id", "pinterest.client_secret", "pinterest.refresh_token")


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with a td and a digdag that write down how they are called and know the secrets in a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "secrets").write_text("")
    for name in ("td", "digdag"):
        command = folder / name
        command.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n'
            f'case "$*" in *secrets*) cat {tmp_path}/secrets ;; *) pwd >> {tmp_path}/folder ;; esac\n'
        )
        command.chmod(0o755)
    return folder


def _push(commands: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    folder = str(commands.parent / "bundle")
    return children.run(
        [ROOT / "scripts" / "push", *arguments, "audiences", folder],
        env=os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"} | environ,
    )


def _calls(commands: Path) -> list[str]:
    return (commands.parent / "calls").read_text().splitlines()


def test_td_pushes_the_bundle_and_the_missing_secrets_are_named(commands: Path) -> None:
    (commands.parent / "secrets").write_text("td.apikey\npinterest.client_id\n")
    ran = _push(commands)
    assert 0 == ran.returncode, ran.stderr
    assert ["td wf push audiences", "td wf secrets --project audiences"] == _calls(commands)
    assert str(commands.parent / "bundle") == (commands.parent / "folder").read_text().strip()
    assert "these secrets are missing: pinterest.client_secret pinterest.refresh_token\n" in ran.stdout
    assert "td wf secrets --project audiences --set pinterest.client_secret pinterest.refresh_token\n" in ran.stdout


def test_a_complete_project_is_said_so(commands: Path) -> None:
    (commands.parent / "secrets").write_text("\n".join(NEEDED) + "\n")
    assert "has every secret that its workflows use" in _push(commands).stdout


def test_digdag_pushes_to_the_server_of_the_environment(commands: Path) -> None:
    ran = _push(commands, "--with", "digdag", DIGDAG_ENDPOINT="https://digdag.example")
    assert 0 == ran.returncode, ran.stderr
    assert [
        "digdag push audiences -e https://digdag.example",
        "digdag secrets --project audiences -e https://digdag.example",
    ] == _calls(commands)
    assert all(name in ran.stdout for name in NEEDED)


@pytest.mark.parametrize("arguments", [["--with", "tdx"], ["--with"], ["--hepl"], ["one", "two"]])
def test_what_it_does_not_know_is_wrong_usage_and_pushes_nothing(commands: Path, arguments: list[str]) -> None:
    ran = _push(commands, *arguments)
    assert (2, False) == (ran.returncode, (commands.parent / "calls").exists())
    assert ran.stderr.endswith("`scripts/push --help` shows how to use it.\n")


def test_help_pushes_nothing(commands: Path) -> None:
    ran = _push(commands, "--help")
    assert (0, False) == (ran.returncode, (commands.parent / "calls").exists())
    assert ran.stdout.startswith("Usage: scripts/push [--with td|digdag] [PROJECT] [FOLDER]\n")
