"""pinterest_lift.dig: from the people and their conversions to a row in the history."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.e2e.project import ENGINES, Run, change, history
from tests.exporting import Services

pytestmark = pytest.mark.parametrize("engine", ENGINES)
START = 1_793_491_200


def is_control(key: str) -> bool:
    return int(hashlib.sha256(f"spring\n{key}".encode()).hexdigest()[:8], 16) % 10_000 < 1_000


def test_the_arms_are_compared_and_the_history_has_the_figures(run: Run, services: Services, project: Path) -> None:
    change(
        project / "config" / "lift.yml",
        ('^audience_id: ""', 'audience_id: "12"'),
        ('^conversions: ""', "conversions: orders"),
        ("^start: .*", 'start: "2026-11-01"'),
    )
    people = [f"{number}" for number in range(3000)]
    services.td.create("sandbox", "people", [{"customer_id": key, "opted_in": True} for key in people])
    bought = [key for key in people if int(key) % (10 if is_control(key) else 5) == 0]
    orders = [{"customer_id": key, "time": START + 60} for key in bought]
    services.td.create("sandbox", "orders", [*orders, {"customer_id": "1", "time": START - 1}])
    ran = run("pinterest_lift")
    assert ran.succeeded, ran.log
    assert "The audience brought conversions" in ran.log
    (row,) = history(services)
    figures = json.loads(row["lift"])
    control = sum(map(is_control, people))
    assert ("lift", "12", 3000 - control, control) == (
        row["kind"],
        row["audience_id"],
        figures["people_sent"],
        figures["people_control"],
    )
    assert sum(not is_control(key) for key in bought) == figures["converted_sent"]
    assert 0 < figures["lift_absolute_low"] < figures["lift_absolute"] < figures["lift_absolute_high"]


def test_a_comparison_that_is_not_set_up_says_what_to_fill_in(run: Run) -> None:
    ran = run("pinterest_lift")
    assert not ran.succeeded
    assert "config/lift.yml names no audience or no table of conversions" in ran.log
