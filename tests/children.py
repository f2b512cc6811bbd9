"""Starts programs for tests, with a time limit and without access to the terminal of the test run."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

# Longer than any of them takes on a busy machine.
LIMIT_SECONDS = 300.0

Command = Sequence[str | Path]
Process = subprocess.Popen[Any]


class Killable(Protocol):
    def kill(self) -> None: ...


# Let coverage measure a program; see `keep_measurement_apart`.
MEASURED: dict[str, str] = {}

# Text to type, or a function that returns it from all that the terminal has shown.
Typed = str | Callable[[str], str]
NO_ANSWERS: Mapping[str, Typed] = MappingProxyType({})
# Makes standard input the controlling terminal of the new session, then runs the program.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.environ["TERMINAL"] = os.ttyname(0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def keep_measurement_apart() -> None:
    """Remove from the environment what lets coverage measure each program, which doubles the time of most.

    Measured are those that are at a terminal or have tasks to run; tests in this process run all other code.
    """
    MEASURED.update({name: os.environ.pop(name) for name in [*os.environ] if name.startswith("COVERAGE_PROCESS_")})


def run(command: Command, *, limit: float = LIMIT_SECONDS, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with its output as text. Raises TimeoutExpired when it does not end in time."""
    given = {"stdin": subprocess.DEVNULL, "capture_output": True, "start_new_session": True} | options
    return subprocess.run(command, text=True, check=False, timeout=limit, **given)


def start(command: Command, **options: Any) -> Process:
    """Start a program in its own session. The caller must wait for it with a time limit."""
    return subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, "start_new_session": True} | options)


@contextlib.contextmanager
def run_in_background(command: Command, *, limit: float = LIMIT_SECONDS, **options: Any) -> Iterator[Process]:
    """Start a program that is killed after `limit` seconds or at the end of the block."""
    with start(command, **options) as process:
        try:
            with kill_after(process, limit):
                yield process
        finally:
            process.kill()


@contextlib.contextmanager
def kill_after(process: Killable, limit: float | None = LIMIT_SECONDS) -> Iterator[None]:
    """Kill the process when the block takes more than `limit` seconds; None waits indefinitely."""
    timer = threading.Timer(limit or 0, process.kill)
    try:
        if limit is not None:
            timer.start()
        yield
    finally:
        timer.cancel()


def run_at_terminal(
    command: Command,
    *,
    columns: int = 100,
    answers: Mapping[str, Typed] = NO_ANSWERS,
    limit: float = LIMIT_SECONDS,
    **options: Any,
) -> tuple[str, int]:
    """Run a program on a terminal of its own; return what it shows, and its exit code.

    `answers` are typed, in this order, once the terminal shows their keys. A program that asks for more is killed after
    `limit` seconds. In the environment TERMINAL is the terminal's name.
    """
    terminal, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [sys.executable, "-c", _TAKE_TERMINAL, *command]
    options["env"] = {**options.get("env", os.environ), **MEASURED}
    with run_in_background(command, limit=limit, stdin=child, stdout=child, stderr=child, **options) as process:
        os.close(child)
        shown = b""
        waiting = list(answers.items())
        while data := read_available(terminal):
            shown += data
            while waiting and waiting[0][0].encode() in shown:
                _, typed = waiting.pop(0)
                os.write(terminal, (typed if isinstance(typed, str) else typed(shown.decode())).encode())
        process.wait()
    os.close(terminal)
    return shown.decode(), process.returncode


def read_available(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other side is closed
        return b""
