"""The pages are true: workflows run as shown, tables match the program, links and named tests exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS
from td_pinterest_op.cli.program import program
from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, TYPES
from td_pinterest_op.settings.table import (
    ERASURE_SETTINGS,
    FOR_THIS_RUN_PARAMETER,
    FOR_THIS_RUN_SETTING_NAMES,
    JOB_OPTIONS,
    RESTRICTING_SETTING_NAMES,
    STATUS_SETTINGS,
)
from td_pinterest_op.stats import Stats
from tests.e2e.audiences import ADD, CREATE, REPLACE
from tests.e2e.project import ROOT, run_with_tests_dig, use_audience
from tests.exporting import Services, digest, digests, people
from tests.readme import replace_commands, replace_reference, replace_settings

README, WORKFLOWS, TESTS = ((ROOT / folder / "README.md").read_text() for folder in (".", "workflows", "tests"))
PAGES = {path.stem: path.read_text() for path in (ROOT / "docs").glob("*.md")}
DOCUMENTS = [
    *(path for path in ROOT.rglob("*.md") if not path.relative_to(ROOT).parts[0].startswith((".", "build", "dist"))),
    ROOT / ".github" / "SECURITY.md",
]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def first_table(text: str, heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading."""
    table = text.split(f"# {heading}\n")[1].split("\n| --- |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def test_workflow_of_the_readme_runs_with_its_settings(services: Services, project: Path) -> None:
    services.td.create_people("sandbox", people(3), opted_in=1)
    services.td.create("sandbox", "opt_outs", [{"email": people(1)[0]}])
    audience_id = services.audience()
    workflow, settings = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (project / "pinterest_export.dig").write_text(workflow)
    (project / "config" / "export.yml").write_text(settings.replace("549755885175000002", audience_id))
    assert run_with_tests_dig(project / "pinterest_export.dig", services, project).succeeded
    assert services.pinterest.members_of_audience(audience_id) == digests(2, first=1)


def test_documented_task_runs_in_an_empty_project(services: Services, tmp_path: Path) -> None:
    services.td.create_people("sandbox", ["One@shop.example"], opted_in=1)
    audience_id = services.audience()
    block = WORKFLOWS.split("```yaml\n")[1].split("```")[0]
    text = block.replace("549755885175000002", audience_id)
    (tmp_path / "pinterest_export.dig").write_text(text)
    assert run_with_tests_dig(tmp_path / "pinterest_export.dig", services, tmp_path).succeeded
    assert services.pinterest.members_of_audience(audience_id) == {digest("one@shop.example")}


def test_documented_change_from_add_to_mirror_works(services: Services, project: Path) -> None:
    audience_id = services.audience(people(3))
    use_audience(project, audience_id)
    services.td.create_people("sandbox", people(120, first=2), opted_in=1)
    block = PAGES["mirror"].split("\n### Switch from adding to mirroring\n")[1].split("```yaml\n")[1].split("```")[0]
    use_audience(project, audience_id, **yaml.safe_load(block.replace("the name of the audience", "Shoppers")))
    assert run_with_tests_dig(project / "pinterest_export.dig", services, project).succeeded
    assert services.pinterest.members_of_audience(audience_id) == digests(120, first=2)


COSTS: list[tuple[str, dict[str, Any]]] = [
    ("add, remove", {"action": ADD}),
    ("create", {"action": CREATE, "audience_id": None, "audience_name": "New"}),
    ("replace", {"action": REPLACE}),
    ("mirror, first run", {"action": "mirror_current_audience"}),
    ("mirror, nothing changed", {"action": "mirror_current_audience"}),
    ("mirror, people join or leave", {"action": "mirror_current_audience", "people": 130}),
]


def test_number_of_jobs_matches_the_table_of_costs(services: Services) -> None:
    jobs = {cells[0]: cells[1] for cells in first_table(PAGES["guarantees-and-limits"], "What a run costs")}
    common = {"audience_id": services.audience(), "begin": "replace"}
    for day, (name, given) in enumerate(COSTS, start=1):
        settings = {**common, **given}
        services.td.create_people("crm", people(settings.pop("people", 120)))
        before = len(services.td.jobs.all())
        task: dict[str, Any] = {"query": "SELECT email FROM people", "database": "crm"}
        services.export(settings, session_time=f"2026-11-{day:02}T00:00:00+00:00", **task)
        assert jobs[name] == str(len(services.td.jobs.all()) - before), name


def test_tables_of_settings_have_every_key_with_its_requirement_and_default() -> None:
    assert replace_settings(PAGES["settings"]) == PAGES["settings"], "run python -m tests.readme"


def test_every_action_is_explained() -> None:
    chosen = {cells[1].split("`")[1] for cells in first_table(PAGES["settings"], "Actions")}
    explained = set(re.findall(r"^- \*\*`(\w+)`\*\* ", PAGES["settings"], re.MULTILINE))
    assert chosen == explained == {each.action.name for each in ACTIONS}


def test_page_names_every_setting_that_restricts() -> None:
    listed = PAGES["settings"].split("A key that restricts what is sent is an error instead: ")[1].split(".\n")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == RESTRICTING_SETTING_NAMES


def test_every_type_of_identifier_is_explained() -> None:
    assert [cells[0].strip("`") for cells in first_table(PAGES["reference"], "Identifiers")] == [*CUSTOMER_LIST_TYPES]
    rows = PAGES["reference"].split("### Rows with several keys\n")[1].split("\n## ")[0]
    assert [name for name in TYPES if f"`{name}`" not in rows] == []


def test_every_figure_of_the_statistics_is_explained() -> None:
    stats = Stats(action="", ad_account_id="", dry_run=False, keys=0).to_json()
    names = [
        f"{group}.{name}" if isinstance(value, dict) else group
        for group, value in stats.items()
        for name in (value if isinstance(value, dict) else [group])
    ]
    keys = [cells[0] for cells in first_table(PAGES["reference"], "Statistics")]
    explained = re.findall(r"`([a-z_.]+)`", " ".join(keys))
    assert sorted(names) == sorted(explained)


def test_tables_of_reasons_and_errors_are_those_of_the_program() -> None:
    assert replace_reference(PAGES["reference"]) == PAGES["reference"], "run python -m tests.readme"


def test_page_of_the_command_line_has_every_command_with_its_options() -> None:
    assert replace_commands(PAGES["command-line"]) == PAGES["command-line"], "run python -m tests.readme"


def test_every_workflow_has_a_row() -> None:
    rows = {cells[0].strip("`") for cells in first_table(WORKFLOWS, "The workflows, one by one")}
    assert rows == {path.name for path in (ROOT / "workflows").glob("*.dig")}


def test_page_names_every_setting_that_a_single_run_may_have() -> None:
    listed = PAGES["how-to"].split("You can set ")[1].split(". ")[0]
    assert re.findall(r"`(\w+)`", listed) == [*FOR_THIS_RUN_SETTING_NAMES]


def test_every_setting_of_single_workflows_has_a_row() -> None:
    shared = {setting.name for setting in EXPORT_SETTINGS.settings}
    own = [
        setting.name
        for table in (STATUS_SETTINGS, ERASURE_SETTINGS)
        for setting in table.settings
        if setting.name not in shared
    ]
    explained = re.findall(
        r"^\| `(\w+)` \| `pinterest_\w+\.dig` \|", PAGES["reference"].split("| setting | of |")[1], re.MULTILINE
    )
    assert own == explained


def test_every_test_that_a_promise_names_exists() -> None:
    shown = first_table(TESTS, "Promises and the tests that show them")
    assert all("::" in tests for _, tests in shown)
    missing = [
        f"{file}::{name}"
        for file, name in re.findall(r"`([\w/]+\.py)::(\w+)`", TESTS)
        if not re.search(rf"^ *def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


# Parameters set by digdag, by Audience Studio, by the shipped workflows for their own tasks, and by mistake.
HANDED = {
    *("_command", "_env", "project_id", "project_name", "result_settings", "session_id", "td"),
    *("result_connection_settings", "segment_name", "activation_actions_table"),
    "lift",
    *("attempt_id", "session_time", "session_uuid", "task_name"),
}


_READS = r"(?:\bparams(?:\.get\(|\[)|_find_nonblank_parameter\(task, )\"(\w+)\""


def test_every_parameter_of_a_task_is_described_once() -> None:
    texts = [path.read_text() for path in (ROOT / "td_pinterest_op").rglob("*.py") if "op/cli/" not in str(path)]
    read = {name for text in texts for name in re.findall(_READS, text)} | {*JOB_OPTIONS, FOR_THIS_RUN_PARAMETER}
    table = PAGES["reference"].split("\n| parameter |")[1].split("\n\n")[0]
    described = [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(read - HANDED) == sorted(described)
    assert read >= HANDED


@each_document
def test_every_command_in_a_page_exists_with_its_options(document: Path) -> None:
    text = document.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for line in re.findall(r"\btd-pinterest ([a-z].*)", "".join(blocks).replace("\\\n", " ")):
        name, *words = shlex.split(line.partition(" > ")[0], comments=True)
        program.commands[name].make_context(name, words)  # raises UsageError
    for name, rest in re.findall(r"`(?:scripts/)?td-pinterest ([a-z-]+)([^`]*)`", text):
        options = {option for parameter in program.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", rest)) <= options | {"--help"}, name


@each_document
def test_every_relative_link_has_a_target(document: Path) -> None:
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if anchor else []
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        if not target.exists() or (anchor and anchor not in anchors):
            broken.append(link)
    assert broken == []
