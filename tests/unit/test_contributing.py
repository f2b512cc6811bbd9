"""CONTRIBUTING and the comments "To add …" send a contributor to files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "td_pinterest_op"
COMMENT = re.compile(r"^# To (?:add|handle) .*\n(?:#.*\n)+", re.MULTILINE)
COMMENTS = {
    path.relative_to(PACKAGE).as_posix(): found[0]
    for path in PACKAGE.rglob("*.py")
    if (found := COMMENT.search(path.read_text()))
}
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text().split("## Where to begin a change")[1].split("\n## ")[0]
SOURCES = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
PROGRAM = "".join(COMMENT.sub("", path.read_text()) for path in SOURCES)


@pytest.mark.parametrize("text", [CONTRIBUTING, *COMMENTS.values()], ids=["CONTRIBUTING", *COMMENTS])
def test_files_and_names_that_a_change_needs_exist(text: str) -> None:
    named = re.findall(r"[\w.]+(?:/[\w.-]+)+\w", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists() and not (PACKAGE / name).exists()] == []
    names = re.findall(r"`(\w*[A-Z_]\w*)`", text)
    assert [name for name in names if not re.search(rf"\b{name}\b", PROGRAM)] == []


def test_every_file_that_a_change_begins_at_says_what_belongs_to_it() -> None:
    assert set(re.findall(r"\| `([\w/]+\.py)` \|$", CONTRIBUTING, re.MULTILINE)) == set(COMMENTS)
