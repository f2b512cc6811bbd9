"""How signals end an export at a terminal."""

from __future__ import annotations

import signal

import click
import pytest

from td_pinterest_op import stop
from td_pinterest_op.cli.export import stopping


def test_a_second_signal_does_not_interrupt_what_the_first_one_lets_finish(capsys: pytest.CaptureFixture[str]) -> None:
    before, finished = signal.getsignal(signal.SIGINT), []

    def run() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            finished.append("what was under way")

    with pytest.raises(click.exceptions.Exit) as end, stopping():
        run()
    assert (143, ["what was under way"]) == (end.value.exit_code, finished)
    assert "error: the run was told to end (SIGTERM).\n" == capsys.readouterr().err
    assert (before, False) == (signal.getsignal(signal.SIGINT), stop.requested())
