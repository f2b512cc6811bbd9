"""A run that was told to end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from td_pinterest_op import stop


@pytest.fixture
def told_to_end() -> Iterator[None]:
    stop.request("SIGTERM")
    yield
    stop.reset()
