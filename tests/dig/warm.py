"""Starts `py>` children from a process with loaded libraries, as importing them takes most of a child's time."""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests import children
from tests.dig import py_server


class Child:
    """A started process: a context manager that waits for its end."""

    def __init__(self, output: int, status: int) -> None:
        self.stdout = os.fdopen(output, encoding="utf-8", errors="replace")
        self._status = os.fdopen(status)
        self.pid = int(self._status.readline())
        self.returncode = -1

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        with self.stdout, self._status:
            self.returncode = os.waitstatus_to_exitcode(int(self._status.readline()))


def start(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> Child:
    """Run `[interpreter, script, *arguments]`; the child's `stdout` is all that it prints, errors too."""
    interpreter, *script = command
    request = json.dumps({"script": script, "folder": str(cwd), "environ": dict(env)}).encode()
    output, output_end = os.pipe()
    status, status_end = os.pipe()
    server = _server(interpreter, env.get("PYTHONPATH", ""))
    socket.send_fds(server, [request], [output_end, status_end])
    os.close(output_end)
    os.close(status_end)
    return Child(output, status)


@functools.cache
def _server(interpreter: str, python_path: str) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = children.start(
            [interpreter, py_server.__file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | children.MEASURED | {"PYTHONPATH": python_path},
            stdout=subprocess.DEVNULL,
        )
    # The process ends when the other end of the socket is closed.
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours
