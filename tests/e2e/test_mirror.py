"""The mirror's workflows, run from the bundle: with tests/dig, and with digdag where there is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import guard
from tests.e2e.project import ENGINES, Engine, Ran, change, copy_of, history
from tests.exporting import Services, digests, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)


def test_the_audience_follows_the_query_and_the_ledger_is_made_small_again(
    engine: Engine, services: Services, bundle: Path, tmp_path: Path
) -> None:
    project = copy_of(bundle, tmp_path)
    audience_id = services.audience(["before@shop.example"])
    config = project / "config" / "mirror.yml"
    named = re.sub(r"(audience_id: ).*", rf'\1"{audience_id}"', config.read_text())
    named = re.sub(r"(audience_name: ).*", r"\1Shoppers", named)
    config.write_text(re.sub(r"(begin: ).*", r"\1replace", named))

    def run(name: str, members: list[str]) -> Ran:
        services.td.create("sandbox", "people", [{"email": person.upper(), "opted_in": True} for person in members])
        ran = engine(project / f"{name}.dig", services, tmp_path)
        guard.check(ran.log, "the log")
        assert ran.succeeded, ran.log
        return ran

    assert "by replace, 250 sent to join" in run("pinterest_mirror", people(250)).log
    assert digests(250) == services.pinterest.members_of_audience(audience_id)
    writes = len(services.pinterest.calls.writes())
    assert (
        "by difference, 5 sent to join (0 of them again), 10 to leave"
        in run("pinterest_mirror", people(245, first=10)).log
    )
    assert digests(245, first=10) == services.pinterest.members_of_audience(audience_id)
    # Each step gets an access token; no other write goes beside the two batches.
    assert 2 == len([call for call in services.pinterest.calls.writes()[writes:] if call.records])
    assert "begins with plan 1" in run("pinterest_mirror_compact", people(245, first=10)).log
    assert "nothing changed, nothing was sent" in run("pinterest_mirror", people(245, first=10)).log
    assert [
        ("replace_current_audience", 250),
        ("remove_people_from_current_audience", 240),
        ("add_people_to_current_audience", 245),
        ("mirror", 245),
    ] == [(row["action"], row["members"]) for row in history(services)]
    change(project / "config" / "pinterest.yml", (r'audience_id: "\d+"', f'audience_id: "{audience_id}"'))
    held = services.pinterest.audiences[audience_id]
    held.status, held.size = "READY", 98
    run("pinterest_status", people(245, first=10))
    assert (245, 0.4) == tuple(history(services)[-1][name] for name in ("members", "match_ratio"))


def test_a_query_that_finds_nobody_is_stopped_with_the_figures(
    engine: Engine, services: Services, bundle: Path, tmp_path: Path
) -> None:
    project = copy_of(bundle, tmp_path)
    audience_id = services.audience(people(5))
    config = project / "config" / "mirror.yml"
    named = re.sub(r"(audience_id: ).*", rf'\1"{audience_id}"', config.read_text())
    named = re.sub(r"(audience_name: ).*", r"\1Shoppers", named)
    config.write_text(re.sub(r"(begin: ).*", r"\1replace", named))
    services.td.create("sandbox", "people", [{"email": "nobody@shop.example", "opted_in": False}])
    ran = engine(project / "pinterest_mirror.dig", services, tmp_path)
    assert not ran.succeeded
    assert "the query finds 0 people (0 values are rejected), fewer than min_records (100)" in ran.log
    assert digests(5) == services.pinterest.members_of_audience(audience_id)
