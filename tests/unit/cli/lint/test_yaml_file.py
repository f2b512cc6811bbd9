"""A file is read as digdag reads it: merges and includes; and no file makes the reader crash or hang."""

from pathlib import Path

import pytest

from td_pinterest_op.cli.lint.yaml_file import YamlBlock, YamlReader
from tests.unit.cli.lint.samples import OWN, found_in, plant

_LAUGHS = "a: &a [x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {b: *a}\n",
        "a: " + "[" * 1_000,
        _LAUGHS,
        "!include : 'export.dig'\n",
        "!include : 'queries'\n",
        '!include : "a\\0.yml"\n',
        f"!include : '{'a' * 300}.yml'\n",
        'a: "\\UFFFFFFFF"\n',
        "a: \x07\n",
    ],
)
def test_what_cannot_be_read_is_a_finding(tmp_path: Path, text: str) -> None:
    (found,) = found_in(tmp_path, text)
    assert found.startswith("export.dig:1: yaml: ")


def test_a_file_that_is_not_utf_8_is_a_finding(tmp_path: Path) -> None:
    reader = YamlReader()
    (tmp_path / "a.dig").write_bytes(b"+a:\n  echo>: \xfc\n")
    assert reader.read_file(tmp_path / "a.dig") is None
    (finding,) = reader.findings
    assert str(finding) == f"{tmp_path / 'a.dig'}:1: yaml: the file is not UTF-8: save it as UTF-8"


def test_merged_and_included_members_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("# ids\nx: 1\ny: '2'\n")
    (tmp_path / "a.dig").write_text(
        "m: &m {a: 1, b: 2}\nn: &n {b: 3}\nt:\n  <<: [*m, *n]\n  a: 5\n  !include : a.yml\n"
    )
    root = YamlReader().read_file(tmp_path / "a.dig")
    assert isinstance(root, YamlBlock)
    block = root.get_block("t")
    assert block == {"a": 5, "b": 2, "x": 1, "y": "2"}
    assert block.places == {
        "a": (tmp_path / "a.dig", 5),
        "b": (tmp_path / "a.dig", 1),
        "x": (tmp_path / "a.yml", 2),
        "y": (tmp_path / "a.yml", 3),
    }


def test_a_missing_include_is_the_only_finding(tmp_path: Path) -> None:
    settings = OWN[OWN.index("    type") : OWN.index("    action")]
    found = [
        each.partition(": ")[0] for each in found_in(tmp_path, plant(OWN, f"{settings} →     !include : none.yml\n"))
    ]
    assert found == ["export.dig:7"]


@pytest.mark.parametrize("value", ["${a}", "x${a}", "${c}", "${d}"])
def test_variables_that_name_each_other_end(tmp_path: Path, value: str) -> None:
    exported = "_export:\n → _export:\n  a: ${b}\n  b: ${a}\n  c: y${c}${c}${c}\n  d: ['${d}', '${d}']\n"
    assert isinstance(found_in(tmp_path, plant(OWN, exported, f'"549755885175" → {value}')), list)
