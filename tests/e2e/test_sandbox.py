"""The sandbox, as `scripts/sandbox` starts it: the main job, and a project of a user's own."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from typing import Protocol

import pytest

from td_pinterest_op.cli.rehearse.stage import Facts
from td_pinterest_op.report.sources import entries
from tests import children, guard
from tests.campaigns import campaign
from tests.e2e.project import ENGINES, ROOT, run_with_stand_in
from tests.emulators.__main__ import AUDIENCE_NAME, guide
from tests.emulators.environment import HURRY, environment
from tests.emulators.pinterest import CONTROLS
from tests.exporting import digest
from tests.sandbox.__main__ import main

# The folders of the programs that the sandbox itself starts; digdag is in none of them.
_PATH = os.environ["PATH"]
_PLAIN_PATH = os.pathsep.join(folder for folder in _PATH.split(os.pathsep) if not (Path(folder) / "digdag").exists())
_WORKFLOW = """
timezone: Europe/Berlin
_export:
  !include : config/ours.yml
  docker: {{image: treasuredata/customscript-python:3.12.11-td0}}
+people:
  td>: queries/customers_with_consent.sql
+send:
  py>: td_pinterest_op.export.PinterestExport
  result_settings:
    type: pinterest
    ad_account_id: ${{ours.account}}
    audience_type: customer_list
    action: {action}
    audience_id: ${{ours.{audience}.id}}
    expected_audience_name: ${{ours.{audience}.name}}
    columns: {{contact: email}}
  _env:
    TD_API_KEY: ${{secret:shop.td}}
    TD_API_SERVER: https://api.eu01.treasuredata.com/
    PINTEREST_CLIENT_ID: ${{secret:shop.pinterest_id}}
    PINTEREST_CLIENT_SECRET: "${{secret:shop.pinterest_secret}}"
    PINTEREST_REFRESH_TOKEN: ${{secret:shop.pinterest_token}}
"""
_CONFIG = """
td: {database: shop}
ours:
  account: "987654321"
  buyers: {id: "2542620905473", name: "Käufer"}
  readers: {id: "2542620905475", name: "Leser"}
"""
_QUERY = """
SELECT lower(c.mail) AS contact FROM customers c JOIN consents k ON k.customer = c.id WHERE k.given
"""


class Sandbox(Protocol):
    """Runs it; returns the exit code, what it printed, and its log."""

    def __call__(self, *arguments: object) -> tuple[int, str, str]: ...


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sandbox:
    """The sandbox in this process, without digdag, with `py>` tasks whose clocks hurry."""
    monkeypatch.setenv("PATH", _PLAIN_PATH)
    monkeypatch.setenv("PYTHONPATH", HURRY)

    def run(*arguments: object) -> tuple[int, str, str]:
        options = ["--log", tmp_path / "log", "--page", tmp_path / "new" / "page.html", "--rows", "3000"]
        code = main([str(argument) for argument in (*options, *arguments)])
        said, log = "".join(capsys.readouterr()), (tmp_path / "log").read_text()
        guard.check(said + log, "the sandbox")
        return code, said, log

    return run


@pytest.fixture
def project(bundle: Path, tmp_path: Path) -> Path:
    """Three workflows with a query over two tables, and names that are the user's own."""
    folder = tmp_path / "our project"
    for name in ("queries", "config"):
        (folder / name).mkdir(parents=True)
    for package in bundle.glob("*/__init__.py"):
        (folder / package.parent.name).symlink_to(package.parent)
    (folder / "queries" / "customers_with_consent.sql").write_text(_QUERY)
    (folder / "config" / "ours.yml").write_text(_CONFIG)
    for name, action, audience in (
        ("buyers", "replace_current_audience", "buyers"),
        ("readers", "add_people_to_current_audience", "readers"),
        ("goodbye", "delete_current_audience", "readers"),
    ):
        text = _WORKFLOW.format(action=action, audience=audience)
        (folder / f"{name}.dig").write_text(text)
    (tmp_path / "customers.csv").write_text("id,mail\n1,Anna@Shop.example\n2,bela@shop.example\n3,chloe@shop.example\n")
    (tmp_path / "consents.csv").write_text("customer,given\n1,true\n2,false\n3,true\n")
    return folder


def _tables(folder: Path) -> list[str]:
    return [f"--table=customers={folder / 'customers.csv'}", f"--table=shop.consents={folder / 'consents.csv'}"]


def test_the_sandbox_tells_the_main_job_and_one_that_withholds_and_writes_a_page_and_a_log(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    code, said, log = sandbox()
    assert 0 == code, said
    assert 38 > len(said.splitlines())
    assert 100 >= max(len(line) for line in said.splitlines() if str(tmp_path) not in line)
    for label in ("query     SELECT email", "plan      rows", "sent      Added 2,486 records", "held      audience"):
        assert f"  {label}" in said
    assert "by SQL 2,486 people should be in it: the very same are" in said
    once_more = " ".join(said.partition("Once more")[2].split())
    assert "records (suppressed 48, control 263) were withheld." in once_more
    assert "by SQL 48 opted out (a join on the text finds 1 of them) and 263 are the control group" in once_more
    assert "the others should be in it: the very same are" in once_more
    assert f"  page      {tmp_path}/new/page.html\n  log       {tmp_path}/log\n" in said
    html = (tmp_path / "new" / "page.html").read_text()
    guard.check(html, "the page")
    runs = entries(html, name="the page")
    statistics = map(json.loads, re.findall(r"INFO statistics: (\{.*\})", log))
    assert {AUDIENCE_NAME} == {run.text("audience_name") for run in runs}
    assert [(each["rows"]["read"], each["records"]["sent"]) for each in statistics] == [
        (run.number("rows_read"), run.number("records_sent")) for run in runs
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_project_of_ones_own_runs_as_it_is(
    sandbox: Sandbox, project: Path, tmp_path: Path, engine: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine is not run_with_stand_in:
        monkeypatch.setenv("PATH", _PATH)
    (tmp_path / "buyers.txt").write_text("email\nanna@shop.example\nCHLOE@shop.example\n")
    (tmp_path / "digests").write_text(f"{digest('anna@shop.example')}\n{digest('chloe@shop.example').upper()}\n")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    code, said, _ = sandbox(
        *["--project", project, *_tables(tmp_path), "buyers.dig", "readers"],
        *[f"--expect=Käufer={tmp_path / 'buyers.txt'}", f"--expect=2542620905475={tmp_path / 'digests'}"],
    )
    assert 0 == code, said
    assert 'audience 2542620905473 "Käufer": 2 people' in said
    assert "exactly the 2 people of buyers.txt" in said
    assert "exactly the 2 people of digests" in said
    assert {"page_2542620905473.html", "page_2542620905475.html"} == {
        page.name for page in (tmp_path / "new").iterdir()
    }
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_a_wrong_expectation_says_who_is_missing_by_number(sandbox: Sandbox, project: Path, tmp_path: Path) -> None:
    (tmp_path / "people").write_text("anna@shop.example\nbela@shop.example\n\ndora@shop.example\n")
    code, said, _ = sandbox("--project", project, *_tables(tmp_path), "buyers", "--expect", tmp_path / "people")
    assert 1 == code
    assert "2 missing (lines 2, 4 of people); 1 too many, which people does not have" in said


@pytest.mark.usefixtures("sandbox")
def test_as_a_program_a_workflow_that_fails_ends_with_its_error(project: Path, tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("id,mail\n1,nobody\n")
    files: list[str | Path] = ["--log", tmp_path / "log", "--page", tmp_path / "page", *_tables(tmp_path)]
    done = children.run([sys.executable, "-m", "tests.sandbox", *files, "--project", project, "buyers"], cwd=ROOT)
    guard.check(done.stdout + done.stderr, "the sandbox")
    assert (1, "") == (done.returncode, done.stderr)
    assert 1 == len(re.findall(r"failed +1 of 1 rows? (?:is|are) invalid", done.stdout)), done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--project", "nowhere"], "is no bundled folder"),
        (["--project", "{project}"], "which workflow? Name one of buyers.dig, goodbye.dig, readers.dig"),
        (["--project", "{project}", "others"], "has no workflow others.dig: it has buyers.dig, goodbye.dig"),
        (["--project", "{project}", "buyers", "--table", "customers"], "NAME=FILE or DATABASE.NAME=FILE is wanted"),
        (["--project", "{project}", "buyers", "--table", "customers=nowhere.csv"], "no such file: nowhere.csv"),
        (["--expect", "nowhere"], "nowhere cannot be read (FileNotFoundError)"),
        (["--expect", "{wrong}"], "line 2 of {wrong} is no email: not_an_email"),
        (["--like", "{wrong}"], "is no rehearsal.json"),
    ],
)
def test_wrong_usage_is_named(
    project: Path, tmp_path: Path, arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("email\nnobody\n")
    given = [text.format(project=project, wrong=wrong) for text in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["--rows", "10", "--log", str(tmp_path / "log"), "--page", str(tmp_path / "page.html"), *given])
    said = capsys.readouterr()
    guard.check(said.out + said.err, "the sandbox")
    assert (2, True) == (ended.value.code, why.format(wrong=wrong) in said.err), said


@campaign
def test_pinterest_behaves_like_a_rehearsal(sandbox: Sandbox, tmp_path: Path) -> None:
    findings = {"largest_batch": 1_000, "batch_too_large_status": 413, "list_readable_seconds": 0.0}
    facts = {field.name: findings.get(field.name) for field in dataclasses.fields(Facts)}
    (tmp_path / "rehearsal.json").write_text(json.dumps({"facts": facts, "steps": []}))
    code, said, log = sandbox("--like", tmp_path / "rehearsal.json")
    assert (0, True) == (code, "the very same are" in said)
    assert 3 < json.loads(re.findall(r"statistics: (\{.*\})", log)[-1])["requests"]["sent"]


def test_people_are_told_where_the_pages_are_and_what_can_be_done_to_the_emulator() -> None:
    lines = guide(environment(td_url="http://127.0.0.1:1/", pinterest_endpoint="http://127.0.0.1:2/v5"))
    assert "What Pinterest holds, live: http://127.0.0.1:2/" in lines
    assert "The consent page: http://127.0.0.1:2/oauth/ (redirect http://localhost:8085/)" in lines
    assert len(CONTROLS) == sum("http://127.0.0.1:2/_test/" in line for line in lines)
