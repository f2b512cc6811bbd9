"""`scripts/setup`: its progress messages."""

import os
import re
import shutil
from pathlib import Path

from tests import children

ROOT = Path(__file__).parent.parent.parent.parent
# Replaces Python: pip runs until the script has reported that it still runs.
_PYTHON = """#!/bin/sh
echo "$*" >> calls
case "$*" in
  *"pip install"*) until grep -q "still at it after" said; do :; done ;;
esac
"""


def test_setup_reports_each_step_and_a_long_one_again(tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    for folder in (python.parent, tmp_path / "scripts" / "pins"):
        folder.mkdir(parents=True)
    python.write_text(_PYTHON)
    python.chmod(0o755)
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    environ = os.environ | {"PYTHON": str(python), "SETUP_REPORTS_EVERY": "0.01"}
    with (tmp_path / "said").open("w") as said:
        command = [tmp_path / "scripts" / "setup"]
        done = children.run(command, cwd=tmp_path, env=environ, capture_output=False, stdout=said, stderr=said)
    lines = (tmp_path / "said").read_text().splitlines()
    steps = [line for line in lines if line.startswith("Setting up .venv: ")]
    assert (0, 4, True) == (done.returncode, len(steps), (tmp_path / ".venv" / ".setup-stamp").exists())
    assert len(lines) > len(steps)
    calls = re.findall(r"pip install .*--use-pep517 (--\S+) (.*)", (tmp_path / "calls").read_text())
    files = "--requirement scripts/pins/bundle.txt", "scripts/pins/newest.txt --editable"
    assert ["--require-hashes", "--constraint"] == [option for option, _ in calls]
    assert all(rest.startswith(file) for (_, rest), file in zip(calls, files, strict=True)), calls
