"""The sandbox, as `scripts/sandbox` starts it, with fewer people."""

from __future__ import annotations

import subprocess
import sys

from tests import guard
from tests.e2e.project import ROOT
from tests.emulators.__main__ import guide
from tests.emulators.environment import environment
from tests.emulators.pinterest import CONTROLS


def test_the_sandbox_ends_with_pinterest_holding_exactly_what_was_read() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sandbox", "--rows", "3000"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    guard.check(done.stdout + done.stderr, "the sandbox")
    assert (0, True) == (
        done.returncode,
        "the very same digests                                          yes" in done.stdout,
    )


def test_people_are_told_where_the_pages_are_and_what_can_be_done_to_the_emulator() -> None:
    lines = guide(environment(td_url="http://127.0.0.1:1/", pinterest_endpoint="http://127.0.0.1:2/v5"))
    assert "What Pinterest holds, live: http://127.0.0.1:2/" in lines
    assert "The consent page: http://127.0.0.1:2/oauth/ (redirect http://localhost:8085/)" in lines
    assert len(CONTROLS) == sum("http://127.0.0.1:2/_test/" in line for line in lines)
