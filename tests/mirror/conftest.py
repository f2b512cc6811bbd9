"""A world for the mirror, on a fake clock."""

from collections.abc import Iterator

import pytest

from tests.mirror.days import World, world


@pytest.fixture
def mirror_world() -> Iterator[World]:
    with world() as made:
        yield made
