"""A world for the mirror, on a fake clock."""

from collections.abc import Iterator

import pytest

from tests.exporting import people
from tests.mirror.days import World, world


@pytest.fixture
def mirror_world() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def audience_id(mirror_world: World) -> str:
    """An audience that follows 200 people, after the first day."""
    found = mirror_world.audience(people(30, first=1000))
    mirror_world.follow(0, people(200))
    return found
