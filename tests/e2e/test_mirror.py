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
WORKFLOW = "pinterest_mirror.dig"


def set_up_mirror(project: Path, audience_id: str, *changes: tuple[str, str]) -> None:
    """Fill this audience into the mirror's workflow, with further changes."""
    use_audience(project, audience_id, verb="mirror")
    edit_file(project / WORKFLOW, ("# begin: replace", "begin: replace"), *changes)


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
    assert f"{replaced} Audience {audience_id}: the query finds 250 people" in log_of("pinterest_mirror", people(250))
    assert services.pinterest.members_of_audience(audience_id) == digests(250)
    writes = len(services.pinterest.calls.writes())
    tokens = len(services.pinterest.calls.of("oauth/token"))
    left = people(245, first=10)
    followed = f"Audience {audience_id}: the query finds 245 people"
    assert f"5 joiners, 10 leavers. {followed}" in log_of("pinterest_mirror", left)
    assert services.pinterest.members_of_audience(audience_id) == digests(245, first=10)
    assert len([call for call in services.pinterest.calls.writes()[writes:] if call.records]) == 2
    assert len(services.pinterest.calls.of("oauth/token")) - tokens == 1
    assert f"no changes. {followed}" in log_of("pinterest_mirror", left)
    rows = [(row["action"], row["members"], row["mirror_mode"]) for row in read_history(services)]
    assert rows == [("mirror_current_audience", 250, "replace"), *[("mirror_current_audience", 245, "difference")] * 2]
    edit_file(project / "config" / "pinterest.yml", (r"^audience_id: .*", f"audience_id: '{audience_id}'"))
    held = services.pinterest.audiences[audience_id]
    held.status = "READY"
    held.size = 98
    log_of("pinterest_status", left)
    assert tuple(read_history(services)[-1][name] for name in ("members", "match_ratio")) == (245, 0.4)


def test_withheld_people_are_never_sent_and_each_day_is_in_the_history(
    run: Run, services: Services, project: Path
) -> None:
    audience_id = services.audience(["before@shop.example"])
    control = "    control: {percent: 20, salt: spring, by: customer_id}\n    begin: replace"
    set_up_mirror(
        project, audience_id, ("# suppress:", "suppress:"), ("# consent:", "consent:"), (" +begin: replace", control)
    )
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
        ran = run("pinterest_mirror")
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


def test_mirror_workflow_fails_until_an_audience_is_filled_in(run: Run, project: Path) -> None:
    ran = run("pinterest_mirror")
    assert not ran.succeeded
    assert "audience_id: missing, and mirror_current_audience needs it" in ran.log
