"""`scripts/trino`: its engine ends together with it."""

import os
import sys
from pathlib import Path

from tests import children

# Keeps its pipe open, and reports the end of its standard input.
_JAVA = "exec 3> {pipe}; echo begun >&3; timeout 30 cat && echo ended >&3"


def test_engine_ends_when_the_program_is_terminated(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name, text in (("java", _JAVA.format(pipe=pipe)), ("javac", ""), ("mvn", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    with children.run_in_background([sys.executable, "-m", "tests.trino"], env=environ) as process, pipe.open() as told:
        assert "begun\n" == told.readline()
        process.terminate()
        assert "ended\n" == told.read()
