"""`scripts/box`: a folder with the layout of treasure-boxes."""

import re
from pathlib import Path

import pytest

from scripts import box
from td_pinterest_op.audiences.actions import EXPORT_SETTINGS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert box.main([str(tmp_path / "pinterest_export")]) == 0
    return tmp_path / "pinterest_export"


def test_box_has_the_workflow_of_its_name_and_the_required_headings(folder: Path) -> None:
    headings = re.findall(r"^# .+$", (folder / "README.md").read_text(), re.MULTILINE)
    expected = ["Workflow: td example (Result Output to Pinterest)", "Prerequisites", "How to Run", "Supplemental"]
    assert headings == [f"# {heading}" for heading in [*expected, "Next Step"]]
    assert (folder / "pinterest_export.dig").exists()


def test_box_readme_names_every_setting_and_every_workflow(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    names = re.findall(r"^- (\w+): .+ \((?:required|optional)", text, re.MULTILINE)
    assert sorted(setting.name for setting in EXPORT_SETTINGS.settings) == sorted(names)
    workflows = sorted(path.name for path in folder.glob("*.dig"))
    assert workflows == sorted(re.findall(r"^- `(\w+\.dig)`: ", text, re.MULTILINE))
