"""`scripts/trino`: its engine ends with it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests import children


def test_the_engine_ends_with_a_program_that_is_told_to_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    for name, text in (("java", f"echo $$ > '{tmp_path}/begun'; exec sleep 60"), ("javac", ""), ("mvn", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    with children.started([sys.executable, "-m", "tests.trino"], limit=60, env=environ) as process:
        engine = int((tmp_path / "begun").read_text())
        process.terminate()
        assert 128 + signal.SIGTERM == process.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(engine, 0)
