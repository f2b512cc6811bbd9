"""`td-pinterest check`: a line for each finding, an exit code, and nothing of the folder is run."""

import json
import subprocess
from pathlib import Path

import pytest

from td_pinterest_op.cli.lint.rules import check_workflow
from tests.unit.cli.lint.samples import CONNECTOR, OWN, found_in, plant
from tests.unit.cli.running import Ran, Terminal

ROOT = Path(__file__).parent.parent.parent.parent
WRONG = plant(OWN, "action: add → acton: add", "  query →   dry_run: true\n  query")


def test_check_prints_a_line_for_each_finding_and_what_it_looked_at(terminal: Terminal, tmp_path: Path) -> None:
    found_in(tmp_path, OWN)
    file = tmp_path / "export.dig"
    looked_at = "1 workflow with 1 task of this operator"
    assert terminal("check", file) == Ran(code=0, out="", err=f"{looked_at}: no findings\n")
    file.write_text(WRONG)
    ran = terminal("check", file, file)
    assert (ran.code, ran.err) == (1, "2 workflows with 2 tasks of this operator: 3 findings\n")
    assert ran.out.startswith(f"{file}:5: misplaced: a run does not read dry_run here")
    assert terminal("check", "--format", "github", file).out.startswith(
        f"::error file={file},line=5,title=misplaced::a run"
    )
    assert json.loads(terminal("check", "--json", file).out)[0]["code"] == "misplaced"
    assert terminal("check", "--quiet", file) == Ran(code=1, out=terminal("check", file).out, err="")


def test_warnings_are_printed_and_end_with_0(terminal: Terminal, tmp_path: Path) -> None:
    found_in(tmp_path, plant(OWN, '"2542620905475" → ${who}'))
    ran = terminal("check", tmp_path / "export.dig")
    assert (ran.code, "undefined: nothing in this workflow defines who" in ran.out) == (0, True)


def test_a_missing_file_hides_no_finding_of_another(terminal: Terminal, tmp_path: Path) -> None:
    found_in(tmp_path, CONNECTOR)
    ran = terminal("check", tmp_path / "no.dig", tmp_path / "export.dig")
    assert ran.code == 1
    assert f"{tmp_path}/no.dig:1: yaml: {tmp_path}/no.dig cannot be read: No such file or directory" in ran.out
    assert "export.dig:5: built-in-connector: " in ran.out


def test_finding_quotes_no_control_character_of_a_workflow(tmp_path: Path) -> None:
    (tmp_path / "odd.dig").write_text('+e:\n  py>: "td_pinterest_op.export.Nope\\e[31m\\n::error::"\n')
    [finding] = check_workflow(tmp_path / "odd.dig")[0].findings
    assert finding.message.isprintable()
    assert "Nope\\x1b[31m" in finding.message


def test_no_program_of_a_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was run")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    (tmp_path / "td_pinterest_op").mkdir()
    (tmp_path / "td_pinterest_op" / "__init__.py").write_text(f"open('{tmp_path}/ran', 'w')")
    assert found_in(tmp_path, OWN) == []
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("call", ["+exports:\n  call>: export.dig\n", "+exports:\n  call>: ${which}\n"])
def test_job_database_and_variables_may_come_from_a_workflow_that_calls_this_one(tmp_path: Path, call: str) -> None:
    changes = ("  query: queries/people.sql\n → ", "database: shop → engine: presto", '"2542620905475" → ${who}')
    text = plant(OWN, *changes)
    assert found_in(tmp_path, text) != []
    assert found_in(tmp_path, text, {"nightly.dig": call}) == []
    assert found_in(tmp_path, text, {"nightly.dig": "+exports:\n  call>: exported\n"}) != []


def test_settings_that_are_text_are_found_as_those_that_are_keys(tmp_path: Path) -> None:
    settings = '{"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list", "audience_name": "a"}'
    block = OWN[OWN.index("  result_settings") : OWN.index("  _env")]
    assert found_in(tmp_path, plant(OWN, f"{block} →   result_settings: '{settings}'\n")) == []
    (export,) = check_workflow(tmp_path / "export.dig")[1]
    assert export.settings == json.loads(settings)


@pytest.mark.parametrize("workflow", sorted((ROOT / "workflows").glob("*.dig")), ids=lambda path: path.name)
def test_our_own_workflows_lack_only_what_is_to_be_filled_in(workflow: Path) -> None:
    assert {finding.code for finding in check_workflow(workflow)[0].findings} <= {"missing"}
