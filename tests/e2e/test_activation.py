"""An activation of Audience Studio: with tests/dig, and with digdag where there is one."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.project import ENGINES, Run, edit_file
from tests.exporting import Services, digests, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)


def run_activation(
    run: Run, services: Services, project: Path, emails: list[str], *, later: str, **console: object
) -> str:
    """Run the workflow as the console starts it; returns the only audience's id."""
    log = log_activation(run, services, project, emails, later=later, **console)
    (audience,) = services.pinterest.audiences.values()
    assert f"Audience {audience.id}: " in log
    return audience.id


def log_activation(
    run: Run, services: Services, project: Path, emails: list[str], *, later: str, **console: object
) -> str:
    """Run the workflow as the console starts it, with the activation's parameters; returns its log."""
    services.td.create_people("sandbox", ["nobody@shop.example"])
    services.td.create_people("cdp_audience_1", emails, table="cdp_syndication_1")
    handed = {
        "segment_id": 12,
        "segment_name": "Likely buyers",
        "activation_id": 34,
        "audience_id": 56,
        "activation_actions_db": "cdp_audience_1",
        "activation_actions_table": "cdp_syndication_1",
        "result_connection_settings": json.dumps(console),
    }
    settings = project / "config" / "activation.yml"
    settings.write_text(re.sub(r"later_runs: \w+", f"later_runs: {later}", settings.read_text()))
    path = project / "pinterest_activation.dig"
    text = path.read_text()
    if "segment_id" not in text:
        text = text.replace(
            "_export:\n", "_export:\n" + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in handed.items()), 1
        )
    path.write_text(text)
    ran = run("pinterest_activation")
    assert ran.succeeded, ran.log
    return ran.log


@pytest.mark.parametrize("later", ["add", "Replace", "MIRROR"])
def test_activation_creates_the_audience_and_later_runs_follow_later_runs(
    run: Run, services: Services, project: Path, later: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = {"type": "pinterest", "td_connector": "x", "_version": 3, "audience_name": ""}
    audience_id = run_activation(run, services, project, people(150), later=later, **console)
    assert services.pinterest.audiences[audience_id].name == "Likely buyers"
    assert services.pinterest.members_of_audience(audience_id) == digests(150)
    monkeypatch.setattr("tests.e2e.project.SESSION", "2026-11-26 00:00:00")
    assert audience_id == run_activation(run, services, project, people(150, first=20), later=later, **console)
    expected = digests(170) if later == "add" else digests(150, first=20)
    assert services.pinterest.members_of_audience(audience_id) == expected


def test_activation_adds_to_the_audience_named_in_the_settings(run: Run, services: Services, project: Path) -> None:
    audience_id = services.audience(["before@shop.example"])
    run_activation(run, services, project, people(5), later="replace", audience_id=audience_id)
    assert services.pinterest.members_of_audience(audience_id) == digests(5)


def test_dry_activation_says_that_nothing_was_written(run: Run, services: Services, project: Path) -> None:
    edit_file(project / "config" / "activation.yml", ("  type: pinterest", "  type: pinterest\n  dry_run: true"))
    log = log_activation(run, services, project, people(5), later="add")
    summary = 'Dry run: would create audience "Likely buyers" with 5 records; nothing was written.'
    assert f"{summary} Audience not created: 5 rows read, 0 rows invalid." in log
    assert not services.pinterest.audiences
