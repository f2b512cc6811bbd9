"""The command line, callable."""

from __future__ import annotations

import pytest

from tests.unit.cli.running import Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """`td-pinterest`, as a function of its arguments."""
    return Terminal(capsys)
