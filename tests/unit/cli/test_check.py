"""`td-pinterest check`: a line for each finding, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli.lint.samples import CONNECTOR, GOOD
from tests.unit.cli.running import Ran, Terminal


def test_the_command_prints_a_line_for_each_finding(terminal: Terminal, project: Path) -> None:
    file = project / "export.dig"
    file.write_text(GOOD)
    assert Ran(code=0, out="", err="") == terminal("check", file)
    file.write_text(CONNECTOR.replace("\t", "  "))
    ran = terminal("check", file)
    assert (1, "") == (ran.code, ran.err)
    assert ran.out.startswith(f"{file}:10: connector: a td> task does not run this operator")
    assert 5 == len(ran.out.splitlines())
    assert (
        f"::error file={file},line=10,title=connector::a td> task" in terminal("check", "--format", "github", file).out
    )
    assert "plain-secret" == json.loads(terminal("check", "--json", file).out)[1]["code"]
    assert (1, "") == (terminal("check", "--quiet", file).code, terminal("check", "--quiet", file).out)


def test_a_file_that_is_not_there_is_an_error(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal("check", tmp_path / "no.dig").failed("no.dig cannot be opened: No such file or directory")
