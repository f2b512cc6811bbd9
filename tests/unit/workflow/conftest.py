"""A run that was stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from td_pinterest_op.runtime import shutdown


@pytest.fixture
def told_to_end() -> Iterator[None]:
    shutdown.request("SIGTERM")
    yield
    shutdown.reset()
