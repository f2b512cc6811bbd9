"""`td-pinterest check`: a line for each finding, an exit code, and nothing of the folder is run."""

import json
import subprocess
from pathlib import Path

import pytest

from td_pinterest_op.cli.lint.workflow_check import check_workflow
from tests.unit.cli.lint.samples import CONNECTOR, OWN, find_problems, write_project
from tests.unit.cli.running import Ran, Terminal

ROOT = Path(__file__).parent.parent.parent.parent


def test_check_prints_a_line_for_each_finding_and_what_it_looked_at(terminal: Terminal, tmp_path: Path) -> None:
    file = write_project(tmp_path, OWN)
    looked_at = "1 workflow with 1 task of this operator"
    assert terminal("check", file) == Ran(code=0, out="", err=f"{looked_at}: no findings\n")
    write_project(tmp_path, OWN.replace("action: add", "acton: add").replace("people.sql", "${a}.sql"))
    ran = terminal("check", file, file)
    assert (ran.code, ran.err) == (
        1,
        "2 workflows with 2 tasks of this operator: 2 findings. Values with `${…}` are known only to a run, and "
        "not judged: 2\n",
    )
    assert ran.out.startswith(f"{file}:6: missing: audience_name: missing, and create_new_audience needs it")
    assert terminal("check", "--format", "github", file).out.startswith(
        f"::error file={file},line=6,title=missing::audience_name: missing"
    )
    assert json.loads(terminal("check", "--json", file).out)[1]["code"] == "unknown"
    assert terminal("check", "--quiet", file) == Ran(code=1, out=terminal("check", file).out, err="")


def test_warnings_are_printed_and_end_with_0(terminal: Terminal, tmp_path: Path) -> None:
    file = write_project(tmp_path, OWN.replace("action:", "audience_name: a\n    action:"))
    ran = terminal("check", file)
    assert (ran.code, "unused: add_people_to_current_audience does not use" in ran.out) == (0, True)


def test_a_missing_file_hides_no_finding_of_another(terminal: Terminal, tmp_path: Path) -> None:
    write_project(tmp_path, CONNECTOR)
    ran = terminal("check", tmp_path / "no.dig", tmp_path / "export.dig")
    assert ran.code == 1
    assert f"{tmp_path}/no.dig:1: yaml: workflow: there is no file no.dig in " in ran.out
    assert "export.dig:5: built-in-connector: " in ran.out


def test_finding_quotes_no_control_character_of_a_workflow(tmp_path: Path) -> None:
    (tmp_path / "odd.dig").write_text('+e:\n  py>: "td_pinterest_op.export.Nope\\e[31m\\n::error::"\n')
    [finding] = check_workflow(tmp_path / "odd.dig").findings
    assert finding.message.isprintable()
    assert "Nope\\x1b[31m" in finding.message


def test_no_program_of_a_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was run")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    (tmp_path / "td_pinterest_op").mkdir()
    (tmp_path / "td_pinterest_op" / "__init__.py").write_text(f"open('{tmp_path}/ran', 'w')")
    assert find_problems(tmp_path, OWN) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("workflow", sorted((ROOT / "workflows").glob("*.dig")), ids=lambda path: path.name)
def test_our_own_workflows_lack_only_what_is_to_be_filled_in(workflow: Path) -> None:
    assert {finding.code for finding in check_workflow(workflow).findings} <= {"missing"}
