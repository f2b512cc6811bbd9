"""scripts/push: bundles, pushes with td or digdag, and names the secrets that are missing."""

import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from scripts import bundle
from tests import children
from tests.campaigns import select_rows
from tests.e2e.project import ROOT

NEEDED = ("td.apikey", "pinterest.client_id", "pinterest.client_secret", "pinterest.refresh_token")


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder with commands td and digdag that record their calls and list the secrets of a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "secrets").write_text("")
    (tmp_path / "code").write_text("0")
    for name in ("td", "digdag"):
        command = folder / name
        command.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n'
            f'case "$*" in *secrets*) cat {tmp_path}/secrets ;;\n'
            f"*) pwd >> {tmp_path}/folder; echo sending; exit $(cat {tmp_path}/code) ;; esac\n"
        )
        command.chmod(0o755)
    return folder


def run_push(bin_folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    folder = str(bin_folder.parent / "bundle")
    return children.run(
        [ROOT / "scripts" / "push", *arguments, "audiences", folder],
        env=os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"} | environ,
    )


def read_calls(bin_folder: Path) -> list[str]:
    return (bin_folder.parent / "calls").read_text().splitlines()


def test_push_with_td_names_the_missing_secrets(bin_folder: Path) -> None:
    (bin_folder.parent / "secrets").write_text("td.apikey\npinterest.client_id\n")
    ran = run_push(bin_folder)
    assert 0 == ran.returncode, ran.stderr
    assert ["td wf push audiences", "td wf secrets --project audiences"] == read_calls(bin_folder)
    assert str(bin_folder.parent / "bundle") == (bin_folder.parent / "folder").read_text().strip()
    assert "lacks these secrets: pinterest.client_secret pinterest.refresh_token\n" in ran.stdout
    assert "td wf secrets --project audiences --set pinterest.client_secret pinterest.refresh_token\n" in ran.stdout


def test_push_with_digdag_reports_a_complete_project_of_the_server_in_the_environment(bin_folder: Path) -> None:
    (bin_folder.parent / "secrets").write_text("\n".join(NEEDED) + "\n")
    ran = run_push(bin_folder, "--with", "digdag", DIGDAG_ENDPOINT="https://digdag.example")
    assert 0 == ran.returncode, ran.stderr
    assert [
        "digdag push audiences -e https://digdag.example",
        "digdag secrets --project audiences -e https://digdag.example",
    ] == read_calls(bin_folder)
    assert "has all secrets that its workflows use" in ran.stdout


def test_push_keeps_the_layout_of_the_folder(bin_folder: Path) -> None:
    folder = bin_folder.parent / "bundle"
    bundle.main([str(folder), "pinterest_export.dig", "--with-dependencies"])
    before = {path.relative_to(folder) for path in folder.rglob("*")}
    assert 0 == run_push(bin_folder).returncode
    assert before == {path.relative_to(folder) for path in folder.rglob("*")}
    assert Path("requests/__init__.py") in before


def test_push_adds_no_workflow_after_the_only_one_was_changed(bin_folder: Path) -> None:
    folder = bin_folder.parent / "bundle"
    bundle.main([str(folder), "pinterest_clear.dig"])
    with (folder / "pinterest_clear.dig").open("a") as dig:
        dig.write("# mine\n")
    for _ in range(2):
        assert 0 == run_push(bin_folder).returncode
        assert ["pinterest_clear.dig"] == [path.name for path in folder.glob("*.dig")]


def test_push_needs_no_secret_that_only_a_comment_names(bin_folder: Path) -> None:
    folder = bin_folder.parent / "bundle"
    folder.mkdir()
    (folder / "mine.dig").write_text(
        "# ${secret:first}\n+a:\n  http>: '${secret:used.url}'  # ${secret:second}\n"
        "  content: 'see #ops # ${secret: used.token }'\n"
    )
    (folder / "broken.dig").write_text("# ${secret:third}\n+a: [${secret:broken}\n")
    ran = run_push(bin_folder)
    assert 0 == ran.returncode, ran.stderr
    assert "lacks these secrets: broken used.token used.url\n" in ran.stdout


def test_push_into_a_file_is_an_error_of_one_sentence(bin_folder: Path) -> None:
    (bin_folder.parent / "bundle").write_text("")
    ran = run_push(bin_folder)
    assert (1, False) == (ran.returncode, (bin_folder.parent / "calls").exists())
    assert re.fullmatch(r"\S+/bundle cannot be created \(.*\): name another folder\n", ran.stderr)


_SERVER = "a digdag server accepts at most 2,097,152 unless its api.max_archive_total_size_limit is greater"
_HOSTED = "but hosted Treasure Workflow accepts at most 10 MB."


@pytest.mark.parametrize(
    ("arguments", "size", "code", "said"),
    select_rows(
        [
            (["--with", "digdag"], 2_000_000, 4, _SERVER),
            (["--with", "digdag"], 150_000, 0, None),
            (["--with", "td"], 11_000_000, 4, _HOSTED),
            (["--with", "td"], 2_000_000, 4, None),
        ],
        quick=1,
    ),
)
def test_push_counts_bytes_before_sending_and_names_the_exceeded_limit(
    bin_folder: Path, arguments: list[str], size: int, code: int, said: str | None
) -> None:
    sample = bin_folder.parent / "bundle" / "samples" / "people.csv"
    sample.parent.mkdir(parents=True)
    sample.write_bytes(random.Random(1).randbytes(size))
    (bin_folder.parent / "code").write_text(str(code))
    ran = run_push(bin_folder, *arguments)
    assert code == ran.returncode
    before, _, _ = ran.stdout.partition("sending\n")
    (line,) = re.findall(r"^Pushing [0-9]+ files of ([0-9,]+) bytes together\.$", before, re.MULTILINE)
    assert size < int(line.replace(",", "")) < size + 1_000_000
    large = [line for line in before.splitlines() if line.startswith("Too large: ")]
    assert [] == large if said is None else said in large[0] and f"The largest: samples/ {size:,}" in large[0]
    # A failed push repeats it below digdag's output.
    assert (bool(said) and code != 0) == ("Too large: " in ran.stderr)
    assert (code != 0) == ("The push of audiences failed.\n" in ran.stderr)


@pytest.mark.parametrize("arguments", [["--with", "tdx"], ["--with"], ["--hepl"], ["one", "two"]])
def test_unknown_argument_is_a_usage_error_and_pushes_nothing(bin_folder: Path, arguments: list[str]) -> None:
    ran = run_push(bin_folder, *arguments)
    assert (2, False) == (ran.returncode, (bin_folder.parent / "calls").exists())
    assert ran.stderr.endswith("`scripts/push --help` shows how to use it.\n")


def test_help_pushes_nothing(bin_folder: Path) -> None:
    ran = run_push(bin_folder, "--help")
    assert (0, False) == (ran.returncode, (bin_folder.parent / "calls").exists())
    assert ran.stdout.startswith("Usage: scripts/push [--with td|digdag] [PROJECT] [FOLDER]\n")
