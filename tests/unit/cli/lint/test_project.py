"""A .dig file is read as digdag reads it: tabs, merges, includes; and what a push leaves out of its project."""

import random
from pathlib import Path

import pytest

from td_pinterest_op.cli.check import check_file
from tests.unit.cli.lint.samples import CONNECTOR, GOOD, found_in
from tests.unit.cli.running import Terminal


def test_a_tab_that_yaml_refuses_is_found_at_its_line(project: Path) -> None:
    assert [(11, "tab")] == found_in(project, CONNECTOR)


def test_a_file_that_is_not_utf_8_is_a_finding(project: Path) -> None:
    file = project / "export.dig"
    file.write_bytes(b"+a:\n  echo>: \xfc\n")
    assert [f"{file}:1: yaml: the file is not UTF-8: save it as UTF-8"] == [
        str(finding) for finding in check_file(file)
    ]


def _file_findings(project: Path, text: str) -> list[tuple[Path, int, str]]:
    file = project / "export.dig"
    file.write_text(text)
    return [(finding.path, finding.line, finding.code) for finding in check_file(file) if finding.code != "setting"]


def test_a_file_that_is_included_twice_gives_one_finding(project: Path) -> None:
    (project / "ids.yml").write_text("ids:\n\tfirst: '1'\n")
    text = GOOD.replace("_export:\n", "_export:\n" + "  !include : 'ids.yml'\n" * 2)
    assert [(project / "ids.yml", 2, "tab")] == _file_findings(project, text)


def test_an_id_in_an_included_file_is_found_at_its_line(project: Path) -> None:
    (project / "ids.yml").write_text("first: 1\naccount: 54975588517500000\n")
    text = GOOD.replace("_export:\n", "_export:\n  !include : 'ids.yml'\n").replace('"549755885175"', "${account}")
    assert [(project / "ids.yml", 2, "unquoted-id")] == _file_findings(project, text)


def test_a_yaml_merge_key_gives_its_members(project: Path) -> None:
    start, end = GOOD.index("    type: pinterest\n"), GOOD.index("    action: add")
    defaults = "x-defaults: &defaults\n" + GOOD[start:end] + "x-more: &more {retry_count: many}\n"
    text = defaults + GOOD[:start] + "    <<: *defaults\n" + GOOD[end:]
    assert [] == found_in(project, text)
    assert [(5, "setting")] == found_in(project, text.replace("*defaults", "[*defaults, *more]"))
    assert [] == found_in(project, text.replace("*defaults", "[*defaults, *more]\n    retry_count: 5"))


@pytest.mark.parametrize("text", ["- a list\n", "", "!include : 'export.dig'\n"])
def test_a_file_that_is_not_a_workflow_is_a_finding(project: Path, text: str) -> None:
    assert [(1, "yaml")] == found_in(project, text)


@pytest.mark.parametrize("text", ["a: 1\n", "{}\n", "timezone: UTC\n_error:\n  echo>: failed\n", "echo>: hello\n"])
def test_a_workflow_without_a_task_is_a_finding(project: Path, text: str) -> None:
    assert [(1, "task-name")] == found_in(project, text)


@pytest.mark.parametrize("name", [".hidden/people.sql", "link.sql", "ignored.sql"])
def test_a_file_that_a_push_leaves_out_is_found(
    project: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "people.sql"
    outside.write_text("SELECT 1")
    (project / ".digdagignore").write_text("# what stays here\nignored.*\n")
    (project / ".hidden").mkdir()
    if name == "link.sql":
        (project / name).symlink_to(outside)
    else:
        (project / name).write_text("SELECT 1")
    text = GOOD.replace("td>:\n    data: SELECT email FROM people", f"td>: {name}")
    assert [(10, "left-out")] == found_in(project, text)


@pytest.mark.parametrize("lines", ["# people.sql", "*.sql\n!people.sql", "/data/", "people.sql.bak"])
def test_a_file_that_digdagignore_does_not_name_gives_no_finding(project: Path, lines: str) -> None:
    (project / ".digdagignore").write_text(f"{lines}\n")
    (project / "people.sql").write_text("SELECT 1")
    assert [] == found_in(project, GOOD.replace("td>:\n    data: SELECT email FROM people", "td>: people.sql"))


def test_an_archive_of_more_than_10_mb_is_found_by_its_compressed_size(project: Path) -> None:
    data = project / "data.bin"
    data.write_bytes(bytes(11 << 20))
    assert [] == found_in(project, GOOD)
    (project / ".digdagignore").write_text("*.bin\n")
    data.write_bytes(random.Random(1).randbytes(11 << 20))
    assert [] == found_in(project, GOOD)
    (project / ".digdagignore").unlink()
    data.write_bytes(random.Random(1).randbytes(11 << 20))
    assert [(1, "too-large")] == found_in(project, GOOD)


LOCAL = GOOD.replace("  docker:\n    image: treasuredata/customscript-python:3.12.11-td0\n", "")


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        (LOCAL, 2_097_152, []),
        (LOCAL, 2_097_153, ["too-large"]),
        # Hosted Treasure Workflow takes 10 MB.
        (GOOD, 2_097_153, []),
    ],
)
def test_files_larger_than_a_server_accepts_are_found_by_their_size(
    project: Path, text: str, size: int, expected: list[str]
) -> None:
    (project / "export.dig").write_text(text)
    (project / "samples").mkdir()
    (project / "samples" / "people.csv").write_bytes(bytes(size - len(text)))
    (project / ".hidden").write_bytes(bytes(1000))
    assert expected == [finding.code for finding in check_file(project / "export.dig")]


def test_a_finding_about_size_names_the_largest_parts_the_limit_and_the_cure(project: Path, terminal: Terminal) -> None:
    for name in ("export.dig", "other.dig"):
        (project / name).write_text(LOCAL)
    for name, size in (("samples/a.csv", 1_500_000), ("samples/b.csv", 600_000), ("requests/x.py", 5000), ("c", 100)):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(bytes(size))
    ran = terminal("check", project / "export.dig", project / "other.dig")
    (line,) = ran.out.splitlines()
    assert line.startswith(f"{project}:1: too-large: the files of {project} have 2,106,")
    assert (
        "a digdag server accepts at most 2,097,152 unless its api.max_archive_total_size_limit is greater (hosted"
        in line
    )
    assert "The largest: samples/ 2,100,000, requests/ 5,000, export.dig" in line
    assert line.endswith(
        "install the libraries in the server's Python, and run scripts/bundle without --with-dependencies"
    )


def test_the_limit_of_a_digdag_server_is_not_checked_for_hosted_workflows(project: Path) -> None:
    (project / "data.bin").write_bytes(bytes((2 << 20) + 1))
    assert [] == found_in(project, GOOD)
    own = GOOD.replace("  docker:\n    image: treasuredata/customscript-python:3.12.11-td0\n", "")
    assert [(1, "too-large")] == found_in(project, own)
    (project / "data.bin").write_bytes(bytes(1 << 20))
    assert [] == found_in(project, own)


def test_an_operator_that_is_not_next_to_the_workflow_is_found(tmp_path: Path) -> None:
    assert [(14, "left-out")] == found_in(tmp_path, GOOD)


def test_an_operator_that_digdagignore_names_is_found(project: Path) -> None:
    (project / ".digdagignore").write_text("/td_pinterest_op/\n")
    assert [(14, "left-out")] == found_in(project, GOOD)
