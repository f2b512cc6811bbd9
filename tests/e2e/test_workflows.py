"""The .dig files a user copies, run from the bundle: with tests/dig, and with digdag where there is one."""

import json
import re
import sys
from pathlib import Path

import pytest

from td_pinterest_op import __version__
from tests import children
from tests.e2e.audiences import is_cleared, is_in_control
from tests.e2e.project import ENGINES, ROOT, Ran, Run, edit_file, read_history, use_audience
from tests.exporting import NOBODY, Services, digests, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(autouse=True)
def people_to_export(services: Services) -> None:
    rows: list[tuple[str | None, int]] = [(person.upper(), 1) for person in people(250)]
    rows += [("nobody", 1), (None, 1), ("left@shop.example", 0)]
    services.td.create("sandbox", "people", [{"email": email, "opted_in": opted_in} for email, opted_in in rows])


def last_statistics(ran: Ran) -> dict[str, object]:
    """The statistics that the operator logged last."""
    statistics: dict[str, object] = json.loads(re.findall(r"INFO statistics: (\{.*\})", ran.log)[-1])
    return statistics


def test_export_workflow_adds_the_people_of_the_query_and_reports_them(
    run: Run, services: Services, project: Path
) -> None:
    use_audience(project, audience_id := services.audience(["before@shop.example"]))
    ran = run("pinterest_export")
    assert ran.succeeded, ran.log
    assert digests(250) <= services.pinterest.members_of_audience(audience_id)
    assert last_statistics(ran)["records"] == {
        "unique": 250,
        "duplicate": 0,
        "sent": 250,
        "refused": 0,
        "withheld": NOBODY,
    }
    summary = 'Added 250 records to audience "Shoppers"; 2 invalid values left out.'
    assert f"{summary} Audience {audience_id}: 252 rows read, 2 rows invalid." in ran.log
    # The command line, the log and the statistics name one version.
    asked = children.run([sys.executable, "-m", "td_pinterest_op", "--version"], cwd=ROOT)
    assert asked.stdout == f"td-pinterest, version {__version__}\n"
    assert f"INFO td_pinterest_op {__version__}\n" in ran.log
    assert __version__ == last_statistics(ran)["version"]


def test_create_workflow_run_twice_in_a_session_creates_one_audience(
    run: Run, services: Services, project: Path
) -> None:
    use_audience(project, None, action="create_new_audience", audience_name="Newsletter readers")
    assert run("pinterest_export").succeeded
    assert run("pinterest_export").succeeded
    (audience,) = services.pinterest.audiences_named("Newsletter readers")
    assert services.pinterest.members_of_audience(audience.id) == digests(250)
    # The list that the audience uses is not filled again: somebody may have added people to it since.
    assert len(services.pinterest.lists) == 2


def test_clear_workflow_leaves_nobody(run: Run, services: Services, project: Path) -> None:
    use_audience(project, audience_id := services.audience(people(5)), action="clear_current_audience")
    (project / "queries" / "people.sql").unlink()
    assert run("pinterest_export").succeeded
    assert is_cleared(services, audience_id)


def test_lift_workflow_compares_the_arms_and_writes_the_history(run: Run, services: Services, project: Path) -> None:
    edit_file(
        project / "config" / "lift.yml",
        ('^audience_id: ""', 'audience_id: "12"'),
        ('^conversions: ""', "conversions: orders"),
        ("^start: .*", 'start: "2026-11-01"'),
    )
    keys = [f"{number}" for number in range(3000)]
    services.td.create("sandbox", "people", [{"customer_id": key, "opted_in": 1} for key in keys])
    bought = [key for key in keys if int(key) % (10 if is_in_control(key, 10) else 5) == 0]
    orders = [{"customer_id": key, "time": 1_793_491_200 + 60} for key in bought]
    services.td.create("sandbox", "orders", [*orders, {"customer_id": "1", "time": 1_793_491_200 - 1}])
    ran = run("pinterest_lift")
    assert ran.succeeded, ran.log
    assert "the history has no run of this audience that withheld a control group" in ran.log
    (row,) = read_history(services)
    figures = json.loads(row["lift"])
    control = sum(is_in_control(key, 10) for key in keys)
    assert (
        row["kind"],
        row["audience_id"],
        figures["people_sent"],
        figures["people_control"],
    ) == ("lift", "12", 3000 - control, control)
    assert sum(not is_in_control(key, 10) for key in bought) == figures["converted_sent"]
    assert 0 < figures["lift_absolute_low"] < figures["lift_absolute"] < figures["lift_absolute_high"]


def test_lift_workflow_that_is_not_set_up_names_what_to_fill_in(run: Run) -> None:
    ran = run("pinterest_lift")
    assert not ran.succeeded
    assert "config/lift.yml names no audience or no table of conversions" in ran.log
