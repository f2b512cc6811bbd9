"""Files that a push leaves out, and the size of its archive."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.cli.lint.samples import GOOD, found_in


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("+query:\n  td>:\n    data: SELECT email FROM people\n", "+query:\n  call>: people\n", [(10, "left-out")]),
        ("  _env:\n", "  suppress: queries/opted_out.sql\n  _env:\n", [(21, "left-out")]),
        ("  _env:\n", "  consent: SELECT email FROM consents\n  _env:\n", []),
        ("  _env:\n", "  consent: ' '\n  _env:\n", [(21, "source")]),
        ("  _env:\n", "  consent: ${consents}\n  _env:\n", []),
        ("_export:\n", "_export:\n  audiences: [{suppress: no.sql}]\n", [(4, "left-out")]),
        ("_export:\n", "_export:\n  audiences: [{query: no.sql}, {query: SELECT 1}]\n", [(4, "left-out")]),
        ("td>:\n    data: SELECT email FROM people", "td>: people.sql", [(10, "left-out")]),
        ("td>:\n    data: SELECT email FROM people", "td>: ../people.sql", [(10, "left-out")]),
        ("timezone: UTC\n", "timezone: UTC\n!include : 'no.yml'\n", [(2, "left-out")]),
        ("timezone: UTC\n", "timezone: UTC\n!include : '../all.yml'\n", [(2, "left-out")]),
        ("td>:\n    data: SELECT email FROM people", "call>: query", [(10, "left-out")]),
        ("td>:\n    data: SELECT email FROM people", "call>: query.dig", [(10, "left-out")]),
    ],
)
def test_a_file_that_is_not_in_the_project_is_found_at_its_line(
    project: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    assert old in GOOD
    assert expected == found_in(project, GOOD.replace(old, new, 1))


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
def test_a_file_that_digdagignore_does_not_name_is_no_finding(project: Path, lines: str) -> None:
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


def test_an_operator_that_is_not_beside_the_workflow_is_found(tmp_path: Path) -> None:
    assert [(14, "left-out")] == found_in(tmp_path, GOOD)
