"""`td-pinterest check`: a line for each finding, an exit code, and nothing of the folder is run."""

import json
import subprocess
from pathlib import Path

import pytest

from td_pinterest_op.cli.check import check_file, check_workflow
from tests.unit.cli.lint.samples import GOOD, found_in, plant
from tests.unit.cli.running import Ran, Terminal

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.mark.parametrize("workflow", sorted((ROOT / "workflows").glob("*.dig")), ids=lambda path: path.name)
def test_our_own_workflows_have_no_finding(workflow: Path) -> None:
    assert [str(finding) for finding in check_file(workflow)] == []


def test_check_prints_a_line_for_each_finding_and_what_it_looked_at(terminal: Terminal, tmp_path: Path) -> None:
    found_in(tmp_path, GOOD)
    file = tmp_path / "export.dig"
    assert terminal("check", file) == Ran(code=0, out="", err="1 workflow and 1 other file: no findings\n")
    file.write_text(plant(GOOD, "action: add → acton: add", "  py>: →   suppress: queries/suppressed.sql\n  py>:"))
    ran = terminal("check", file, file)
    assert (ran.code, ran.err) == (1, "2 workflows and 2 other files: 3 findings\n")
    assert ran.out.startswith(f"{file}:11: withholds-nobody: suppress next to result_settings would withhold nobody")
    assert terminal("check", "--format", "github", file).out.startswith(
        f"::error file={file},line=11,title=withholds-nobody::suppress"
    )
    assert json.loads(terminal("check", "--json", file).out)[0]["code"] == "withholds-nobody"
    assert terminal("check", "--quiet", file) == Ran(code=1, out=terminal("check", file).out, err="")


def test_check_of_a_missing_file_is_an_error(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal("check", tmp_path / "no.dig").failed("no.dig cannot be opened: No such file or directory")


def test_finding_quotes_no_control_character_of_a_workflow(tmp_path: Path) -> None:
    (tmp_path / "odd.dig").write_text('+e:\n  py>: "td_pinterest_op.export.Nope\\e[31m\\n::error::"\n')
    [finding] = check_file(tmp_path / "odd.dig")
    assert finding.message.isprintable()
    assert "Nope\N{REPLACEMENT CHARACTER}[31m" in finding.message


def test_no_program_of_a_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was run")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    (tmp_path / "td_pinterest_op").mkdir()
    (tmp_path / "td_pinterest_op" / "__init__.py").write_text(f"open('{tmp_path}/ran', 'w')")
    assert found_in(tmp_path, plant(GOOD, f"_export: → _export:\n  py: {{python: {program}}}")) == []
    assert not (tmp_path / "ran").exists()


def test_another_version_of_the_operator_in_the_folder_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "td_pinterest_op").mkdir()
    (tmp_path / "td_pinterest_op" / "__init__.py").write_text('__version__ = "0.3.2"\n')
    [(line, code, message)] = found_in(tmp_path, GOOD)
    assert (line, code) == (1, "version")
    assert "the folder has version 0.3.2 of the operator" in message


@pytest.mark.parametrize("call", ["+exports:\n  call>: export.dig\n", "+exports:\n  call>: ${which}\n"])
def test_job_and_database_may_come_from_a_workflow_that_calls_this_one(tmp_path: Path, call: str) -> None:
    text = plant(GOOD, "+query:\n  td>: queries/people.sql\n → ", "database: shop → engine: presto")
    assert found_in(tmp_path, text) != []
    assert found_in(tmp_path, text, {"nightly.dig": call}) == []
    assert found_in(tmp_path, text, {"nightly.dig": "+exports:\n  call>: exported\n"}) != []


def test_settings_that_are_text_are_found_as_those_that_are_keys(tmp_path: Path) -> None:
    settings = '{"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list", "audience_name": "a"}'
    block = GOOD[GOOD.index("  result_settings") : GOOD.index("  _env")]
    assert found_in(tmp_path, plant(GOOD, f"{block} →   result_settings: '{settings}'\n")) == []
    (export,) = check_workflow(tmp_path / "export.dig")[1]
    assert export.settings == json.loads(settings)
