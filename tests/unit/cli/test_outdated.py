"""What a project folder has of an older version without effect: named by line, and no way to let anybody through."""

from pathlib import Path

import pytest

from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.outdated import find_outdated
from tests.unit.cli.running import Terminal

# 0.3.2's, filled in.
MIRROR = """\
audience_id: "549755885175000002"
ledger: pinterest_ledger
suppressed: {suppressed}
consented: {consented}
control: {control}
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, []),
        ({"suppressed": "true"}, ["3: outdated: `suppressed` withholds nobody any more: write `suppress: queries/"]),
        ({"suppressed": ""}, ["3: outdated: `suppressed` withholds"]),
        ({"consented": "'${x}'"}, ["4: outdated: `consented` withholds nobody any more: write `consent: queries/"]),
        (
            {"control": "{percent: 10, salt: spring, by: customer_id}"},
            [
                "5: outdated: `control` withholds nobody any more: write `control` in the result_settings of each task "
                "that mirrors, also of an activation with `later_runs: mirror`, and delete this line"
            ],
        ),
    ],
)
def test_a_mirror_of_0_3_that_withholds_people_ends_an_update_before_it_writes(
    terminal: Terminal, tmp_path: Path, values: dict[str, str], named: list[str]
) -> None:
    off = {"suppressed": "false", "consented": "false", "control": "false"}
    write(tmp_path, "config/mirror.yml", MIRROR.format(**off | values))
    write(tmp_path, "pinterest_mirror.dig", "+a:\n  echo>: x\n")
    ran = terminal("bundle", tmp_path, "--update")
    assert (ran.code, (tmp_path / "td_pinterest_op").exists()) == ((1, False) if named else (0, True))
    assert [line for line in named if f"config/mirror.yml:{line}" not in ran.err] == []
    found = "".join(map(str, check_file(tmp_path / "pinterest_mirror.dig")))
    assert [line for line in named if f"config/mirror.yml:{line}" not in found] == []
    assert "config/mirror.yml:1: outdated: the file has no effect any more: its keys are settings" in ran.err
    assert ("says whom to withhold in a way that has no effect any more: nothing was written" in ran.err) == bool(named)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "config/workflow.yml",
            "td:\n  database: x\nhistory:\n  keep: true\n  table: h\n",
            "3: outdated: a mapping",
        ),
        ("config/mirror_vip.yml", "ledger: vip\nsuppressed: true\n", "2: outdated: `suppressed` withholds nobody"),
        ("mirrors/vip.yaml", "ledger: vip\nsuppressed: true\n", "2: outdated: `suppressed` withholds nobody"),
        ("m.dig", "+t:\n  py>: td_pinterest_op.status.AudienceStatus.look\n", "2: outdated: td_pinterest_op.status"),
        (
            "m.dig",
            "_export: {m: {adopt: false, begin: '', control: {percent: 5}}}\n",
            "1: outdated: `control` withholds",
        ),
        ("config/history.yml", "", "1: outdated: config/history.yml has no effect any more: the setting `history`"),
        ("queries/mirror_setup.sql", "", "1: outdated: queries/mirror_*.sql have no effect any more"),
        ("pinterest_mirror_compact.dig", "", "1: outdated: pinterest_mirror_compact.dig is not needed any more"),
        (
            "m.dig",
            "+t:\n  py>: td_pinterest_op.mirror.Mirror.send\n",
            "2: outdated: td_pinterest_op.mirror.Mirr",
        ),
        (
            "pinterest_activation.dig",
            "+t:\n  py>: td_pinterest_op.activation.PinterestActivation.prepare\n",
            "2: outdated: td_pinterest_op.activation.PinterestActivation.prepare does nothing any more: one task",
        ),
        ("m.dig", "+t:\n  py>: td_pinterest_op.many.Many.renew\n", "2: outdated: td_pinterest_op.many.Many.renew does"),
        (
            "m.dig",
            "_export: {concurrent: 4}\n+t: {py>: td_pinterest_op.many.Many}\n",
            "1: outdated: concurrent has no effect any more: `at_once` of `py>: td_pinterest_op.many.Many` replaces it",
        ),
    ],
)
def test_file_or_key_of_an_older_version_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    write(tmp_path, name, text)
    assert str(find_outdated(tmp_path)[0]).startswith(f"{tmp_path / name}:{said}")


@pytest.mark.parametrize(
    "text",
    [
        "_export: {concurrent: 4, history: 'table', suppressed: true}\n+t: {py>: other.many.Many.gate}\n",
        "history: {mine: 1}\nsuppressed: true\n",
        "+a: {result_settings: {control: {percent: 5, salt: a}, ledger: a, begin: adopt}}\n",
        "a: &a [*a]\n",
        "+a: [${x}\n",
        "+a: {py>: [a, {b: c}]}\n",
        "a: " + "[" * 1_000,
        "\tx",
    ],
)
def test_own_keys_and_unreadable_files_are_no_finding(tmp_path: Path, text: str) -> None:
    write(tmp_path, "mine.dig", text)
    write(tmp_path, "config/mine.yml", text)
    assert find_outdated(tmp_path) == []
