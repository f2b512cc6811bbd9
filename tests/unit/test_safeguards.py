"""What tests may rely on: the guard over what they show, an environment of their own, and the end of what hangs."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

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

WAITING_PROBE = """
import contextlib
import threading
import requests

def test_leaves_a_handler_waiting(services):
    services.pinterest.callbacks.patience = 0.01
    met = threading.Event()

    def wait_for_nothing(call):
        met.set()
        threading.Event().wait()

    services.pinterest.on_request(wait_for_nothing)
    ask(services, met)

def test_leaves_a_handler_that_ends_with_its_test(services):
    met = threading.Event()

    def wait_for_the_end(call):
        met.set()
        services.pinterest.callbacks.wait_while(lambda: True)

    services.pinterest.on_request(wait_for_the_end)
    ask(services, met)

def ask(services, met):
    address = services.environ["PINTEREST_API_ENDPOINT"] + "/ad_accounts"
    headers = {"Authorization": f"Bearer {services.pinterest.tokens.issue_access_token()}"}
    threading.Thread(target=get, args=(address, headers), daemon=True).start()
    assert met.wait(60)

def get(address, headers):
    with contextlib.suppress(requests.RequestException):
        requests.get(address, headers=headers, timeout=60)
"""

HANGING_PROBE = """
import threading

def test_hangs():
    threading.Event().wait()

def test_comes_next():
    pass
"""


def write_probe(folder: Path, source: str) -> Path:
    probe = folder / "test_probe.py"
    probe.write_text(source)
    return probe


def run_probe(probe: Path, *options: str, env: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    """Run a file of tests with the fixtures of all tests, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-p", "tests.conftest", *options]
    return children.run([*command, f"--rootdir={probe.parent}", str(probe)], cwd=ROOT, env=env)


def test_leak_fails_its_test_and_no_test_sees_the_environment_of_the_user(
    tmp_path: Path,
) -> None:
    probe = write_probe(tmp_path, PROBE)
    users = {"DIGDAG_CONFIG_HOME": str(tmp_path / "users"), "PINTEREST_REFRESH_TOKEN": "users"}
    done = run_probe(probe, env=os.environ | users)
    forbidden = ("a log record holds a template: audience ${x}", "a log record shows an e-mail address")
    for shown in (*forbidden, "the output shows an e-mail address (1 times)", "3 errors"):
        assert shown in done.stdout, done.stdout
    seen = [line for line in done.stdout.splitlines() if "seen:" in line]
    assert len(seen) >= 4
    assert all("users" not in line and "None" in line for line in seen)


def test_test_that_leaves_a_handler_waiting_fails_by_name_and_the_run_ends(tmp_path: Path) -> None:
    done = run_probe(write_probe(tmp_path, WAITING_PROBE))
    waiting = "its callbacks still wait: test_leaves_a_handler_waiting.<locals>.wait_for_nothing"
    for shown in (waiting, "2 passed, 1 error"):
        assert shown in done.stdout, done.stdout
    assert re.search(r"^ERROR \S+::test_leaves_a_handler_waiting\b", done.stdout, re.MULTILINE), done.stdout


def test_test_that_hangs_is_ended_by_name_and_the_next_one_runs(tmp_path: Path) -> None:
    done = run_probe(write_probe(tmp_path, HANGING_PROBE), "--timeout=1")
    for shown in ("Failed: Timeout", "1 failed, 1 passed"):
        assert shown in done.stdout, done.stdout
    assert re.search(r"^FAILED \S+::test_hangs\b", done.stdout, re.MULTILINE), done.stdout


def test_every_test_has_a_time_limit(pytestconfig: pytest.Config) -> None:
    assert float(pytestconfig.getini("timeout")) > 0
