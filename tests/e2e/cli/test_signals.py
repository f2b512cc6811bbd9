"""A signal ends a command with one sentence, after a refresh token that Pinterest has just issued is stored."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from td_pinterest_op.cli import screen
from td_pinterest_op.cli.new_files import write_new_files
from tests.emulators.pinterest import AD_ACCOUNT_ID, REFRESH_TOKEN, Call, When
from tests.exporting import Services, people
from tests.unit.cli.running import Terminal

# Commands that exchange a token, with their arguments: a plain one, and those that catch errors to go on.
COMMANDS: dict[str, tuple[str, ...]] = {
    "accounts": (),
    "doctor": (),
    "export": ("--settings", "add.yml", "--yes"),
    "rehearse": ("--yes", "--only", "account"),
}


@pytest.mark.parametrize(("when", "number"), [(When.BEFORE, signal.SIGINT), (When.AFTER, signal.SIGTERM)])
@pytest.mark.parametrize("command", COMMANDS)
def test_signal_during_an_exchange_of_tokens_ends_a_command_that_has_stored_the_new_token(
    at_terminal: Terminal,
    services: Services,
    token_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    when: When,
    number: signal.Signals,
) -> None:
    def interrupt(call: Call) -> None:
        if call.operation == "oauth/token":
            os.kill(os.getpid(), number)

    monkeypatch.chdir(token_file.parent)
    monkeypatch.setenv("PINTEREST_AD_ACCOUNT_ID", AD_ACCOUNT_ID)
    monkeypatch.setenv("PINTEREST_AUDIENCE_ID", services.audience())
    Path("add.yml").write_text("action: add_people_to_current_audience")
    services.pinterest.switches.rotate_refresh_tokens = True
    services.pinterest.switches.latency_seconds = 0.1  # the answer comes later than the signal
    services.pinterest.on_request(interrupt, when=when)
    before = services.pinterest.state()["lists"]
    source = ["--job", services.job(people(3))] if command == "export" else []
    ran = at_terminal(command, *COMMANDS[command], *source, "--env-file", token_file)
    assert ran.code == 128 + number
    assert f"error: the run was stopped ({number.name})" in ran.err
    assert "Traceback" not in ran.err
    token = token_file.read_text().strip().rpartition("=")[2]
    assert token != REFRESH_TOKEN
    assert token in services.pinterest.tokens.refresh_tokens()
    assert services.pinterest.state()["lists"] == before


def test_ctrl_c_while_init_writes_its_files_changes_nothing(
    at_terminal: Terminal, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def write_and_interrupt(folder: Path, contents: Mapping[str, bytes]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        write_new_files(folder, contents)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("td_pinterest_op.cli.project_folder.write_new_files", write_and_interrupt)
    ran = at_terminal("init", tmp_path / "new", "--yes", "--action", "clear", "--audience", services.audience())
    assert ran.code == 0, ran.err
    assert (tmp_path / "new" / "pinterest_export.dig").is_file()
    assert "digdag run" in ran.err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["init", "no_folder"], "\n\nStopped: nothing was written\n"),
        (["rehearse", "--ad-account", AD_ACCOUNT_ID], "\n\nerror: the run was stopped (SIGINT)\n"),
    ],
)
def test_ctrl_c_at_a_question_ends_a_command_with_a_sentence_below_it(
    at_terminal: Terminal, services: Services, monkeypatch: pytest.MonkeyPatch, command: list[str], said: str
) -> None:
    monkeypatch.setattr(screen, "is_interactive", lambda: True)
    for name in ("click.prompt", "click.confirm"):
        monkeypatch.setattr(name, lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    ran = at_terminal(*command)
    assert ran.code == 130
    assert ran.err.endswith(said)
    assert services.pinterest.calls.writes() == []
