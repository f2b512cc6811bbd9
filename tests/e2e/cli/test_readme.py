"""The tutorials of the page about the command line: each command does what the page says."""

import re
import shlex
import threading
from pathlib import Path

import pytest

from tests import children
from tests.e2e.cli.test_authorize import answer_consent
from tests.e2e.project import ROOT
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digests, people
from tests.unit.cli.running import Terminal

PAGE = (ROOT / "docs" / "command-line.md").read_text()
NAME = "scripts/td-pinterest"
# Commands that need Treasure Data's toolbelt.
TOOLBELT = ("td ",)


def read_commands() -> list[str]:
    """The shell commands of the page, one a line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines()
    return [line for line in lines if not line.startswith(TOOLBELT)]


def test_the_commands_of_the_tutorials_succeed_in_order(
    at_terminal: Terminal, services: Services, redirect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda link: threading.Thread(target=answer_consent, args=(link,)).start())
    monkeypatch.setenv("PINTEREST_AD_ACCOUNT_ID", AD_ACCOUNT_ID)
    monkeypatch.setenv("PINTEREST_AUDIENCE_ID", audience_id := services.audience())
    rows = [{"email": person, "customer_id": number, "opted_in": 1} for number, person in enumerate(people(5))]
    services.td.create("sandbox", "people", [*rows, {"email": "nobody", "customer_id": 5, "opted_in": 1}])
    for command in read_commands():
        if not command.startswith(NAME):
            children.run(["sh", "-c", command]).check_returncode()
            continue
        words, _, file = command.removeprefix(NAME).partition(" > ")
        arguments = [
            *shlex.split(words, comments=True),
            *(["--redirect", redirect, "--yes"] if "authorize" in words else []),
        ]
        ran = at_terminal(*arguments)
        assert ran.code == 0, f"{command}: {ran.err}"
        if file:
            Path(file).write_text(ran.out)
    assert services.pinterest.members_of_audience(audience_id) == digests(5)
    assert "not_an_email" in (tmp_path / "build" / "rejected.sql").read_text()
