"""What the output can show."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from td_pinterest_op.cli import screen


def test_a_stream_that_encodes_nothing_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    screen.prepare_streams()
    screen.say("✓")
    assert "✓\n" == out.getvalue()


def test_a_line_that_is_too_long_goes_on_below_its_own_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "console", lambda *, stderr=False: Console(width=20, stderr=stderr, highlight=False))
    screen.say("- role: OWNER of the ad account", indent=2)
    screen.note("  rows      five read, four valid", indent=12)
    expected = (
        "- role: OWNER of\n  the ad account\n",
        "  rows\n            five\n            read,\n            four\n            valid\n",
    )
    assert expected == tuple(capsys.readouterr())


@pytest.mark.parametrize("message", ["a key is unknown; did you mean columns?", "nothing was sent."])
def test_an_error_that_ends_a_sentence_gets_no_other_end(message: str, capsys: pytest.CaptureFixture[str]) -> None:
    screen.fail(message)
    assert f"error: {message}" == " ".join(capsys.readouterr().err.split())
