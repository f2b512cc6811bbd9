"""The tests keep away from what the user of this machine has: digdag's secrets, credentials, proxies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests import children

ROOT = Path(__file__).parent.parent.parent
PROBE = """
import os, pathlib
def test_probe():
    print("seen:", pathlib.Path.home(), os.environ["DIGDAG_CONFIG_HOME"], os.environ.get("PINTEREST_REFRESH_TOKEN"))
"""


def test_what_the_user_has_in_the_environment_reaches_no_test(tmp_path: Path) -> None:
    probe = tmp_path / "test_probe.py"
    probe.write_text(PROBE)
    users = {"DIGDAG_CONFIG_HOME": str(tmp_path / "users"), "PINTEREST_REFRESH_TOKEN": "users"}
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "tests.conftest", str(probe)]
    done = children.run([*command, f"--rootdir={tmp_path}"], cwd=ROOT, env=os.environ | users)
    (seen,) = [line for line in done.stdout.splitlines() if "seen:" in line]
    assert "users" not in seen
    assert "None" in seen
