"""A .dig file is read as digdag reads it: tabs, merges, includes."""

from __future__ import annotations

from pathlib import Path

import pytest

from td_pinterest_op.cli.check import findings
from tests.unit.cli.lint.samples import CONNECTOR, GOOD, found_in


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    type: pinterest\n", "\ttype: pinterest\n", [(16, "tab")]),
        ("timezone: UTC", "timezone: UTC\ntimezone: UTC", [(2, "duplicate-key")]),
        ("timezone: UTC", "a: &a {b: *a}", [(1, "yaml")]),
        ("    data: SELECT", "    data: [SELECT", [(13, "yaml")]),
    ],
)
def test_what_yaml_refuses_is_found_at_its_line(
    project: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    assert old in GOOD
    assert expected == found_in(project, GOOD.replace(old, new, 1))


def test_a_tab_that_yaml_refuses_is_found_at_its_line(project: Path) -> None:
    assert [(11, "tab")] == found_in(project, CONNECTOR)


def test_a_tab_that_yaml_takes_is_no_finding(project: Path) -> None:
    assert [] == found_in(
        project, GOOD.replace("SELECT email FROM people", "|\n      SELECT\temail\n      FROM\tpeople")
    )


def test_a_file_that_is_not_utf_8_is_said_so(project: Path) -> None:
    file = project / "export.dig"
    file.write_bytes(b"+a:\n  echo>: \xfc\n")
    assert [f"{file}:1: yaml: the file is not UTF-8: save it as UTF-8"] == [str(finding) for finding in findings(file)]


def _file_findings(project: Path, text: str) -> list[tuple[Path, int, str]]:
    file = project / "export.dig"
    file.write_text(text)
    return [(finding.path, finding.line, finding.code) for finding in findings(file) if finding.code != "setting"]


def test_a_file_that_is_included_twice_is_found_once(project: Path) -> None:
    (project / "ids.yml").write_text("ids:\n\tfirst: '1'\n")
    text = GOOD.replace("_export:\n", "_export:\n" + "  !include : 'ids.yml'\n" * 2)
    assert [(project / "ids.yml", 2, "tab")] == _file_findings(project, text)


def test_an_id_of_an_included_file_is_found_there(project: Path) -> None:
    (project / "ids.yml").write_text("first: 1\naccount: 54975588517500000\n")
    text = GOOD.replace("_export:\n", "_export:\n  !include : 'ids.yml'\n").replace('"549755885175"', "${account}")
    faults = _file_findings(project, text)
    assert [(project / "ids.yml", 2, "unquoted-id")] == faults


def test_a_merge_of_yaml_gives_its_members(project: Path) -> None:
    start, end = GOOD.index("    type: pinterest\n"), GOOD.index("    action: add")
    defaults = "x-defaults: &defaults\n" + GOOD[start:end] + "x-more: &more {retry_count: many}\n"
    text = defaults + GOOD[:start] + "    <<: *defaults\n" + GOOD[end:]
    assert [] == found_in(project, text)
    assert [(5, "setting")] == found_in(project, text.replace("*defaults", "[*defaults, *more]"))
    assert [] == found_in(project, text.replace("*defaults", "[*defaults, *more]\n    retry_count: 5"))


@pytest.mark.parametrize(
    ("text", "code"), [("- a list\n", "yaml"), ("", "yaml"), ("!include : 'export.dig'\n", "yaml")]
)
def test_what_is_no_workflow_is_said_so(project: Path, text: str, code: str) -> None:
    assert [(1, code)] == found_in(project, text)
