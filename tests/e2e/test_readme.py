"""README is true: its workflow runs as it stands, and its tables are the program's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from td_pinterest_op.records.identifiers import Reason
from td_pinterest_op.settings.parse import SETTINGS
from td_pinterest_op.stats import Stats
from tests import dig
from tests.e2e.project import ROOT, secrets
from tests.exporting import Services, digest

README = (ROOT / "README.md").read_text()


def _block(after: str) -> str:
    found = re.search(re.escape(after) + r".*?```yaml\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def _first_cells(heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading."""
    table = README.split(f"\n## {heading}\n")[1].split("\n| --- |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def test_the_workflow_of_the_readme_runs_in_an_empty_project(services: Services, tmp_path: Path, bundle: Path) -> None:
    for part in ("td_pinterest_op", "backoff"):
        shutil.copytree(bundle / part, tmp_path / part)
    services.td.create("sandbox", "people", [{"email": "One@shop.example", "opted_in": True}])
    audience_id = services.audience()
    text = _block("## A workflow").replace("549755885175000002", audience_id)
    (tmp_path / "pinterest_export.dig").write_text(text)
    result = dig.run(tmp_path / "pinterest_export.dig", secrets=secrets(services), environ=services.environ)
    assert result.error is None
    assert {digest("one@shop.example")} == services.pinterest.members_of_audience(audience_id)


def test_the_table_of_settings_names_every_key_and_its_default() -> None:
    expected = [(f"`{key.name}`", key.default_text) for key in SETTINGS]
    assert expected == [(cells[0], cells[2].strip("`")) for cells in _first_cells("Settings")]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_for_rejection_is_explained(reason: Reason) -> None:
    assert f"| `{reason.value}` |" in README


def test_every_figure_of_the_statistics_is_explained() -> None:
    stats = Stats(action="", ad_account_id="", dry_run=False).to_json()
    names = [
        f"{group}.{name}" if isinstance(value, dict) else group
        for group, value in stats.items()
        for name in (value if isinstance(value, dict) else [group])
    ]
    explained = re.findall(r"`([a-z_.]+)`", README.split("\n## Statistics\n")[1].split("\n\n")[1])
    assert sorted(names) == sorted(explained)
