"""A world for the mirror, on a fake clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror.days import World, world


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made
