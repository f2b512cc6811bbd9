"""The sandbox, as `scripts/sandbox` starts it, with fewer people."""

from __future__ import annotations

import subprocess
import sys

from tests import guard
from tests.e2e.project import ROOT


def test_the_sandbox_ends_with_pinterest_holding_exactly_what_was_read() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sandbox", "--rows", "3000"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    guard.check(done.stdout + done.stderr, "the sandbox")
    assert (0, True) == (
        done.returncode,
        "the very same digests                                          yes" in done.stdout,
    )
