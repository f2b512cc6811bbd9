"""Measures the seconds and the peak memory of a child process, and formats tables."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, kw_only=True)
class Cost:
    """From the interpreter's start to its end: `cpu` (user and system) and `wall` in seconds, `peak` in bytes.

    `said` is its stdout.
    """

    cpu: float
    wall: float
    peak: int
    said: str


def measure_cost(arguments: Sequence[str], environ: Mapping[str, str]) -> Cost:
    """Run Python with `arguments` and measure it. Raises RuntimeError with its errors when it fails.

    The peak is never less than what this process itself holds, which Linux counts as the child's until it has started:
    nothing large may be imported here. Modules are compiled once, as in an installation.
    """
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **environ}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begin = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=_ROOT,
            env=environ,
            stdout=out,
            stderr=err,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}:\n{err.read()}")
        cpu = used.ru_utime + used.ru_stime
        return Cost(cpu=cpu, wall=wall, peak=used.ru_maxrss * _MAXRSS_UNIT, said=out.read())


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with numbers aligned right."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["--:"] * len(head), *rows))
