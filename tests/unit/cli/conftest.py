"""The command line, callable."""

from pathlib import Path

import pytest

from tests.unit.cli.running import Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """`td-pinterest`, as a function of its arguments."""
    return Terminal(capsys)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with the operator in it."""
    (tmp_path / "td_pinterest_op").mkdir()
    return tmp_path
