"""The model's random days, on the emulators. On a real Trino: `scripts/trino`."""

import pytest

from tests.campaigns import amount, campaign
from tests.mirror.days import World
from tests.mirror.model import Model

DAYS = amount(100, quick=10)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=campaign) for seed in range(2, 6))])
def test_audience_and_ledger_are_right_after_random_refusals_and_crashes(mirror_world: World, seed: int) -> None:
    model = Model(world=mirror_world, seed=seed)
    model.run_days(DAYS)
    assert model.complete >= DAYS // 10
    assert model.deaths + model.met >= DAYS // 10
    assert model.in_stop_mode
    assert model.unanswered or DAYS < 50
