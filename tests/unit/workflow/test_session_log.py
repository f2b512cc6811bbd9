"""The session's log: masked, one line for many alike, and never in the run's way."""

import fcntl
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.workflow.session_log import ALIKE_SECONDS, SessionLog
from tests.clock import FakeTime


@pytest.fixture
def log(fake_time: FakeTime) -> Iterator[logging.Logger]:
    """A logger of its own that writes to stderr."""
    logger = logging.Logger("somewhere")
    handler = SessionLog(clock=fake_time.now)
    logger.addHandler(handler)
    yield logger
    handler.close()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split(" ", 2)[2] for line in capsys.readouterr().err.splitlines()]


def test_similar_warnings_are_written_once_with_their_count(
    log: logging.Logger, fake_time: FakeTime, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(28):
        log.warning("Pinterest answered 503, try %d [x-pinterest-rid r%d]; trying again in %.1f s", number, number, 0.5)
    log.warning("another one")
    assert [
        "WARNING Pinterest answered 503, try 0 [x-pinterest-rid r0]; trying again in 0.5 s",
        "WARNING another one",
    ] == lines(capsys)
    fake_time.sleep(ALIKE_SECONDS)
    log.warning("Pinterest answered %d, try 99 [x-pinterest-rid z]; trying again in 7.5 s", 503)
    log.warning("Pinterest answered %d, try 100 [x-pinterest-rid z]; trying again in 7.5 s", 503)
    log.warning("Pinterest answered %d, try 101 [x-pinterest-rid z]; trying again in 7.5 s", 503)
    assert [
        "WARNING Pinterest answered 503, try 99 [x-pinterest-rid z]; trying again in 7.5 s (27 more like this)"
    ] == lines(capsys)
    log.handlers[0].close()
    assert [
        "WARNING Pinterest answered 503, try 101 [x-pinterest-rid z]; trying again in 7.5 s (1 more like this)"
    ] == lines(capsys)


def test_other_lines_are_always_written(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    log.info("reading: %d rows", 1)
    log.info("reading: %d rows", 2)
    assert ["INFO reading: 1 rows", "INFO reading: 2 rows"] == lines(capsys)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\n2026-11-25 00:00:00,000 ERROR forged", "INFO a\n    2026-11-25 00:00:00,000 ERROR forged\n"),
        ("a\r\x1b[2Kb", "INFO a\\r\\x1b[2Kb\n"),
        ("a\u202eb\u2028c", "INFO a\\u202eb\\u2028c\n"),
        ("für\tCafé \ud800", "INFO für\tCafé \\ud800\n"),
    ],
)
def test_a_name_forges_no_line_of_the_log(
    log: logging.Logger, capfd: pytest.CaptureFixture[str], name: str, shown: str
) -> None:
    log.info("%s", name)
    assert capfd.readouterr().err.endswith(f" {shown}")


def test_line_that_cannot_be_formatted_is_left_out_without_its_arguments(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("%d rows", Secret("hush-4711-hush").reveal())
    assert "a line of the log from somewhere is left out (TypeError)\n" == capsys.readouterr().err


def test_signal_during_a_line_is_not_swallowed(log: logging.Logger) -> None:
    class Interrupted:
        def __str__(self) -> str:
            raise StoppedError("the run was stopped (SIGTERM)")

    with pytest.raises(StoppedError):
        log.info("%s", Interrupted())


@pytest.mark.parametrize("how", ["none", "closed", "closed descriptor", "nobody reads", "full disk"])
def test_run_goes_on_without_a_log(log: logging.Logger, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe() -> io.TextIOWrapper:
        reader, writer = os.pipe()
        os.close(reader)
        return os.fdopen(writer, "w")

    if how == "full disk" and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    streams: dict[str, Callable[[], Any]] = {
        "none": lambda: None,
        "closed": io.StringIO,
        "closed descriptor": lambda: os.fdopen(os.dup(2), "w"),
        "nobody reads": pipe,
        "full disk": lambda: os.fdopen(os.open("/dev/full", os.O_WRONLY), "w"),
    }
    stream = streams[how]()
    if how.startswith("closed"):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    log.info("a line")
    if stream is not None:
        stream.close()


def test_stuck_reader_does_not_block_a_stopped_run(
    log: logging.Logger, stopped_run: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with os.fdopen(reader, "rb"), os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        for _ in range(20):
            log.info("x" * 1000)
        assert shutdown.is_requested()


def test_warning_during_the_close_raises_nothing(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = log.handlers[0]
    assert isinstance(handler, SessionLog)
    for _ in range(2):
        log.warning("first")
        log.warning("second")
    write = handler._write_line

    def write_and_warn(line: str) -> None:
        write(line)
        if "late" not in line:
            log.warning("late: %s", line.split()[-1])

    monkeypatch.setattr(handler, "_write_line", write_and_warn)
    handler.close()
    assert ["first", "second", "first", "late: first", "second", "late: second"] == [
        line.removeprefix("WARNING ") for line in lines(capsys)
    ]
