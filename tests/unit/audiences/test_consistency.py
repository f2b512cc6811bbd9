"""Waiting for listings."""

import types
from typing import cast

import pytest

from td_pinterest_op.audiences.consistency import wait_for_consistency
from td_pinterest_op.pinterest.client import Client
from tests.clock import FakeTime


@pytest.mark.parametrize(("age", "waited"), [(0.0, 10.0), (4.0, 6.0), (10.0, 0.0), (99.0, 0.0)])
def test_run_waits_ten_seconds_for_things_of_an_earlier_try(age: float, waited: float) -> None:
    time = FakeTime()
    client = types.SimpleNamespace(age=age, rate_limiter=types.SimpleNamespace(wait=time.sleep))
    wait_for_consistency(cast(Client, client))
    assert sum(time.slept) == waited
