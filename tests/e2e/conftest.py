"""Fixtures that copy the shipped workflows, and run them."""

from pathlib import Path

import pytest

from tests import guard
from tests.e2e.project import Engine, Ran, Run, copy_workflows
from tests.exporting import Services


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the shipped workflows."""
    return copy_workflows(tmp_path)


@pytest.fixture
def run(engine: Engine, services: Services, project: Path, tmp_path: Path) -> Run:
    """Runs a workflow of the project by its name and checks its output for leaks."""

    def run_workflow(name: str) -> Ran:
        ran = engine(project / f"{name}.dig", services, tmp_path)
        guard.check(ran.log, "the log")
        for left in project.glob(".digdag/**/*.json"):
            guard.check(left.read_text(), left.name)
        return ran

    return run_workflow
