"""The templates of project folders give the shipped workflows, and any answer as digdag will read it."""

import json

import pytest
import yaml

from td_pinterest_op.cli.bundle import WORKFLOWS
from td_pinterest_op.cli.project_folder import format_yaml, render, render_files
from td_pinterest_op.cli.workflow_kinds import KINDS, Audience, ProjectAnswers, WorkflowKind
from td_pinterest_op.errors import SettingsError
from tests.dig.template import fill

PLACEHOLDER = "the name of that audience"
ACCOUNT = "549755885175"
ADDED_TO = "549755885175000002"
# Of config/lift.yml.
LIFT = {
    "percent": "10",
    "salt": "spring",
    "conversions": "",
    "conversions_key": "customer_id",
    "conversions_time": "time",
    "start": "2026-11-25",
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_default_answers_give_the_shipped_workflow(kind: WorkflowKind) -> None:
    audience = Audience(ADDED_TO if kind.name == "add" else "", PLACEHOLDER)
    own = (
        kind.query_file,
        "config/pinterest.yml",
        "config/audiences.yml",
    )  # made of a user's query, or of all workflows
    answers = ProjectAnswers(
        kind=kind,
        ad_account_id=ACCOUNT,
        audiences=[audience] if kind.names_audience else [],
        new_name="Newsletter readers" if kind.creates_audience else "",
        later_runs="add",
        lift=LIFT if kind.name == "lift" else {},
        database="sandbox",
        query="SELECT 1",
        with_status=kind.name == "add",
    )
    files = {name: text for name, text in render_files(answers).items() if name not in own}
    assert files == {name: (WORKFLOWS / name).read_text() for name in files}


def test_default_answers_give_the_shipped_configuration() -> None:
    checked = {"audience_id": "", "audience_name": PLACEHOLDER}
    values = {
        "ad_account_id": ACCOUNT,
        "audience_id": ADDED_TO,
        "audience_name": "Newsletter readers",
        "new_name": "",
        "checked": dict.fromkeys(("remove", "replace", "mirror", "clear", "delete"), checked),
        "entries": yaml.safe_load((WORKFLOWS / "config" / "audiences.yml").read_text())["audiences"],
    }
    for name in ("pinterest.yml", "audiences.yml"):
        assert render(name, values) == (WORKFLOWS / "config" / name).read_text()


@pytest.mark.parametrize(
    "value",
    [
        *("plain words", "a: b", "a #b", "yes", "Null", "12", "1e5", "2026-01-01", "- a", "it's", 'say "x"', "", " a "),
        *(
            "$",
            "$$",
            "a$$b$c",
            "\\",
            "no\u00a0break",
            "a\x7fb",
            "tag \U000e0041",
            "e@shop.example",
            "ü",
        ),
        *("*x", "&x", "!x"),
        *(True, 5, 0.5, {"percent": 5, "salt": "$$", "by": "customer_id"}, ["a", "1"]),
    ],
)
def test_a_written_value_is_read_back_exactly(value: object) -> None:
    read = yaml.safe_load(f"key: {format_yaml(value)}\n")["key"]
    assert json.loads(fill(json.dumps(read), {})) == value


def test_a_value_with_a_template_is_an_error() -> None:
    with pytest.raises(SettingsError, match="contains a template, which digdag would fill in"):
        format_yaml({"salt": "${x}"})
