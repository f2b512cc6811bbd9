"""The sandbox that `scripts/sandbox` starts: the main job, and a project of a user's own."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Protocol, TextIO

import pytest
import yaml

from tests import children, guard
from tests.campaigns import campaign
from tests.dig import __main__ as dig_program
from tests.dig import warm
from tests.e2e.project import ENGINES, ROOT, copy_checkout, run_with_tests_dig
from tests.emulators.both import AUDIENCE_NAME
from tests.emulators.environment import FAST_CLOCK
from tests.exporting import digest
from tests.sandbox import __main__ as sandbox_program
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
SELECT lower(c.mail) AS contact FROM customers c JOIN consents k ON k.customer = c.id WHERE k.given = 1
"""


class Sandbox(Protocol):
    """Runs it; returns the exit code, and what it printed."""

    def __call__(self, *arguments: object) -> tuple[int, str]: ...


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sandbox:
    """The sandbox in this process, without digdag, with `py>` tasks whose clocks hurry; its files exist."""
    monkeypatch.setenv("PATH", _PLAIN_PATH)
    monkeypatch.setenv("PYTHONPATH", FAST_CLOCK)
    run_engine = sandbox_program._run_engine

    def run_here(started: tuple[list[str], Path], *, environ: Mapping[str, str], log: TextIO) -> int:
        """Do what `python -m tests.dig` does."""
        if shutil.which("digdag"):
            return run_engine(started, environ=environ, log=log)
        with redirect_stdout(log), redirect_stderr(log), pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            return dig_program.main(started[0][3:], start=warm.start)

    monkeypatch.setattr(sandbox_program, "_run_engine", run_here)

    def run(*arguments: object) -> tuple[int, str]:
        options = ["--log", tmp_path / "log", "--page", tmp_path / "new" / "page.html", "--rows", "3000"]
        code = main([str(argument) for argument in (*options, *arguments)])
        said = "".join(capsys.readouterr())
        guard.check(said + (tmp_path / "log").read_text(), "the sandbox")
        return code, said

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two workflows with a query over two tables, and names that are the user's own."""
    folder = tmp_path / "our project"
    for name in ("queries", "config"):
        (folder / name).mkdir(parents=True)
    (folder / "queries" / "customers_with_consent.sql").write_text(_QUERY)
    (folder / "config" / "ours.yml").write_text(_CONFIG)
    for name, action, audience in (
        ("buyers", "replace_current_audience", "buyers"),
        ("readers", "add_people_to_current_audience", "readers"),
    ):
        text = _WORKFLOW.format(action=action, audience=audience)
        (folder / f"{name}.dig").write_text(text)
    (tmp_path / "customers.csv").write_text("id,mail\n1,Anna@Shop.example\n2,bela@shop.example\n3,chloe@shop.example\n")
    (tmp_path / "consents.csv").write_text("customer,given\n1,1\n2,0\n3,1\n")
    return folder


def _tables(folder: Path) -> list[str]:
    return [f"--table=customers={folder / 'customers.csv'}", f"--table=shop.consents={folder / 'consents.csv'}"]


def test_sandbox_describes_the_main_job_and_a_withholding_export(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, said = sandbox()
    lines = said.splitlines()
    assert code == 0, said
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 100
    for line in ("query     SELECT email FROM people", r"rows      2,5\d\d read", "sent      Added 2,486 records"):
        assert re.search(f"^  {line}", said, re.MULTILINE)
    assert f'audience  549755885175000002 "{AUDIENCE_NAME}" holds 2,486 identifiers' in said
    withholding = " ".join(said.partition("\nThen ")[2].split())
    assert "records (suppressed 48, control 263) withheld." in withholding
    assert "holds 2,175 identifiers" in withholding
    assert f"  page      {tmp_path}/new/page.html\n  log       {tmp_path}/log\n" in said
    html = (tmp_path / "new" / "page.html").read_text()
    guard.check(html, "the page")
    assert html.count(f"<h1>{AUDIENCE_NAME}</h1>") == 1
    assert "2,175" in html


@pytest.mark.parametrize("engine", ENGINES)
def test_sandbox_runs_an_unchanged_project_and_writes_the_page_of_the_last_audience(
    sandbox: Sandbox, project: Path, tmp_path: Path, engine: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine is not run_with_tests_dig:
        monkeypatch.setenv("PATH", _PATH)
    (tmp_path / "buyers.txt").write_text("email\nanna@shop.example\nCHLOE@shop.example\n")
    (tmp_path / "digests").write_text(f"{digest('anna@shop.example')}\n{digest('chloe@shop.example').upper()}\n")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    code, said = sandbox(
        *["--project", project, *_tables(tmp_path), "buyers.dig", "readers"],
        *[f"--expect=Käufer={tmp_path / 'buyers.txt'}", f"--expect=2542620905475={tmp_path / 'digests'}"],
    )
    assert code == 0, said
    assert 'audience  2542620905473 "Käufer" holds 2 identifiers' in said
    assert "exactly the 2 people of buyers.txt" in said
    assert "exactly the 2 people of digests" in said
    assert "made up   ad account 987654321, audience 2542620905473, audience 2542620905475\n" in said
    assert [page.name for page in (tmp_path / "new").iterdir()] == ["page.html"]
    assert re.findall("<h1>(.*?)</h1>", (tmp_path / "new" / "page.html").read_text()) == ["Leser"]
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_wrong_expectation_names_missing_people_by_line(sandbox: Sandbox, project: Path, tmp_path: Path) -> None:
    (tmp_path / "people").write_text("anna@shop.example\nbela@shop.example\n\ndora@shop.example\n")
    code, said = sandbox("--project", project, *_tables(tmp_path), "buyers", "--expect", tmp_path / "people")
    assert code == 1
    expected = "2 missing (lines 2, 4 of people); 1 too many, which people does not have"
    assert expected in " ".join(said.split())


def test_project_has_made_up_opt_outs_and_consents(sandbox: Sandbox, project: Path) -> None:
    lists = "suppress: SELECT email FROM opt_outs\n    consent: SELECT email FROM consents"
    text = _WORKFLOW.format(action="replace_current_audience", audience="buyers")
    text = text.replace("columns: {contact: email}", f"ignore_invalid_records: true\n    {lists}")
    (project / "queries" / "customers_with_consent.sql").write_text("SELECT email FROM people")
    (project / "listed.dig").write_text(_with_query(text))
    code, said = sandbox("--project", project, "listed")
    assert code == 0, said
    assert re.search(r"records \(suppressed 5\d, without_consent 9\d\d\) withheld", " ".join(said.split())), said


@pytest.mark.parametrize("engine", ENGINES)
def test_activation_is_tried_with_parameters_of_the_run(
    sandbox: Sandbox, project: Path, engine: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine is not run_with_tests_dig:
        monkeypatch.setenv("PATH", _PATH)
    text = _WORKFLOW.format(action="", audience="buyers")
    text = text.replace("export.PinterestExport", "activation.PinterestActivation")
    text = re.sub(r"    (action|audience_id|expected_audience_name|columns): .*\n", "", text)
    text = text.replace("audience_type:", "ignore_invalid_records: true\n    audience_type:")
    (project / "queries" / "customers_with_consent.sql").write_text("SELECT email FROM activation_actions_table")
    (project / "activation.dig").write_text(_with_query(text))
    params = ["-p", "segment_name=Spring", "-p", "activation_actions_table=shop.people"]
    code, said = sandbox("--project", project, "activation", *params)
    assert code == 0, said
    assert said.count('Created audience "Spring" with 2,874 records') == 1


def _with_query(workflow: str) -> str:
    """Return the workflow with the query on its export, in place of a task before it."""
    query = "  query: queries/customers_with_consent.sql\n  database: shop\n  result_settings:"
    return re.sub(r"\+people:\n.*\n", "", workflow).replace("  result_settings:", query)


@campaign
def test_documented_ci_workflow_passes_and_fails_for_missing_people(tmp_path: Path) -> None:
    text = (ROOT / "scripts" / "README.md").read_text().partition("\n## Test your project in CI\n")[2]
    (job,) = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])["jobs"].values()
    copy_checkout(tmp_path / "td_pinterest_op")
    others = [path.name for path in (ROOT / "workflows").glob("*.dig") if path.name != "pinterest_export.dig"]
    shutil.copytree(ROOT / "workflows", tmp_path / "audiences", ignore=shutil.ignore_patterns(*others))
    samples = {
        "people.csv": "email,opted_in\nanna@shop.example,1\nbela@shop.example,0\n",
        "expected.txt": "anna@shop.example\n",
    }
    (tmp_path / "samples").mkdir()
    for name, content in samples.items():
        (tmp_path / "samples" / name).write_text(content)
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [_run_step(command, tmp_path).returncode for command in commands] == [0] * 3
    assert (tmp_path / "build" / "report.html").exists()
    (tmp_path / "samples" / "expected.txt").write_text("anna@shop.example\nbela@shop.example\n")
    failed = _run_step(commands[-1], tmp_path)
    assert (failed.returncode, "1 missing (line 2 of expected.txt)" in " ".join(failed.stdout.split())) == (1, True)


def _run_step(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout as GitHub's runner does, with the PATH that earlier ones left."""
    added = folder / "github_path"
    path = os.pathsep.join([*(added.read_text().splitlines() if added.exists() else ()), _PLAIN_PATH])
    environ = os.environ | {"PATH": path, "GITHUB_PATH": str(added), "PYTHONPATH": FAST_CLOCK}
    done = children.run(["bash", "-eo", "pipefail", "-c", command], cwd=folder, env=environ)
    guard.check(done.stdout + done.stderr, command)
    return done
