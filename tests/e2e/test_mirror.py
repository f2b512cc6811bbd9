"""The mirror's workflow, run from the bundle: with tests/dig, and with digdag where there is one."""

from decimal import Decimal
from pathlib import Path

import pytest

from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import WITHHELD
from td_pinterest_op.withholding.people import assign_control
from tests.e2e.project import ENGINES, Run, age_history, edit_file, read_history, use_audience
from tests.exporting import Services, digest, digests, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)


def set_up_mirror(project: Path, audience_id: str, **settings: object) -> None:
    """Let pinterest_export mirror this audience, with further settings."""
    use_audience(project, audience_id, action="mirror_current_audience", begin="replace", **settings)


def test_mirror_follows_the_query(run: Run, services: Services, project: Path) -> None:
    audience_id = services.audience(["before@shop.example"])
    set_up_mirror(project, audience_id)

    def log_of(name: str, members: list[str]) -> str:
        services.td.create_people("sandbox", map(str.upper, members), opted_in=1)
        ran = run(name)
        assert ran.succeeded, ran.log
        age_history(services)
        return " ".join(ran.log.split())

    replaced = "all members replaced by 250 people."
    assert f"{replaced} Audience {audience_id}: 250 rows read" in log_of("pinterest_export", people(250))
    assert services.pinterest.members_of_audience(audience_id) == digests(250)
    writes = len(services.pinterest.calls.writes())
    tokens = len(services.pinterest.calls.of("oauth/token"))
    left = people(245, first=10)
    followed = f"Audience {audience_id}: 245 rows read"
    assert f"5 joiners, 10 leavers. {followed}" in log_of("pinterest_export", left)
    assert services.pinterest.members_of_audience(audience_id) == digests(245, first=10)
    assert len([call for call in services.pinterest.calls.writes()[writes:] if call.records]) == 2
    assert len(services.pinterest.calls.of("oauth/token")) - tokens == 1
    assert f"no changes. {followed}" in log_of("pinterest_export", left)
    rows = [(row["action"], row["members"], row["mirror_mode"]) for row in read_history(services)]
    assert rows == [("mirror_current_audience", 250, "replace"), *[("mirror_current_audience", 245, "difference")] * 2]
    held = services.pinterest.audiences[audience_id]
    held.status = "READY"
    held.size = 98
    log_of("pinterest_status", left)
    assert tuple(read_history(services)[-1][name] for name in ("members", "match_ratio")) == (245, 0.4)


def test_withheld_people_are_never_sent_and_each_day_is_in_the_history(
    run: Run, services: Services, project: Path
) -> None:
    audience_id = services.audience(["before@shop.example"])
    lists = {"suppress": "queries/suppressed.sql", "consent": "queries/consented.sql"}
    set_up_mirror(project, audience_id, control={"percent": 20, "salt": "spring", "by": "customer_id"}, **lists)
    edit_file(project / "queries" / "people.sql", ("email$", "email, customer_id"))
    everybody = people(200)
    chosen = assign_control(
        Control(percent=Decimal(20), salt="spring", by="customer_id"), [b"%d" % n for n in range(200)]
    )
    left = [person for person, is_chosen in zip(everybody, chosen, strict=True) if not is_chosen]
    rows = [{"email": person, "customer_id": n, "opted_in": 1} for n, person in enumerate(everybody)]
    services.td.create("sandbox", "people", rows)

    def run_day(opted_out: list[str], consenting: list[str]) -> None:
        services.td.create("sandbox", "opt_outs", [{"email": f" {person.upper()}"} for person in opted_out])
        services.td.create("sandbox", "consents", [{"email": digest(person).upper()} for person in consenting])
        ran = run("pinterest_export")
        assert ran.succeeded, ran.log
        expected = {digest(person) for person in left if person in consenting and person not in opted_out}
        assert services.pinterest.members_of_audience(audience_id) == expected

    run_day(everybody[:10], everybody[:180])
    for _ in range(2):
        run_day(everybody[5:20], everybody[:170])
    withheld = [f"records_withheld_{why}" for why in WITHHELD]
    kept = [tuple(row[name] for name in withheld) for row in read_history(services)]
    assert kept == [(10, 20, sum(chosen[10:180])), *[(15, 30, sum(chosen[:5]) + sum(chosen[20:170]))] * 2]
    assert len({(row["lists_suppress"], row["lists_consent"]) for row in read_history(services)}) == 3
