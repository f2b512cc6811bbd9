"""What a terminal shows: colours unless NO_COLOR is set, no line wider than the screen, bars that disappear."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import children, guard
from tests.campaigns import select_rows
from tests.e2e.project import ROOT
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, people

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]m")


def run_at_width(columns: int, services: Services, *arguments: str | Path, **more: Any) -> tuple[str, int]:
    """Return all that a terminal of this width shows, and the exit code; `more` as for `run_at_terminal`."""
    named = {
        "PINTEREST_AD_ACCOUNT_ID": AD_ACCOUNT_ID,
        "PINTEREST_AUDIENCE_ID": next(iter(services.pinterest.audiences), ""),
    }
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    environ = clean | services.environ | named | {"TERM": "xterm-256color"} | more.pop("environ", {})
    command = [sys.executable, "-m", "td_pinterest_op", *map(str, arguments)]
    return children.run_at_terminal(command, columns=columns, cwd=ROOT, env=environ, **more)


def split_lines(shown: str) -> list[str]:
    return [line for part in _CODES.sub("", shown).splitlines() for line in part.split("\r")]


@pytest.mark.parametrize(
    "command", select_rows([["doctor"], ["audiences"], ["lists"], ["accounts"], ["audience", "12"]], quick=1)
)
def test_output_fits_a_narrow_terminal(services: Services, command: list[str]) -> None:
    services.audience(people(200), name="Newsletter readers of the spring campaign")
    shown, _ = run_at_width(40, services, *command)
    assert max(map(len, split_lines(shown))) <= 40


def test_ids_and_names_are_not_cut_where_a_table_is_too_wide(services: Services) -> None:
    wide = _CODES.sub("", run_at_width(62, services, "accounts")[0])
    narrow = _CODES.sub("", run_at_width(61, services, "accounts")[0])
    assert "NAME                 OWNER" in wide
    assert "  NAME    Emulated ad account\r\n" in narrow
    assert "…" not in narrow


def test_output_is_coloured_at_a_terminal_unless_no_color_is_set(services: Services) -> None:
    services.audience(people(200))
    assert _COLOUR.search(run_at_width(120, services, "doctor")[0])
    assert not _COLOUR.search(run_at_width(120, services, "doctor", environ={"NO_COLOR": "1"})[0])


def test_export_asks_and_removes_its_progress_bars(services: Services, tmp_path: Path) -> None:
    audience = services.audience()
    (tmp_path / "export.yml").write_text("action: add_people_to_current_audience\n")
    arguments = ("export", "--settings", tmp_path / "export.yml", "--job", services.job(people(5)))
    shown, code = run_at_width(60, services, *arguments, answers={"[y/N]:": "y\n"})
    assert code == 0
    assert re.search(r"^  requests  1 to write .*\n {12}\S", "\n".join(split_lines(shown)), re.MULTILINE)
    assert "Write this to Pinterest? [y/N]:" in shown
    assert len(services.pinterest.members_of_audience(audience)) == 5
    shown, code = run_at_width(100, services, *arguments, answers={"[y/N]:": "n\n"})
    assert code == 1
    assert "you answered no. Nothing was sent" in " ".join(split_lines(shown))
    shown, code = run_at_width(100, services, *arguments, answers={"[y/N]:": "\x04"})
    assert (code, "Stopped: nothing more will be done" in shown) == (130, True)


def test_authorize_asks_for_app_credentials_without_showing_the_secret(services: Services) -> None:
    answers = {
        "PINTEREST_CLIENT_ID, from the app's page": "1503921\n",
        "PINTEREST_CLIENT_SECRET, from the app's page": "typed-s3cr3t\n",
        "press Enter:": "\n",
    }
    empty = {"PINTEREST_CLIENT_ID": "", "PINTEREST_CLIENT_SECRET": ""}
    shown, code = run_at_width(60, services, "authorize", "--no-browser", answers=answers, environ=empty)
    assert code == 1
    assert re.search(r"^  http://\S+/oauth/\?client_id=1503921&\S+&state=[\w-]+\r?$", shown, re.MULTILINE)
    assert "this is not the address to which Pinterest redirects" in " ".join(split_lines(shown))
    guard.check(shown, "the terminal")
