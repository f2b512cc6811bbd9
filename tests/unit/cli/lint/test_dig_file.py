"""A .dig file is read as digdag reads it: tabs, merges and includes; and no file makes the reader crash or hang."""

from pathlib import Path

import pytest

from td_pinterest_op.cli.lint.dig_file import Block, read_workflow
from tests.unit.cli.lint.samples import GOOD, found_in, plant

_LAUGHS = "a: &a [x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


def _codes(folder: Path, text: str, files: dict[str, str] | None = None) -> list[tuple[int, str]]:
    return [(line, code) for line, code, _ in found_in(folder, text, files)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a list\n", [(1, "yaml")]),
        ("", [(1, "yaml")]),
        ("a: &a {b: *a}\n", [(1, "yaml")]),
        ("a: " + "[" * 1_000, [(1, "yaml")]),
        (_LAUGHS, [(1, "yaml")]),
        ("a: b\n\tc: d\n", [(2, "tab")]),
        ("a: [b\n", [(2, "yaml")]),
        ("!include : 'export.dig'\n", [(1, "yaml")]),
        ("!include : '/etc/hostname'\n", [(1, "file")]),
        ("!include : '../a.yml'\n", [(1, "file")]),
        ('!include : "a\\0.yml"\n', [(1, "file")]),
        ("!include : 'two.yml'\n!include : 'two.yml'\n", [(2, "tab")]),
        ("+a:\n  echo>: a\n  echo>: b\n", [(3, "duplicate-key")]),
        ("+a:\n  echo>: |\n    a\n    \tb\n", []),
        ("timezone: UTC\n", []),
    ],
)
def test_what_yaml_or_digdag_refuses_is_found_at_its_line(
    tmp_path: Path, text: str, expected: list[tuple[int, str]]
) -> None:
    assert _codes(tmp_path, text, {"two.yml": "ids:\n\tfirst: '1'\n"}) == expected


def test_file_that_is_not_utf_8_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "a.dig").write_bytes(b"+a:\n  echo>: \xfc\n")
    [finding] = read_workflow(tmp_path / "a.dig").findings
    assert str(finding) == f"{tmp_path / 'a.dig'}:1: yaml: the file is not UTF-8: save it as UTF-8"


def test_merged_and_included_members_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("# ids\nx: 1\ny: '2'\n")
    (tmp_path / "a.dig").write_text(
        "m: &m {a: 1, b: 2}\nn: &n {b: 3}\nt:\n  <<: [*m, *n]\n  a: 5\n  !include : a.yml\n"
    )
    root = read_workflow(tmp_path / "a.dig").root
    assert isinstance(root, Block)
    block = root.get_block("t")
    assert block == {"a": 5, "b": 2, "x": 1, "y": "2"}
    assert block.places == {
        "a": (tmp_path / "a.dig", 5),
        "b": (tmp_path / "a.dig", 1),
        "x": (tmp_path / "a.yml", 2),
        "y": (tmp_path / "a.yml", 3),
    }


def test_id_in_an_included_file_is_found_at_its_line(tmp_path: Path) -> None:
    text = plant(GOOD, "_export: → _export:\n  !include : 'ids.yml'", '"549755885175" → ${account}')
    (tmp_path / "ids.yml").write_text("first: 1\naccount: 54975588517500000\n")
    assert (2, "unquoted-id") in _codes(tmp_path, text)


def test_template_that_names_itself_is_left_to_the_run(tmp_path: Path) -> None:
    text = plant(GOOD, "_export: → _export:\n  a: ${b}\n  b: ${a}", '"549755885175" → ${a}')
    assert _codes(tmp_path, text) == []
