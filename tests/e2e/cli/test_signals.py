"""A signal ends a command with one sentence, after a refresh token that Pinterest has just issued is stored."""

import os
import signal
from pathlib import Path

import pytest

from tests.emulators.pinterest import AD_ACCOUNT_ID, REFRESH_TOKEN, Call, When
from tests.exporting import Services, people
from tests.unit.cli.running import Terminal

# Each command that exchanges a token, with its arguments.
COMMANDS: dict[str, tuple[str, ...]] = {
    "accounts": (),
    "audiences": (),
    "audience": ("AUDIENCE",),
    "lists": (),
    "doctor": (),
    "export": ("--settings", "FOLDER/add.yml", "--csv", "FOLDER/people.csv", "--yes"),
    "init": ("FOLDER/new", "--yes", "--job", "clear", "--audience", "AUDIENCE"),
    "rehearse": ("--yes", "--only", "account", "--output", "FOLDER/rehearsal.json"),
}


@pytest.fixture
def arguments(services: Services, tmp_path: Path) -> dict[str, list[str]]:
    """The arguments of each command, for an audience and files that exist."""
    audience_id = services.audience()
    settings = ("ad_account_id", AD_ACCOUNT_ID), ("audience_id", audience_id)
    lines = [f"{name}: '{value}'" for name, value in settings]
    (tmp_path / "add.yml").write_text("\n".join([*lines, "action: add_people_to_current_audience"]))
    (tmp_path / "people.csv").write_text("\n".join(["email", *people(3)]))
    return {
        command: [part.replace("AUDIENCE", audience_id).replace("FOLDER", str(tmp_path)) for part in parts]
        for command, parts in COMMANDS.items()
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER], ids=["before the exchange", "after the exchange"])
@pytest.mark.parametrize("command", COMMANDS)
def test_signal_during_an_exchange_of_tokens_ends_a_command_that_has_stored_the_new_token(
    at_terminal: Terminal,
    services: Services,
    token_file: Path,
    arguments: dict[str, list[str]],
    command: str,
    when: When,
    number: signal.Signals,
) -> None:
    def interrupt(call: Call) -> None:
        if call.operation == "oauth/token":
            os.kill(os.getpid(), number)

    services.pinterest.switches.rotate_refresh_tokens = True
    services.pinterest.switches.latency_seconds = 0.1  # the answer comes later than the signal
    services.pinterest.on_request(interrupt, when=when)
    before = services.pinterest.state()["lists"]
    ran = at_terminal(command, *arguments[command], "--env-file", token_file)
    assert ran.code == 128 + number
    assert f"error: the run was stopped ({number.name})" in ran.err
    assert "Traceback" not in ran.err
    token = token_file.read_text().strip().rpartition("=")[2]
    assert token != REFRESH_TOKEN
    assert token in services.pinterest.tokens.refresh_tokens()
    assert services.pinterest.state()["lists"] == before
