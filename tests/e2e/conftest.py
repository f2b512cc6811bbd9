"""The bundle that `scripts/bundle` lays out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import children
from tests.e2e.project import ROOT


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project folder, laid out once for all tests; they copy it."""
    folder = tmp_path_factory.mktemp("bundle") / "pinterest_export"
    children.run([sys.executable, ROOT / "scripts" / "bundle.py", folder]).check_returncode()
    return folder
