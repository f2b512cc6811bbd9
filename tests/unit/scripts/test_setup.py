"""`scripts/setup`: it tells what it does, and that it is still at it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests import children
from tests.e2e.project import ROOT

# A Python that makes an environment of itself, and whose pip installs once the pipe is read.
_PYTHON = """#!/bin/sh
case "$*" in
  *venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *uninstall*) ;;
  *install*) echo "$*" >> installed && read -r _ < "$GO" ;;
esac
"""


def test_it_says_what_it_installs_and_every_ten_seconds_that_it_still_does(tmp_path: Path) -> None:
    (tmp_path / "scripts" / "pins").mkdir(parents=True)
    for name in ("scripts/setup", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    python, go = tmp_path / "python", tmp_path / "go"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    os.mkfifo(go)
    environ = os.environ | {"PYTHON": str(python), "GO": str(go), "SETUP_SILENCE": "0.1"}
    command = [tmp_path / "scripts" / "setup"]
    with children.started(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for what in ("the libraries of scripts/pins/bundle.txt", "all that sandbox, tests, lint and bench need"):
            assert any(line == f"Installing {what}\n" for line in process.stderr)
            assert process.stderr.readline().startswith(f"Still installing {what} (")
            go.write_text("\n")
        assert 0 == process.wait(timeout=30)
    assert 2 == len((tmp_path / "installed").read_text().splitlines())
    assert "" == children.run(command, env=environ).stderr
