"""Fixtures that lay out the bundle of `scripts/bundle` and run its workflows."""

import sys
from pathlib import Path

import pytest

from tests import children, guard
from tests.e2e.project import ROOT, Engine, Ran, Run, copy_bundle
from tests.exporting import Services


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project folder, laid out once for all tests; they copy it."""
    folder = tmp_path_factory.mktemp("bundle") / "pinterest_export"
    children.run([sys.executable, "-m", "td_pinterest_op", "bundle", folder], cwd=ROOT).check_returncode()
    return folder


@pytest.fixture
def project(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle: digdag keeps its state in the project folder."""
    return copy_bundle(bundle, tmp_path)


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
