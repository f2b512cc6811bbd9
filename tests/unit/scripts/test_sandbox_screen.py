"""The sandbox's output: progress lines when nothing else is printed, and messages without log prefixes."""

import re
import threading
from pathlib import Path

import pytest

from tests.sandbox.screen import Screen, labelled, last_line


def test_screen_describes_the_current_work_when_nothing_else_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = threading.Event()

    def describe() -> str:
        shown.set()
        return "loading tables"

    screen = Screen(silence=0.001)
    screen.do(describe)
    with screen.awake():
        assert shown.wait(60)
    assert re.fullmatch(r"(  running   \d+ s: loading tables\n)+", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("2026-11-27 06:00:07,367 INFO waiting 9.3 s", "waiting 9.3 s"),
        ("[INFO] (+a+query): td>: queries/people.sql", "(+a+query): td>: queries/people.sql"),
        ("2026-11-27 06:00:07 +0000 [INFO] (0017@[0:default:1:1]+a+query): td>:", "+a+query): td>:"),
        ("SELECT email FROM people", "SELECT email FROM people"),
        ("", "starting"),
    ],
)
def test_last_line_of_a_log_begins_with_its_message(line: str, shown: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"{line}\n\n")
    assert shown == last_line(tmp_path / "log")


def test_long_text_is_wrapped_below_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = labelled("sent", ["Added 2 records to audience " + "549755885175000002 " * 2])
    assert ["  sent      Added 2 records to audience 549755885175000002", "            549755885175000002"] == lines
