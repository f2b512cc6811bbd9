"""Fixtures that run `td-pinterest` between the two emulators."""

import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from td_pinterest_op import __version__
from td_pinterest_op.audiences import consistency
from tests.exporting import Services
from tests.unit.cli.running import Ran, Recorded, Terminal

GOLDEN = Path(__file__).parent / "golden"
_VOLATILE = (
    (re.compile(rf"\b{re.escape(__version__)}\b"), "VERSION"),
    (re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+"), "http://HOST:PORT"),
    (re.compile(r"/\S*/pytest-\S+?(?=[/)\s.;,]*(?:$|[\s)]))", re.MULTILINE), "FOLDER"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?: \d\d:\d\d)?"), "DAY"),
    (re.compile(r"state=[\w-]+"), "state=STATE"),
    (re.compile(r"localhost%3A\d+"), "localhost%3APORT"),
    (re.compile(r"client_id=\d+"), "client_id=ID"),
    (re.compile(r"\b\d+\.\d+(?= s\b)|\b\d+(?:\.\d+)? s\b"), "TIME"),
    (re.compile(r"(seconds\.\w+ +)[\d.]+"), r"\1TIME"),
    (re.compile(r"\(td [0-9a-f]{8} "), "(td SESSION "),
    (re.compile(r" [0-9a-f]{8}( \d+)\)"), r" RECORDS\1)"),
)


def replace_volatile_parts(text: str) -> str:
    """Replace the parts of the output that differ from run to run."""
    for pattern, name in _VOLATILE:
        text = pattern.sub(name, text)
    return text


@pytest.fixture(autouse=True)
def shortened_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the ten seconds for which creating waits, since the commands use real clocks."""
    waits = tuple(wait / 20 for wait in consistency.POLL_WAITS)
    monkeypatch.setattr(consistency, "POLL_WAITS", waits)
    monkeypatch.setattr(consistency.read_until_found, "__kwdefaults__", {"waits": (0.0, *waits)})


@pytest.fixture
def at_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, services: Services, tmp_path: Path
) -> Terminal:
    """Runs commands with the emulators' endpoints and credentials in the environment and no local secrets."""
    for name in [name for name in os.environ if name.startswith(("PINTEREST_", "TD_", "DIGDAG_"))]:
        monkeypatch.delenv(name)
    for name, value in services.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DIGDAG_CONFIG_HOME", str(tmp_path / "digdag"))
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    return Terminal(capsys)


@pytest.fixture
def token_file(at_terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file for --env-file that has the refresh token in place of the environment."""
    file = tmp_path / "secrets.env"
    file.touch(0o600)
    file.write_text(f"# mine\nPINTEREST_REFRESH_TOKEN={os.environ['PINTEREST_REFRESH_TOKEN']}\n")
    monkeypatch.delenv("PINTEREST_REFRESH_TOKEN")
    return file


@pytest.fixture
def type_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets what the next command reads from standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.fixture
def compare_golden() -> Recorded:
    """Compares the output of a command with its file in tests/e2e/cli/golden; GOLDEN=write writes that file."""

    def compare(ran: Ran, name: str) -> None:
        text = replace_volatile_parts(f"exit code {ran.code}\n--- output\n{ran.out}--- errors and notes\n{ran.err}")
        file = GOLDEN / f"{name}.txt"
        if os.environ.get("GOLDEN") == "write":
            file.write_text(text)
        assert file.read_text() == text

    return compare
