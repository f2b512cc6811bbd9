"""The session's log: masked, and never in the run's way."""

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.task_runtime.process import MaskedStderrHandler, log_label
from tests import children

ROOT = Path(__file__).parents[3]


@pytest.fixture
def log() -> logging.Logger:
    """A logger of its own that writes to stderr."""
    logger = logging.Logger("somewhere")
    logger.addHandler(MaskedStderrHandler())
    return logger


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\n2026-11-25 00:00:00,000 ERROR forged", "INFO a\n    2026-11-25 00:00:00,000 ERROR forged\n"),
        ("a\r\x1b[2Kb", "INFO a\\r\\x1b[2Kb\n"),
        ("a\u202eb\u2028c", "INFO a\\u202eb\\u2028c\n"),
        ("für Café \ud800", "INFO für Café \\ud800\n"),
        ("${x}", "INFO $ {x}\n"),
    ],
)
def test_control_characters_of_a_name_are_escaped_in_the_log(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], name: str, shown: str
) -> None:
    log.info("%s", name)
    assert capsys.readouterr().err.endswith(f" {shown}")


def test_each_line_begins_with_the_label_of_its_thread(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    before = log_label.set("vip: ")
    log.info("begun")
    log_label.reset(before)
    assert capsys.readouterr().err.endswith(" INFO vip: begun\n")


def test_signal_during_a_line_is_not_swallowed(log: logging.Logger) -> None:
    class Interrupted:
        def __str__(self) -> str:
            raise StoppedError("the run was stopped (SIGTERM)")

    with pytest.raises(StoppedError):
        log.info("%s", Interrupted())


@pytest.mark.parametrize("is_open", [False, True])
def test_run_goes_on_without_a_reader_of_its_log(
    log: logging.Logger, is_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", buffering=1)
    if not is_open:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    log.info("a line")
    with contextlib.suppress(OSError):
        stream.close()


def test_run_goes_on_without_a_log(log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    log.info("a line")


@pytest.mark.parametrize(("end", "code"), [("log.warning('more')", 0), ("raise JobError('no job')", 1)])
def test_outcome_decides_the_exit_code_if_the_log_cannot_be_written(end: str, code: int) -> None:
    program = (
        "import logging\nfrom td_pinterest_op.errors import JobError\n"
        "from td_pinterest_op.task_runtime.process import GuardedTaskRun\n"
        f"log = logging.getLogger('td_pinterest_op')\nwith GuardedTaskRun():\n    log.info('a line')\n    {end}\n"
    )
    with Path("/dev/full").open("w") as full:
        options: dict[str, Any] = {
            "capture_output": False,
            "stderr": full,
            "cwd": ROOT,
            "env": {"PYTHONDONTWRITEBYTECODE": "1"},
        }
        assert children.run([sys.executable, "-c", program], **options).returncode == code
