"""Several audiences in one task of a workflow: wrong entries, signals, and groups of them spread over tasks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import ENGINES, Run, read_history
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digests, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)

SHARED = {"type": "pinterest", "audience_type": "customer_list", "history": "pinterest_history"}
_GROUPS = """
_export:
  !include : config/workflow.yml
  groups: {groups}
+each:
  for_each>: {{group: "${{groups}}"}}
  _parallel: true
  _do:
    py>: td_pinterest_op.export.PinterestExport
    at_once: 2
    audiences: ${{group}}
    database: ${{td.database}}
    result_settings: {{type: pinterest, audience_type: customer_list}}
    _env:
      !include : config/environment.yml
"""


def build_entries(services: Services, audiences: Sequence[str]) -> list[dict[str, Any]]:
    """Return entries that add one person of the table `people` to each of the audiences."""
    rows = [{"email": person, "number": number} for number, person in enumerate(people(len(audiences)))]
    services.td.create("sandbox", "people", rows)
    return [
        {
            "name": f"entry {number}",
            "ad_account_id": AD_ACCOUNT_ID,
            "audience_id": audience_id,
            "action": "add_people_to_current_audience",
            "query": f"SELECT email FROM people WHERE number = {number}",
        }
        for number, audience_id in enumerate(audiences)
    ]


def test_ten_of_twelve_entries_are_exact_with_tokens_that_are_valid_once(
    run: Run, services: Services, project: Path
) -> None:
    audiences = [services.audience(name=f"audience {number}") for number in range(12)]
    entries = build_entries(services, ["77", *audiences[1:11], "78"])
    (project / "config" / "audiences.yml").write_text(json.dumps({"audiences": entries, "result_settings": SHARED}))
    services.pinterest.switches.rotate_refresh_tokens = True
    ran = run("pinterest_audiences")
    assert not ran.succeeded
    assert "2 of 12 audiences failed. entry 0: there is no audience 77 in ad account" in ran.log
    assert "; entry 11: there is no audience 78" in ran.log
    assert len(services.pinterest.calls.of("oauth/token")) == 1
    members = [services.pinterest.members_of_audience(each) for each in audiences[1:11]]
    assert members == [digests(1, first=number) for number in range(1, 11)]
    rows = {row["task"]: row["outcome"] for row in read_history(services)}
    assert len(rows) == 12
    assert {name for name, outcome in rows.items() if outcome == "failed"} == {
        "+pinterest_audiences+export entry 0",
        "+pinterest_audiences+export entry 11",
    }


def test_groups_of_entries_may_be_spread_over_tasks(run: Run, services: Services, project: Path) -> None:
    audiences = [services.audience(name=f"audience {number}") for number in range(4)]
    entries = build_entries(services, audiences)
    groups = [entries[:2], entries[2:]]
    (project / "groups.dig").write_text(_GROUPS.format(groups=json.dumps(groups)))
    ran = run("groups")
    assert ran.succeeded, ran.log
    members = [services.pinterest.members_of_audience(each) for each in audiences]
    assert members == [digests(1, first=number) for number in range(4)]
