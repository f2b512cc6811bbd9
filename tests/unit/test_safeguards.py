"""What tests may rely on: the guard over what they show, and an environment of their own."""

import os
import sys
from pathlib import Path

from tests import children

ROOT = Path(__file__).parent.parent.parent
PROBE = """
import logging, os, pathlib, pytest
@pytest.mark.parametrize("said", ["audience ${x}", "jane@shop.example", "audience $ {x}", ""])
def test_probe(said):
    logging.getLogger("td_pinterest_op.probe").warning("%s", said)
    os.system("" if said else "echo joe@shop.example")
    print("seen:", pathlib.Path.home(), os.environ["DIGDAG_CONFIG_HOME"], os.environ.get("PINTEREST_REFRESH_TOKEN"))
"""


def test_a_log_record_or_output_that_must_not_be_fails_its_test_and_what_the_user_has_in_the_environment_reaches_none(
    tmp_path: Path,
) -> None:
    probe = tmp_path / "test_probe.py"
    probe.write_text(PROBE)
    users = {"DIGDAG_CONFIG_HOME": str(tmp_path / "users"), "PINTEREST_REFRESH_TOKEN": "users"}
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-p", "tests.conftest", str(probe)]
    done = children.run([*command, f"--rootdir={tmp_path}"], cwd=ROOT, env=os.environ | users)
    forbidden = ("a log record holds a template: audience ${x}", "a log record shows an e-mail address")
    for shown in (*forbidden, "the output shows an e-mail address (1 times)", "3 errors"):
        assert shown in done.stdout, done.stdout
    seen = [line for line in done.stdout.splitlines() if "seen:" in line]
    assert len(seen) >= 4
    assert all("users" not in line and "None" in line for line in seen)
