"""The bundle that `scripts/bundle` lays out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.project import ROOT


@pytest.fixture(scope="session")
def bundle() -> Path:
    """build/pinterest_export, made anew."""
    done = subprocess.run([ROOT / "scripts" / "bundle"], check=True, capture_output=True, text=True)
    return ROOT / done.stdout.strip()
