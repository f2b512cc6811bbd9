"""What tests may rely on when they start programs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import children

ASKS = [sys.executable, "-c", "input()"]


def test_a_program_at_a_terminal_has_that_one_to_ask_at() -> None:
    asks = [sys.executable, "-c", "print('?', flush=True); print(open('/dev/tty').readline().upper())"]
    shown, code = children.at_terminal(asks, answers={"?": "word\n"})
    assert (True, 0) == ("WORD" in shown, code)


def test_a_program_that_waits_for_ever_is_killed() -> None:
    assert ("", -9) == children.at_terminal(ASKS, limit=0.3)
    with pytest.raises(subprocess.TimeoutExpired):
        children.run(["sleep", "60"], limit=0.1)
    with children.started(["sleep", "60"], limit=0.1) as process:
        assert -9 == process.wait(timeout=30)
