"""A file is read as digdag reads it: merges and includes. No file makes the reader hang, or read outside the folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from td_pinterest_op.cli.lint.findings import FileLine, Findings
from td_pinterest_op.cli.lint.workflow_check import check_workflow, work_inside
from td_pinterest_op.cli.lint.yaml_file import YamlBlock, YamlReader
from tests.unit.cli.lint.samples import ENV, SETTINGS, find_problems

SECRET = "name: outside-but-readable"
_DOUBLES = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a {b: *a}\n", "nested too deeply"),
        ("a: " + "[" * 1_000, "nested too deeply"),
        (_DOUBLES, "too large with all that its aliases"),
        ("a: [" + "x, " * 150_000 + "x]\n", "too large with all that its aliases"),
        ("a: 1\n" * 5_000, "a is twice in one mapping"),
        ("!include : 'export.dig'\n", "export.dig includes itself"),
        ("!include : 'config/again.yml'\n", "export.dig includes itself"),
        ("!include : 'queries'\n", "queries is not a regular file"),
        ('!include : "a\\0.yml"\n', "a\\x00.yml is no path of a file"),
        (f"!include : '{'a' * 300}.yml'\n", "File name too long"),
        ("!include : [a]\n", "is no text"),
        ("? [a, b]\n: c\n", "is no text"),
        ('a: "\\UFFFFFFFF"\n', "a character that cannot be read"),
        ("a: \x07\n", "this is not valid YAML"),
        ("a: !<tag:\n", "this is not valid YAML"),
        ("", "no line such as"),
        ("- a\n", "no line such as"),
        ("text\n", "no line such as"),
    ],
)
def test_file_that_cannot_be_read_is_a_finding(tmp_path: Path, text: str, said: str) -> None:
    found = find_problems(tmp_path, text, {"config/again.yml": "!include : '../export.dig'\n"})
    if "again" in text:
        (tmp_path / "config" / "again.yml").write_text("a: 1\nb:\n  !include : 'third.yml'\n")
        (tmp_path / "config" / "third.yml").write_text("!include : 'again.yml'\n")
        said = "config/again.yml includes itself"
        found = find_problems(tmp_path, text)
    assert all(": yaml: " in each and said in each for each in found), found
    assert len(found) == max(1, text.count("a: 1") - 1)


def _link(folder: Path, target: str) -> str:
    (folder / "config" / "link.yml").symlink_to(target)
    return "config/link.yml"


def _make_pipe(folder: Path) -> str:
    os.mkfifo(folder / "config" / "pipe.yml")
    return "config/pipe.yml"


def _write_large(folder: Path) -> str:
    (folder / "config" / "large.yml").write_text("a: " + "b" * 1_000_000)
    return "config/large.yml"


OUTSIDE: dict[str, Callable[[Path], str]] = {
    "parent": lambda _: "../outside.yml",
    "parent in the middle": lambda _: "config/../../outside.yml",
    "absolute": lambda folder: str(folder.parent / "outside.yml"),
    "device": lambda _: "/dev/zero",
    "link": lambda folder: _link(folder, "../../outside.yml"),
    "link to a device": lambda folder: _link(folder, "/dev/zero"),
    "link to itself": lambda folder: _link(folder, "link.yml"),
    "pipe": _make_pipe,
    "large": _write_large,
}


@pytest.mark.parametrize("form", OUTSIDE)
def test_include_of_what_is_outside_or_not_regular_is_an_error_at_its_line_and_shows_nothing(
    tmp_path: Path, form: str
) -> None:
    (tmp_path / "outside.yml").write_text(SECRET)
    folder = tmp_path / "project"
    find_problems(folder, "a: b\n")
    (found,) = find_problems(folder, f"a:\n  !include : '{OUTSIDE[form](folder)}'\n")
    assert found.startswith("export.dig:2: yaml: ")
    assert "outside-but-readable" not in found


@pytest.mark.parametrize("form", ["/dev/zero", "link", "pipe"])
def test_workflow_that_is_no_regular_file_of_its_folder_is_a_finding(tmp_path: Path, form: str) -> None:
    path = tmp_path / "export.dig"
    if form == "link":
        path.symlink_to("/dev/zero")
    elif form == "pipe":
        os.mkfifo(path)
    else:
        path = Path(form)
    (finding,) = check_workflow(path).findings
    assert (finding.path, finding.line, finding.code) == (path, 1, "yaml")


def test_workflow_in_a_folder_that_does_not_exist_is_a_finding(tmp_path: Path) -> None:
    (finding,) = check_workflow(tmp_path / "no" / "x.dig").findings
    assert finding.message.endswith("cannot be read: No such file or directory")


def test_repeated_include_of_a_large_file_ends(tmp_path: Path) -> None:
    text = "".join(f"k{n}:\n  !include : 'config/large.yml'\n" for n in range(3_000))
    found = find_problems(tmp_path, text, {"config/large.yml": f"# {'x' * 900_000}\na: b\n"})
    assert len(found) == 1
    assert "too large with all that its aliases and includes repeat" in found[0]


def test_many_includes_of_files_with_many_values_end(tmp_path: Path) -> None:
    files = {
        f"config/a{n}.yml": "".join(f"k{each}:\n  !include : 'a{n + 1}.yml'\n" for each in range(10)) for n in range(9)
    }
    files["config/a9.yml"] = "".join(f"k{each}: {'x' * 30}\n" for each in range(1_000))
    found = find_problems(tmp_path, "!include : 'config/a0.yml'\n", files)
    assert ["too large with all that its aliases" in each for each in found[:1]] == [True]


def test_file_that_is_not_utf_8_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "a.dig").write_bytes(b"+a:\n  echo>: \xfc\n")
    findings = Findings()
    with work_inside(tmp_path):
        assert YamlReader(findings).read_file(Path("a.dig"), FileLine(Path("a.dig"), 1)) is None
    assert "it is not UTF-8 text" in next(iter(findings)).message


def test_merged_and_included_members_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("# ids\nx: 1\ny: '2'\n")
    (tmp_path / "a.dig").write_text(
        "m: &m {a: 1, b: 2}\nn: &n {b: 3}\nt:\n  <<: [*m, *n]\n  a: 5\n  !include : a.yml\n"
    )
    with work_inside(tmp_path):
        root = YamlReader(Findings()).read_file(Path("a.dig"), FileLine(Path("a.dig"), 1))
    assert isinstance(root, YamlBlock)
    block = root.get_block("t")
    assert block == {"a": 5, "b": 2, "x": 1, "y": "2"}
    assert block.places == {
        "a": (Path("a.dig"), 5),
        "b": (Path("a.dig"), 1),
        "x": (Path("a.yml"), 2),
        "y": (Path("a.yml"), 3),
    }


def test_missing_include_is_the_only_finding(tmp_path: Path) -> None:
    text = f"+a:\n  py>: td_pinterest_op.export.PinterestExport\n{ENV}  result_settings:\n    !include : none.yml\n"
    (found,) = find_problems(tmp_path, text)
    assert found.startswith("export.dig:9: yaml: !include: there is no file none.yml in ")
    assert SETTINGS not in found
