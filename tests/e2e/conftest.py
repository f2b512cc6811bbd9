"""The bundle that `scripts/bundle` lays out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.project import ROOT


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project folder, laid out once for all tests; they copy it."""
    folder = tmp_path_factory.mktemp("bundle") / "pinterest_export"
    subprocess.run([sys.executable, ROOT / "scripts" / "bundle.py", folder], check=True, capture_output=True)
    return folder
